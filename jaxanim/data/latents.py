"""Clips encoded once by a trained autoencoder, so that diffusion trains on latents."""

import dataclasses
import functools
import hashlib

import jax
import jax.numpy as jnp
import numpy as np

from jaxanim.data.pipeline import Cached, Element, Source, cached
from jaxanim.models.vae import VAEConfig, to_latents
from jaxanim.weights import load_weights


@dataclasses.dataclass(frozen=True)
class LatentClips:
    """The elements of `clips` with pixels replaced by scaled latents (the posterior's mean), float16.

    Attributes:
      clips: what is encoded: a source of "frames" and labels.
      vae: folder of weights that hold a "vae".
      digest: a hash of the encoder's parameters, so that a cache never mixes two; the decoder may change.

    Elements: "latents" [frames, h, w, c], the clips' other fields ("parts" or "poses", "prompt" bytes) and, where
    the clips have a reference, "reference" [h, w, c].
    """

    clips: Source
    vae: str = dataclasses.field(repr=False)
    digest: str = ""

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> Element:
        clip = _clips(self.clips)[index]
        config, params = _autoencoder(self.vae)
        pixels = clip["frames"]
        if "reference" in clip:
            pixels = np.concatenate([pixels, clip["reference"][None]])
        latents = np.asarray(_encode(config, params, pixels))
        labels = {name: value for name, value in clip.items() if name not in ("frames", "reference")}
        element = {"latents": latents[: len(clip["frames"])]} | labels
        return element | {"reference": latents[-1]} if "reference" in clip else element


def latent_clips(clips: Source, vae: str) -> Cached:
    """Cached latents of `clips` under the autoencoder that lies in folder `vae` now."""
    cached(clips)  # rendered by a pool of processes before one process encodes
    return cached(LatentClips(clips, vae, encoder_digest(vae)), processes=1)


def encoder_digest(vae: str) -> str:
    """12 hexadecimal digits of everything that decides a frame's latents."""
    config, params = _autoencoder(vae)
    digest = hashlib.sha256(repr(config).encode())
    for leaf in jax.tree.leaves((params["encoder"], params["quant_conv"])):
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()[:12]


@functools.cache
def _clips(clips: Source) -> Cached:
    return cached(clips)


@functools.cache
def _autoencoder(folder: str):
    return load_weights(folder, networks=("vae",))["vae"]


@functools.partial(jax.jit, static_argnums=0)
def _encode(config: VAEConfig, params, pixels):
    return to_latents(params, config, pixels[None].astype(jnp.float32) / 127.5 - 1)[0].astype(jnp.float16)
