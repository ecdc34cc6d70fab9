"""Masks of one subject out of a segmenter's many: XPose's filters (PoseAnything, Sec. 3)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

AREA = (0.2, 0.8)
"""A subject's share of a frame lies between these (Sec. 3, stage 2)."""
WITH_SKELETON = 0.8
"""At least this share of a video's frames has a skeleton (Sec. 3, stage 3)."""

Mask = Bool[np.ndarray, "height width"]


@dataclass(frozen=True)
class Segmented:
    """One of the masks that a segmenter makes of a frame, and what it takes it to be."""

    mask: Mask
    label: str


def area_ratio(mask: Mask) -> float:
    """S_t / (H x W)."""
    return float(mask.mean())


def area_within(masks: Sequence[Mask], bounds: tuple[float, float] = AREA) -> bool:
    """Whether the subject is neither excessively small nor large in any of the frames that it is in."""
    return all(bounds[0] < area_ratio(mask) < bounds[1] for mask in masks)


def iou(a: Mask, b: Mask) -> float:
    """Intersection over union; 0 of two empty masks."""
    union = np.logical_or(a, b).sum()
    return float(np.logical_and(a, b).sum() / union) if union else 0.0


def largest(masks: Sequence[Segmented]) -> Segmented | None:
    """Eq. 1: M*_1 = argmax Area(M) over the first frame's masks; None where there is none that is not empty."""
    found = max(masks, key=lambda one: one.mask.sum(), default=None)
    return found if found is not None and found.mask.any() else None


def track(frames: Sequence[Sequence[Segmented]]) -> list[Mask | None]:
    """Eq. 2: the subject's mask in every frame, None where a frame is skipped.

    It is the first frame's largest mask (Eq. 1), and then M*_t = argmax IoU(M, M*_{t-1}) over the frame's masks
    with the same label, M*_{t-1} being the last mask selected. A frame without such a mask is skipped. Of a video
    whose first frame has no mask, which has no subject, every frame is.
    """
    first = largest(frames[0]) if frames else None
    if first is None:
        return [None] * len(frames)
    selected, last = [first.mask], first.mask
    for masks in frames[1:]:
        alike = [one.mask for one in masks if one.label == first.label and one.mask.any()]
        best = max(alike, key=lambda mask: iou(mask, last), default=None)
        selected.append(best)
        last = last if best is None else best
    return selected


def enough_skeletons(found: Sequence[bool], share: float = WITH_SKELETON) -> bool:
    """Whether T_skel / T is at least `share`; `found` says for each frame whether it has a skeleton."""
    return bool(found) and sum(found) / len(found) >= share
