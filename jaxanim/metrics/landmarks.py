"""PLC in its puppet form: how far a result's body landmarks are from where they should be (DirectAnimator A.4).

The paper reads landmarks from both videos by DWPose. Puppets' true landmarks are known, and a result's are looked
for by what surrounds them in the true video: no estimator has to know puppets.
"""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

Video = UInt8[np.ndarray, "frames height width 3"]
Points = Float[np.ndarray, "frames points 3"]


def pose_landmark_distance(result: Video, truth: Video, points: Points) -> Float[np.ndarray, " frames"]:
    """The mean distance of landmarks from their true places, over the person's height; nan where none is seen.

    A landmark's surroundings, a square of an eighth of the frame, are compared with the result's at places up to as
    far away on each side. The best place (least squared difference, of equal ones the nearest) is the landmark's.

    Args:
      points: of the true video, in pixels, with a confidence; only those that are seen (confidence 1) count.
    """
    frames, height, width = truth.shape[:3]
    radius = max(2, min(height, width) // 16)
    reach = 2 * radius
    # Ties, as where both pictures are flat, go to the nearest place.
    steps = np.arange(-reach, reach + 1)
    away = np.hypot(steps[:, None], steps[None])
    border = [(0, 0), (radius + reach,) * 2, (radius + reach,) * 2, (0, 0)]
    around, found = (np.pad(video, border, mode="edge").astype(np.float32) for video in (truth, result))
    values = np.full(frames, np.nan)
    for frame in range(frames):
        there = points[frame][points[frame][:, 2] >= 1]
        if len(there) < 2:
            continue
        tall = max(np.ptp(there[:, 1]), np.ptp(there[:, 0]), 1.0)
        distances = []
        for x, y in np.clip(np.round(there[:, :2]).astype(int), 0, (width - 1, height - 1)):
            # In padded coordinates the landmark is at (x, y) + radius + reach.
            top, left = y + reach, x + reach
            patch = around[frame, top : top + 2 * radius + 1, left : left + 2 * radius + 1]
            search = found[frame, y : y + 2 * (radius + reach) + 1, x : x + 2 * (radius + reach) + 1]
            error = cv2.matchTemplate(search, patch, cv2.TM_SQDIFF) / patch.size
            distances.append(away.flat[np.argmin(error + 1e-3 * away)])
        values[frame] = np.mean(distances) / tall
    return values
