"""DensePose part maps in the colours that MagicAnimate's ControlNet was trained on.

detectron2's fine segmentation drawing scales part id i of 24 to the byte i * 255 / 24, fraction dropped, and
colours it with viridis; MagicAnimate feeds that over a background of id 0, which is viridis' purple (68, 1,
84).
"""

import cv2
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer, UInt8

PARTS = 24
HEAD = (23, 24)


def _palette() -> UInt8[np.ndarray, "25 3"]:
    levels = (np.arange(PARTS + 1, dtype=np.float32) * (255.0 / PARTS)).astype(np.uint8)
    return np.ascontiguousarray(cv2.applyColorMap(levels[:, None], cv2.COLORMAP_VIRIDIS)[:, 0, ::-1])


PALETTE = _palette()
BACKGROUND = (68, 1, 84)


def colored(parts: UInt8[np.ndarray, "*frames height width"]) -> UInt8[np.ndarray, "*frames height width 3"]:
    """A part map (ids 0 to 24) as an RGB picture."""
    return PALETTE[parts]


def colour_parts(
    parts: Integer[Array | np.ndarray, "*frames height width"],
) -> Float[Array, "*frames height width 3"]:
    """A part map as the picture in [0, 1] that a ControlNet takes, on the device: ids travel to it."""
    return jnp.asarray(PALETTE, jnp.float32)[parts] / 255.0


def part_ids(
    picture: UInt8[np.ndarray, "*frames height width 3"],
) -> UInt8[np.ndarray, "*frames height width"]:
    """The part map behind an RGB picture: the id of each pixel's nearest colour."""
    # |a - b|^2 = |a|^2 - 2 ab + |b|^2, and |a|^2 is the same for every id.
    palette = PALETTE.astype(np.float32)
    score = (palette**2).sum(-1) - 2 * picture.reshape(-1, 3).astype(np.float32) @ palette.T
    return score.argmin(-1).astype(np.uint8).reshape(picture.shape[:-1])
