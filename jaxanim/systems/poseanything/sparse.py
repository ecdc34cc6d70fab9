"""Sparse poses: which frames of a motion have one (PoseAnything, App. F)."""

import numpy as np
from jaxtyping import Bool

from jaxanim.errors import InputError

LENGTH = 81
# (probability, fewest, most) frames of 81 that remain.
SUBSETS = {"dense": (0.35, 21, 81), "medium": (0.20, 11, 21), "sparse": (0.45, 1, 11)}
UNIFORM = 0.5  # the probability of even gaps; else the frames are drawn at random


def draw_kept(rng: np.random.Generator, frames: int) -> Bool[np.ndarray, " frames"]:
    """Which frames keep their poses in a training video: how many by SUBSETS, evenly within one, and which at
    random or evenly spaced. In a video of another length than 81 the bounds are in proportion."""
    names = list(SUBSETS)
    _, low, high = SUBSETS[names[rng.choice(len(names), p=[SUBSETS[name][0] for name in names])]]
    count = int(rng.integers(_of(low, frames), _of(high, frames) + 1))
    if rng.random() < UNIFORM:
        return evenly(count, frames)
    kept = np.zeros(frames, bool)
    kept[rng.choice(frames, count, replace=False)] = True
    return kept


def _of(count: int, frames: int) -> int:
    return min(frames, max(1, round(count * frames / LENGTH)))


def evenly(count: int, frames: int) -> Bool[np.ndarray, " frames"]:
    """`count` frames from the first to the last with even gaps; one alone is the first."""
    kept = np.zeros(frames, bool)
    kept[np.rint(np.linspace(0, frames - 1, count)).astype(int)] = True
    return kept


def keep_share(share: float, frames: int) -> Bool[np.ndarray, " frames"]:
    """The frames whose poses are given when a share of them is (Table 5); at least one.

    Raises InputError for a share that is not above 0 and at most 1.
    """
    if not 0 < share <= 1:
        raise InputError(f"share of poses is {share}: it should be above 0 and at most 1")
    return evenly(max(1, round(share * frames)), frames)
