"""Faces by their 68 landmarks: aligned crops as face recognition takes them, and what a face is doing."""

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

Landmarks = Float[np.ndarray, "frames 68 3"]

# Where ArcFace (Deng et al. 2019) and AdaFace (Kim et al. 2022) have eyes, nose and mouth corners in their
# pictures of 112 x 112 pixels.
TEMPLATE = np.array(
    [(38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041)], np.float32
)
TEMPLATE_SIDE = 112
STATES = ("mouth", "eyes", "yaw", "pitch")


def five_points(landmarks: Landmarks) -> Float[np.ndarray, "frames 5 2"]:
    """Eye centres, nose tip and mouth corners, left in the picture first."""
    xy = landmarks[..., :2]
    eyes = xy[:, 36:42].mean(1), xy[:, 42:48].mean(1)
    return np.stack([*eyes, xy[:, 30], xy[:, 48], xy[:, 54]], 1).astype(np.float32)


def seen(landmarks: Landmarks) -> Bool[np.ndarray, " frames"]:
    """Whether the points that alignment and state need are all there; a face in profile has lost some."""
    needed = [30, *range(36, 49), 54, 62, 66]
    return (landmarks[:, needed, 2] > 0).all(1)


def similarity(
    source: Float[np.ndarray, "points 2"], goal: Float[np.ndarray, "points 2"]
) -> Float[np.ndarray, "2 3"]:
    """The rotation, uniform scale and shift that bring `source` nearest to `goal` in the least squares sense."""
    s, g = source.astype(np.float64), goal.astype(np.float64)
    s0, g0 = s.mean(0), g.mean(0)
    # As complex numbers a rotation with scale is one factor.
    a, b = ((p - c) @ np.array([1, 1j]) for p, c in ((s, s0), (g, g0)))
    factor = np.vdot(a, b) / max(np.vdot(a, a).real, 1e-12)
    turn = np.array([[factor.real, -factor.imag], [factor.imag, factor.real]])
    return np.concatenate([turn, (g0 - turn @ s0)[:, None]], 1)


def aligned(
    frames: UInt8[np.ndarray, "frames height width 3"], landmarks: Landmarks, side: int = TEMPLATE_SIDE
) -> UInt8[np.ndarray, "frames side side 3"]:
    """Every frame's face, brought onto the template; frames without a face (`seen`) give some picture too."""
    goal = TEMPLATE * (side / TEMPLATE_SIDE)
    crops = [
        cv2.warpAffine(frame, similarity(points, goal), (side, side), flags=cv2.INTER_LINEAR)
        for frame, points in zip(frames, five_points(landmarks), strict=True)
    ]
    return np.stack(crops)


def state(landmarks: Landmarks) -> Float[np.ndarray, "frames 4"]:
    """What a face is doing, in the order of STATES.

    mouth: distance of the inner lips over that of the eyes. eyes: opening over width, the mean of both. yaw,
    pitch: the nose tip beside and below the middle of the eyes, over the distance of the eyes.
    """
    xy = landmarks[..., :2].astype(np.float64)
    points = five_points(landmarks).astype(np.float64)
    across = points[:, 1] - points[:, 0]
    apart = np.maximum(np.linalg.norm(across, axis=-1), 1e-6)
    right = across / apart[:, None]
    down = np.stack([-right[:, 1], right[:, 0]], -1)
    nose = points[:, 2] - points[:, :2].mean(1)

    def distance(i: int, j: int) -> np.ndarray:
        return np.linalg.norm(xy[:, i] - xy[:, j], axis=-1)

    def opening(e: int) -> np.ndarray:
        return (distance(e + 1, e + 5) + distance(e + 2, e + 4)) / 2 / np.maximum(distance(e, e + 3), 1e-6)

    eyes = (opening(36) + opening(42)) / 2
    yaw, pitch = ((nose * axis).sum(-1) / apart for axis in (right, down))
    return np.stack([distance(62, 66) / apart, eyes, yaw, pitch], -1).astype(np.float32)
