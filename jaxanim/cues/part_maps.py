"""DensePose part maps in whichever form people have them as video: the colours of viridis or parula over purple,
black or anything else that is one colour, plain part numbers, scaled ones, or the I of an IUV picture."""

import cv2
import numpy as np
from jaxtyping import UInt8

from jaxanim.cues.densepose import PARTS

Frames = UInt8[np.ndarray, "frames height width 3"]
Parts = UInt8[np.ndarray, "frames height width"]

_LEVELS = (np.arange(PARTS + 1, dtype=np.float32) * (255.0 / PARTS)).astype(np.uint8)
_NEAR = 24
"""Levels by which compression moves a colour, at most for nearly all pixels."""


def parts_of(frames: Frames) -> Parts | None:
    """The part map that a video shows, 0 where there is nobody; None where it shows something else.

    Every form explains nearly all pixels of its own videos and few of an ordinary one's.
    """
    some = frames[:: max(1, len(frames) // 8), ::2, ::2].reshape(-1, 3)
    grey = np.ptp(some.astype(np.int16), axis=1).max() <= 4
    if grey:
        return _of_grey(frames[..., 1], some[:, 1])
    if (channel := _index_channel(some)) is not None:
        return frames[..., channel].clip(0, PARTS)
    for colormap in (cv2.COLORMAP_VIRIDIS, cv2.COLORMAP_PARULA):
        palette = cv2.applyColorMap(_LEVELS[:, None], colormap)[:, 0, ::-1].astype(np.int16)
        # Nobody is number 0's colour, black, or whatever most pixels have.
        backgrounds = [np.zeros(3, np.int16), _commonest(some)]
        book = np.concatenate([palette, *(background[None] for background in backgrounds)])
        near, found = _nearest(some, book)
        if near.mean() > 0.9 and len(np.unique(found[found <= PARTS])) >= 4:
            numbers = np.concatenate([np.arange(PARTS + 1), [0, 0]]).astype(np.uint8)
            return np.stack([numbers[_nearest(f.reshape(-1, 3), book)[1]].reshape(f.shape[:2]) for f in frames])
    return None


def _of_grey(frames: Parts, some: UInt8[np.ndarray, " pixels"]) -> Parts | None:
    if len(np.unique(some)) < 3:
        return None
    if some.max() <= PARTS + 1:
        return frames.clip(0, PARTS)
    for scale in (255.0 / PARTS, 10.0):
        numbers = some / scale
        if (np.abs(numbers - np.rint(numbers)) * scale <= 2).mean() > 0.95 and numbers.max() < PARTS + 0.5:
            return np.rint(frames / scale).clip(0, PARTS).astype(np.uint8)
    return None


def _index_channel(some: UInt8[np.ndarray, "pixels 3"]) -> int | None:
    """The channel of part numbers in IUV pictures, the other two of which run over all levels."""
    most = some.max(0)
    numbers = np.flatnonzero(most <= PARTS + 1)
    if len(numbers) != 1 or np.delete(most, numbers).min() < 100 or len(np.unique(some[:, numbers[0]])) < 3:
        return None
    return int(numbers[0])


def _commonest(some: UInt8[np.ndarray, "pixels 3"]) -> np.ndarray:
    coarse, counts = np.unique(some // 8, axis=0, return_counts=True)
    return coarse[counts.argmax()].astype(np.int16) * 8 + 4


def _nearest(pixels: UInt8[np.ndarray, "pixels 3"], book: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(whether each pixel is near to a colour of the book, which is the nearest)."""
    # Most pixels share few colours.
    colors, back = np.unique(pixels, axis=0, return_inverse=True)
    apart = np.abs(colors[:, None].astype(np.int16) - book[None]).max(-1)
    return (apart.min(1) <= _NEAR)[back.ravel()], apart.argmin(1)[back.ravel()]
