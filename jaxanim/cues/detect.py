"""What preparation asks of a detector, one small interface each; the packages behind them have a file each.

detect_rtmlib   people and their points, by DWPose's or RTMW's ONNX files (extra `prepare`)
detect_sam2     masks, by SAM 2 (extra `torch`)
detect_yunet    faces, by OpenCV's YuNet
"""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, UInt8

from jaxanim.media.keypoints import BODY, COCO_17, FACE, LEFT_HAND, RIGHT_HAND, Fields

Frames = UInt8[np.ndarray, "frames height width 3"]
Masks = UInt8[np.ndarray, "frames height width"]
Report = Callable[[int, int], None]
"""Called as report(frames done, frames in all)."""

LEAST = 0.3
"""Whole-body points that are less certain than this are not seen: what DWPose's own drawing takes."""


def silent(done: int, total: int) -> None:
    """A report to nobody."""


@runtime_checkable
class PoseDetector(Protocol):
    """Finds everybody's points. `identity` tells detectors, and their models, apart."""

    identity: str

    def people(self, frames: Frames, report: Report = silent) -> Fields:
        """All people of every frame, in pixels."""
        ...


@runtime_checkable
class Masker(Protocol):
    """Cuts out one thing. `identity` tells maskers, and their models, apart."""

    identity: str

    def masks(self, frames: Frames, frame: int, box: Float[np.ndarray, "4"], report: Report = silent) -> Masks:
        """255 where that is which has `box` (x0, y0, x1, y1) in frame number `frame`, in every frame."""
        ...


@runtime_checkable
class FaceDetector(Protocol):
    """Finds faces. `identity` tells detectors, and their models, apart."""

    identity: str

    def faces(self, frames: Frames, report: Report = silent) -> list[Float[np.ndarray, "_faces 4"]]:
        """The boxes (x0, y0, x1, y1) of every frame's faces, the surest first."""
        ...


def whole_body(people: list[Float[np.ndarray, "_people 133 3"]]) -> Fields:
    """COCO-WholeBody's 133 points of everybody in each frame, as OpenPose's fields.

    They are 17 of the body, 6 of the feet, 68 of the face and 21 of each hand, the left first. Points below LEAST
    are not seen.
    """
    most = max(1, max(map(len, people), default=0))
    points = np.zeros((len(people), most, 133, 3), np.float32)
    for frame, found in zip(points, people, strict=True):
        frame[: len(found)] = found
    points[..., 2] = np.clip(points[..., 2], 0, 1)
    points[points[..., 2] < LEAST] = 0
    body = points[..., COCO_17, :]
    shoulders = points[..., [5, 6], :]
    there = (shoulders[..., 2] > 0).all(-1)
    body[..., 1, :] = np.where(there[..., None], shoulders.mean(-2), 0)
    left, right = points[..., 91:112, :], points[..., 112:133, :]
    return {BODY: body, LEFT_HAND: left, RIGHT_HAND: right, FACE: points[..., 23:91, :]}
