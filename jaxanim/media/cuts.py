"""Cuts: where a video goes on as another shot."""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

# A frame is one side of a cut if it differs from the one before by this share of the range of levels, and by this
# many times as much as the frames around do among themselves.
LEAST, TIMES = 0.12, 4.0
_SIDE = 32


def cuts(frames: UInt8[np.ndarray, "frames height width 3"]) -> list[int]:
    """The first frames of all shots but the first.

    Frames are compared at 32 x 32 pixels: fast motion moves much there, but a cut is many times as much as what
    lies around it, and what is still on both sides is nothing beside it.
    """
    change = _changes(frames)
    found = []
    for k, amount in enumerate(change):
        around = np.delete(change, k)[max(0, k - 4) : k + 4]
        if amount > LEAST and amount > TIMES * (float(np.median(around)) if around.size else 0.0):
            found.append(k + 1)
    return found


def _changes(frames: UInt8[np.ndarray, "frames height width 3"]) -> Float[np.ndarray, " changes"]:
    small = [cv2.resize(frame, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA) for frame in frames]
    return np.abs(np.diff(np.stack(small).astype(np.float32), axis=0)).mean((1, 2, 3)) / 255
