"""A motion brought to the place and size of the person in the reference: one similarity for all frames.

By masks it is DirectAnimator's (Eqs. 9 to 12), by body points a least-squares fit over the joints that are seen,
as StableAnimator and MimicMotion align.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, Num, UInt8

from jaxanim.errors import InputError

# Head, neck, shoulders and all below the hips: what a pose moves little. Elbows and wrists are left out.
STEADY = (0, 1, 2, 5, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17)
SCALES = (0.1, 10.0)
"""A fit outside of these is no alignment of one person with another."""


@dataclass(frozen=True)
class Similarity:
    """T(x) = s x + t (DirectAnimator, Eq. 11) from a driving frame's pixels to the reference's."""

    scale: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)

    def points(self, points: Float[np.ndarray, "*shape channels"]) -> Float[np.ndarray, "*shape channels"]:
        """x and y, the first two channels, moved; points whose third, the confidence, is 0 stay zeros."""
        moved = points[..., :2] * self.scale + np.array(self.shift)
        if points.shape[-1] > 2:
            moved = np.where(points[..., 2:3] > 0, moved, 0)
        return np.concatenate([moved, points[..., 2:]], -1).astype(points.dtype)

    def boxes(self, boxes: Float[np.ndarray, "*shape 4"]) -> Float[np.ndarray, "*shape 4"]:
        """x0, y0, x1, y1 moved."""
        return (boxes * self.scale + np.array(self.shift * 2)).astype(boxes.dtype)

    def pictures(
        self,
        pictures: UInt8[np.ndarray, "frames height width *channels"],
        size: tuple[int, int],
        background: int | tuple[int, int, int] = 0,
        *,
        smooth: bool = False,
    ) -> UInt8[np.ndarray, "frames out_height out_width *channels"]:
        """M~(x) = M(T^-1(x)) (DirectAnimator, Eq. 12) at `size` = (height, width).

        Args:
          background: what lies outside of the driving frame.
          smooth: interpolate, as photographs need; labels and masks take the nearest pixel.
        """
        matrix = np.array([[self.scale, 0, self.shift[0]], [0, self.scale, self.shift[1]]])
        method = (cv2.INTER_LINEAR if self.scale >= 1 else cv2.INTER_AREA) if smooth else cv2.INTER_NEAREST
        height, width = size
        colour = background if isinstance(background, tuple) else (background,) * 3
        warp = [
            cv2.warpAffine(
                picture, matrix, (width, height), flags=method, borderMode=cv2.BORDER_CONSTANT, borderValue=colour
            )
            for picture in pictures
        ]
        return np.stack(warp)


def covering(old: tuple[int, int], new: tuple[int, int]) -> Similarity:
    """What `jaxanim.media.images.resize_and_crop` does: pictures of (height, width) `old` cover `new`, centred."""
    scale = max(new[0] / old[0], new[1] / old[1])
    return Similarity(scale, ((new[1] - scale * old[1]) / 2, (new[0] - scale * old[0]) / 2))


def align_masks(
    driving: UInt8[np.ndarray, "frames height width"], reference: UInt8[np.ndarray, "ref_height ref_width"]
) -> Similarity:
    """DirectAnimator, Eqs. 9 and 10: s is the median of the ratios of the heights, t brings the mean centre of the
    driving boxes onto the reference's. Frames without a mask are passed over.

    Raises:
      InputError: the reference's mask, or every driving one, is empty.
    """
    found = [box for box in map(mask_box, driving) if box is not None]
    goal = mask_box(reference)
    if goal is None or not found:
        raise InputError(f"mask of the {'reference' if goal is None else 'motion'} is empty: nothing to align by")
    return _by_boxes(np.stack(found), goal)


def align_poses(
    driving: Float[np.ndarray, "frames people 18 3"], reference: Float[np.ndarray, "18 3"]
) -> Similarity:
    """The least-squares line in y over the STEADY joints seen in both, all frames pooled; x has the same scale, and
    as shift the mean of what is left.

    Where that is no sensible scale (a pose that folds what the reference stretches) the boxes around the seen
    joints are aligned as masks are.

    Raises:
      InputError: no joint is seen in both.
    """
    steady = list(STEADY)
    points, goal = driving[..., steady, :].reshape(-1, len(STEADY), 3), reference[steady]
    seen = (points[..., 2] > 0) & (goal[:, 2] > 0)
    if not seen.any():
        raise InputError("motion and reference show no joint in common: align by masks, or not at all (none)")
    x, y = points[..., 0][seen], points[..., 1][seen]
    goals = np.broadcast_to(goal, points.shape)[seen]
    spread = float(((y - y.mean()) ** 2).sum())
    scale = float(((y - y.mean()) * (goals[:, 1] - goals[:, 1].mean())).sum()) / spread if spread > 1e-6 else 0.0
    if not SCALES[0] <= scale <= SCALES[1]:
        both = seen.any(1)
        boxes = [points_box(frame[known]) for frame, known in zip(points[both], seen[both], strict=True)]
        return _by_boxes(np.stack(boxes), points_box(goal[goal[:, 2] > 0]))
    shift = float((goals[:, 0] - scale * x).mean()), float((goals[:, 1] - scale * y).mean())
    return Similarity(scale, shift)


def mask_box(mask: Num[np.ndarray, "height width"]) -> Float[np.ndarray, "4"] | None:
    """x0, y0, x1, y1 of the pixels above half of 255, the last ones' included; None where there are none."""
    rows, columns = np.flatnonzero((mask > 127).any(1)), np.flatnonzero((mask > 127).any(0))
    return np.array([columns[0], rows[0], columns[-1], rows[-1]], np.float64) if len(rows) else None


def points_box(points: Float[np.ndarray, "points 3"]) -> Float[np.ndarray, "4"]:
    """x0, y0, x1, y1 around points."""
    return np.concatenate([points[:, :2].min(0), points[:, :2].max(0)]).astype(np.float64)


def _by_boxes(driving: Float[np.ndarray, "frames 4"], goal: Float[np.ndarray, "4"]) -> Similarity:
    heights, height = driving[:, 3] - driving[:, 1], goal[3] - goal[1]
    ratios = height / np.maximum(heights, 1.0)
    scale = float(np.clip(np.median(ratios), *SCALES)) if height > 0 else 1.0
    centre = (driving[:, :2] + driving[:, 2:]).mean(0) / 2
    shift = (goal[:2] + goal[2:]) / 2 - scale * centre
    return Similarity(scale, (float(shift[0]), float(shift[1])))
