"""What a video looks like while it is being denoised, without its decoder."""

from collections.abc import Callable

import cv2
import numpy as np
from jaxtyping import Array, Float

Report = Callable[[int, int, Float[Array | np.ndarray, "..."] | None], None]
"""Called as report(steps done, steps in all, the estimate of x_0, or None where there is none)."""


def previewed(
    report: Callable[[int, int, Float[np.ndarray, "frames h w 3"] | None], None] | None,
    latents: Float[Array | np.ndarray, "h w channels"],
    picture: Float[Array | np.ndarray, "height width 3"],
    before: int = 0,
) -> Report | None:
    """`report` with small pictures in [-1, 1] in the place of latents.

    Colours are linear in the latents, by the least squares between one picture, shrunk, and its own latents: rough,
    and at no cost, for an autoencoder of any kind.

    Args:
      latents: of `picture`, which is in [-1, 1], by the same encoder and scale as those that are reported.
      before: latents before those of the first frame, which are left out.
    """
    if report is None:
        return None
    height, width, channels = latents.shape
    small = cv2.resize(np.asarray(picture, np.float32), (width, height), interpolation=cv2.INTER_AREA)
    flat = np.asarray(latents, np.float32).reshape(-1, channels)
    colours = np.linalg.lstsq(_with_one(flat), small.reshape(-1, 3), rcond=None)[0]

    def told(done: int, total: int, x0: Float[Array | np.ndarray, "..."] | None) -> None:
        if x0 is not None:
            values = np.asarray(x0, np.float32).reshape(-1, *x0.shape[-3:])[before:]
            x0 = np.clip(_with_one(values) @ colours, -1, 1)
        report(done, total, x0)

    return told


def _with_one(values: Float[np.ndarray, "*places channels"]) -> Float[np.ndarray, "*places channels_and_1"]:
    return np.concatenate([values, np.ones_like(values[..., :1])], -1)
