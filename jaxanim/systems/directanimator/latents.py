"""Pairs encoded once by the frozen autoencoder, so that DirectAnimator trains on latents."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree, UInt8

from jaxanim.data.latents import encoder_digest
from jaxanim.data.pipeline import Cached, Element, Source, cached
from jaxanim.models.cogvideox.chunks import to_latents
from jaxanim.models.cogvideox.image_to_video import image_latent
from jaxanim.models.cogvideox.vae import CogVideoXVAEConfig
from jaxanim.systems.directanimator.network import with_mask
from jaxanim.systems.directanimator.pairs import OneShape

Cues = dict[str, tuple[str, str]]


def cues_of(prefixes: tuple[str, ...]) -> Cues:
    """A cue's latents -> the pictures and the mask that they are made of."""
    masks = (("pose", "body_mask"), ("face", "face_mask"))
    return {prefix + name: (prefix + name, prefix + mask) for prefix in prefixes for name, mask in masks}


@dataclasses.dataclass(frozen=True, eq=False)
class PairLatents:
    """The elements of `pairs` as the transformer is shown them, float16.

    Elements: "latents" [f, h, w, c] of the video, "image" [1, h, w, c] of the reference, and "pose", "face" and,
    where the pairs have them, "pseudo_pose" and "pseudo_face" [f, h, w, c + 1], each with its mask as last channel.
    """

    pairs: OneShape
    config: CogVideoXVAEConfig = dataclasses.field(repr=False)
    params: PyTree = dataclasses.field(repr=False)
    digest: str
    rendered: Source = dataclasses.field(repr=False)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Element:
        pair, cues = self.rendered[index], cues_of(self.pairs.prefixes)
        videos = np.stack([pair["frames"], *(pair[pictures] for pictures, _ in cues.values())])
        masks = np.stack([pair[mask] for _, mask in cues.values()])
        encoded = _encode(self.config, self.params, videos, masks, pair["reference"])
        return dict(zip(("latents", "image", *cues), map(np.asarray, encoded), strict=True))


def pair_latents(pairs: OneShape, config: CogVideoXVAEConfig, params: PyTree) -> Cached:
    """Cached latents of `pairs` under an autoencoder."""
    # Rendered by a pool of processes before one process encodes.
    latents = PairLatents(pairs, config, params, encoder_digest(config, params), pairs.rendered())
    return cached(latents, processes=1)


@functools.partial(jax.jit, static_argnums=0)
def _encode(
    config: CogVideoXVAEConfig,
    params: PyTree,
    videos: UInt8[Array, "videos frames height width 3"],
    masks: UInt8[Array, "cues frames height width"],
    reference: UInt8[Array, "height width 3"],
) -> list[Float[Array, "..."]]:
    def unit(pictures: Any) -> Array:
        return pictures.astype(jnp.float32) / 127.5 - 1

    # One after another: together they need several times the memory, and no less time.
    latents = jax.lax.map(lambda video: to_latents(params, config, unit(video)[None])[0], videos)
    cues = with_mask(latents[1:], masks.astype(jnp.float32) / 255)
    image = image_latent(params, config, unit(reference)[None, None], None)[0]
    return [value.astype(jnp.float16) for value in (latents[0], image, *cues)]
