"""A picture of what weights in training can do."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree, UInt8

from jaxanim.media.images import contact_sheet, to_float, to_uint8
from jaxanim.metrics import psnr
from jaxanim.puppets import puppet_clip
from jaxanim.systems.base import Sampling
from jaxanim.systems.magicanimate.animate import animate
from jaxanim.systems.magicanimate.config import MagicAnimateConfig

PUPPETS = 3


def animation_sheet(
    params: PyTree,
    config: MagicAnimateConfig,
    seed: int,
    size: tuple[int, int],
    key: jax.Array,
    sampling: Sampling,
) -> UInt8[np.ndarray, "height width 3"]:
    """Reference, result and truth of three puppets, animated as `sampling` says.

    Args:
      seed: of the first puppet.
      size: (height, width) in pixels.
      key: of the noise.
    """
    rows = []
    for puppet in range(seed, seed + PUPPETS):
        clip = puppet_clip(puppet, 24, size)
        result = animate(
            params,
            config,
            jnp.asarray(to_float(clip.reference)),
            jnp.asarray(clip.densepose[::3], jnp.float32) / 255,
            key=key,
            sampling=sampling,
        )
        pictures = to_uint8(np.asarray(result))
        rows += [
            ("reference", np.repeat(clip.reference[None], len(pictures), 0)),
            (f"{psnr(pictures, clip.frames[::3]).mean():.1f} dB", pictures),
            ("truth", clip.frames[::3]),
        ]
    return contact_sheet(rows)
