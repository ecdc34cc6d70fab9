"""A picture of what a system in training does with validation puppets."""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from jaxanim.media.images import contact_sheet, to_float, to_uint8
from jaxanim.metrics import psnr
from jaxanim.puppets import Clip, puppet_clip

PUPPETS = 3
FIRST = 900_000
"""Seed of the first validation puppet."""


def puppet_sheet(
    animate: Callable[
        [Float[Array, "height width 3"], Float[Array, "frames height width 3"]],
        Float[Array, "frames height width 3"],
    ],
    drive: Callable[[Clip], UInt8[np.ndarray, "clip_frames height width 3"]],
    size: tuple[int, int],
    seed: int = FIRST,
) -> UInt8[np.ndarray, "rows columns 3"]:
    """Reference, driving frames, result and truth of three puppets.

    Args:
      animate: (reference in [-1, 1], driving frames in [0, 1]) -> frames in [-1, 1].
      drive: the driving frames of a clip, of which every third is taken.
      size: (height, width) in pixels.
      seed: of the first puppet.
    """
    rows = []
    for puppet in range(seed, seed + PUPPETS):
        clip = puppet_clip(puppet, 24, size)
        driven = drive(clip)[::3]
        reference, motion = jnp.asarray(to_float(clip.reference)), jnp.asarray(driven, jnp.float32) / 255
        pictures = to_uint8(np.asarray(animate(reference, motion)))
        rows += [
            ("reference", np.repeat(clip.reference[None], len(pictures), 0)),
            ("driven by", driven),
            (f"{psnr(pictures, clip.frames[::3]).mean():.1f} dB", pictures),
            ("truth", clip.frames[::3]),
        ]
    return contact_sheet(rows)
