"""How the camera moves in a video, by registration of its background."""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

_CORNERS = {"maxCorners": 400, "qualityLevel": 0.005, "minDistance": 3, "blockSize": 5}
_FLOW = {"winSize": (15, 15), "maxLevel": 3}
FEWEST = 6
"""Fewer points than these in the background tell no motion."""


def camera_motion(
    video: UInt8[np.ndarray, "frames height width 3"],
    masks: UInt8[np.ndarray, "frames height width"] | None = None,
) -> Float[np.ndarray, "frames 3"]:
    """The camera's way: right in frame widths, up in frame heights, and how much larger things are than in frame 0.

    Corners of the background are followed from frame to frame (Lucas and Kanade 1981), a similarity without turn is
    fitted to most of them (RANSAC), and the frames' motions are added up. The background moves against the camera.
    Where too few corners are found a frame's motion is that of the frame before.

    Args:
      masks: 255 where the subject is, which is left out, with some pixels around it.
    """
    frames, height, width = video.shape[:3]
    grey = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in video])
    way, zoom, place = np.zeros((frames, 3)), 1.0, np.zeros(2)
    way[:, 2] = 1
    last = np.array([0.0, 0.0, 1.0])
    center = np.array([width / 2 - 0.5, height / 2 - 0.5])
    for f in range(1, frames):
        free = None
        if masks is not None:
            free = 255 - cv2.dilate(np.maximum(masks[f - 1], masks[f]), np.ones((5, 5), np.uint8))
        last = _step(grey[f - 1], grey[f], free, center, last)
        # What lay at x lies at scale x + shift, from the middle: seen from frame 0, the shifts add up scaled.
        place, zoom = place * last[2] + last[:2], zoom * last[2]
        way[f] = -place[0] / (zoom * width), place[1] / (zoom * height), zoom
    return way


def _step(before, after, free, center, last) -> np.ndarray:
    """(shift x, shift y, scale) of the background about the picture's middle."""
    corners = cv2.goodFeaturesToTrack(before, mask=free, **_CORNERS)
    if corners is None or len(corners) < FEWEST:
        return last
    moved, found, _ = cv2.calcOpticalFlowPyrLK(before, after, corners, None, **_FLOW)
    kept = found[:, 0] == 1
    if kept.sum() < FEWEST:
        return last
    source, goal = corners[kept, 0] - center, moved[kept, 0] - center
    matrix, _ = cv2.estimateAffinePartial2D(source, goal, method=cv2.RANSAC, ransacReprojThreshold=0.7)
    if matrix is None:
        return last
    return np.array([matrix[0, 2], matrix[1, 2], np.hypot(matrix[0, 0], matrix[1, 0])])
