"""Clips encoded once by a trained autoencoder, so that diffusion trains on latents."""

import dataclasses
import functools
import hashlib

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from jaxanim.data.pipeline import Cached, Element, Source, cached
from jaxanim.models.network import NetworkConfig
from jaxanim.models.vae import VAEConfig, to_latents
from jaxanim.models.wan import video
from jaxanim.models.wan.vae_config import WanVAEConfig


@dataclasses.dataclass(frozen=True, eq=False)
class LatentClips:
    """The elements of `clips` with pixels replaced by scaled latents (the posterior's mean), float16.

    Attributes:
      clips: what is encoded: a source of "frames" and labels.
      config, params: the autoencoder, of single frames or of video.
      digest: a hash of the encoder's parameters, so that a cache never mixes two; the decoder may change.
      rendered: where `clips`' elements are read from, their own cache as a rule.

    Elements: "latents" [frames (or latents of video), h, w, c], the clips' other fields ("parts" or "poses",
    "prompt" bytes) and, of single frames where the clips have a reference, "reference" [h, w, c].
    """

    clips: Source
    config: VAEConfig | WanVAEConfig = dataclasses.field(repr=False)
    params: PyTree = dataclasses.field(repr=False)
    digest: str
    rendered: Source = dataclasses.field(repr=False)

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> Element:
        clip = self.rendered[index]
        labels = {name: value for name, value in clip.items() if name not in ("frames", "reference")}
        pixels = clip["frames"]
        if isinstance(self.config, WanVAEConfig) or "reference" not in clip:
            return {"latents": np.asarray(_encode(self.config, self.params, pixels))} | labels
        # Each frame by itself, so the reference is one more.
        pixels = np.concatenate([pixels, clip["reference"][None]])
        latents = np.asarray(_encode(self.config, self.params, pixels))
        return {"latents": latents[:-1]} | labels | {"reference": latents[-1]}


def latent_clips(clips: Source, config: VAEConfig | WanVAEConfig, params: PyTree) -> Cached:
    """Cached latents of `clips` under an autoencoder (float32 parameters)."""
    # Rendered by a pool of processes before one process encodes.
    return cached(LatentClips(clips, config, params, encoder_digest(config, params), cached(clips)), processes=1)


def encoder_digest(config: NetworkConfig, params: PyTree) -> str:
    """12 hexadecimal digits of everything that decides a frame's latents."""
    digest = hashlib.sha256(repr(config).encode())
    # The decoder, which may change, decides nothing.
    for leaf in jax.tree.leaves({name: params[name] for name in ("encoder", "quant_conv") if name in params}):
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()[:12]


@functools.partial(jax.jit, static_argnums=0)
def _encode(config, params, pixels):
    encode = video.to_latents if isinstance(config, WanVAEConfig) else to_latents
    arguments = (params, config, pixels[None].astype(jnp.float32) / 127.5 - 1)
    return encode(*arguments)[0].astype(jnp.float16)
