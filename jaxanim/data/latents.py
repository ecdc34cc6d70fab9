"""Clips encoded once by a trained autoencoder, so that diffusion trains on latents."""

import dataclasses
import functools
import hashlib

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from jaxanim.data.pipeline import Cached, Element, Source, cached
from jaxanim.models.vae import VAEConfig, to_latents


@dataclasses.dataclass(frozen=True, eq=False)
class LatentClips:
    """The elements of `clips` with pixels replaced by scaled latents (the posterior's mean), float16.

    Attributes:
      clips: what is encoded: a source of "frames" and labels.
      config, params: the autoencoder, which encodes each frame by itself.
      digest: a hash of the encoder's parameters, so that a cache never mixes two; the decoder may change.
      rendered: where `clips`' elements are read from, their own cache as a rule.

    Elements: "latents" [frames, h, w, c], the clips' other fields ("parts" or "poses", "prompt" bytes) and, where
    the clips have a reference, "reference" [h, w, c].
    """

    clips: Source
    config: VAEConfig = dataclasses.field(repr=False)
    params: PyTree = dataclasses.field(repr=False)
    digest: str
    rendered: Source = dataclasses.field(repr=False)

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> Element:
        clip = self.rendered[index]
        pixels = clip["frames"]
        if "reference" in clip:
            pixels = np.concatenate([pixels, clip["reference"][None]])
        latents = np.asarray(_encode(self.config, self.params, pixels))
        labels = {name: value for name, value in clip.items() if name not in ("frames", "reference")}
        element = {"latents": latents[: len(clip["frames"])]} | labels
        return element | {"reference": latents[-1]} if "reference" in clip else element


def latent_clips(clips: Source, config: VAEConfig, params: PyTree) -> Cached:
    """Cached latents of `clips` under an autoencoder (float32 parameters)."""
    # Rendered by a pool of processes before one process encodes.
    return cached(LatentClips(clips, config, params, encoder_digest(config, params), cached(clips)), processes=1)


def encoder_digest(config: VAEConfig, params: PyTree) -> str:
    """12 hexadecimal digits of everything that decides a frame's latents."""
    digest = hashlib.sha256(repr(config).encode())
    for leaf in jax.tree.leaves((params["encoder"], params["quant_conv"])):
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()[:12]


@functools.partial(jax.jit, static_argnums=0)
def _encode(config: VAEConfig, params, pixels):
    return to_latents(params, config, pixels[None].astype(jnp.float32) / 127.5 - 1)[0].astype(jnp.float16)
