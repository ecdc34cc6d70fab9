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
from jaxanim.systems.directanimator.pairs import PairClips, PairCues, PuppetPairs

CUES = {
    prefix + name: (prefix + name, prefix + mask)
    for prefix in ("", "pseudo_")
    for name, mask in (("pose", "body_mask"), ("face", "face_mask"))
}
"""A cue's latents -> the pictures and the mask that they are made of."""


@dataclasses.dataclass(frozen=True, eq=False)
class PairLatents:
    """The elements of `pairs` as the transformer is shown them, float16.

    Elements: "latents" [f, h, w, c] of the video, "image" [1, h, w, c] of the reference, and "pose", "face",
    "pseudo_pose", "pseudo_face" [f, h, w, c + 1], each with its mask as the last channel.
    """

    pairs: PuppetPairs
    config: CogVideoXVAEConfig = dataclasses.field(repr=False)
    params: PyTree = dataclasses.field(repr=False)
    digest: str
    rendered: Source = dataclasses.field(repr=False)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Element:
        pair = self.rendered[index]
        videos = np.stack([pair["frames"], *(pair[pictures] for pictures, _ in CUES.values())])
        masks = np.stack([pair[mask] for _, mask in CUES.values()])
        encoded = _encode(self.config, self.params, videos, masks, pair["reference"])
        return {name: np.asarray(value) for name, value in encoded.items()}


def pair_latents(pairs: PuppetPairs, config: CogVideoXVAEConfig, params: PyTree) -> Cached:
    """Cached latents of `pairs` under an autoencoder."""
    # Rendered by a pool of processes before one process encodes; the clips once for all options of the cues.
    rendered = cached(PairCues(pairs, cached(PairClips.of(pairs))))
    return cached(PairLatents(pairs, config, params, encoder_digest(config, params), rendered), processes=1)


@functools.partial(jax.jit, static_argnums=0)
def _encode(
    config: CogVideoXVAEConfig,
    params: PyTree,
    videos: UInt8[Array, "videos frames height width 3"],
    masks: UInt8[Array, "cues frames height width"],
    reference: UInt8[Array, "height width 3"],
) -> dict[str, Float[Array, "..."]]:
    def unit(pictures: Any) -> Array:
        return pictures.astype(jnp.float32) / 127.5 - 1

    # One after another: together they need several times the memory, and no less time.
    latents = jax.lax.map(lambda video: to_latents(params, config, unit(video)[None])[0], videos)
    cues = with_mask(latents[1:], masks.astype(jnp.float32) / 255)
    encoded = {"latents": latents[0], "image": image_latent(params, config, unit(reference)[None, None], None)[0]}
    encoded |= dict(zip(CUES, cues, strict=True))
    return {name: value.astype(jnp.float16) for name, value in encoded.items()}
