"""One person out of detections: the main one of several, followed from frame to frame and through gaps."""

import os
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.optimize import linear_sum_assignment

from jaxanim.errors import InputError
from jaxanim.media.keypoints import BODY, FACE, LEFT_HAND, RIGHT_HAND, Fields
from jaxanim.media.tell import tell

PERSON = 5
"""Detections of fewer body points than this are taken for mistakes, unless they lie where a person was."""
GAP = 12
"""Frames in a row without the person that are filled in."""

# OpenPose gives every point of a hand or face that it looked for a place, however unlikely; its own renderer leaves
# out what is below these (render_threshold, hand_render_threshold, face_render_threshold).
_LEAST = {BODY: 0.05, LEFT_HAND: 0.2, RIGHT_HAND: 0.2, FACE: 0.4}


def main_person(fields: Fields, source: str | os.PathLike) -> Fields:
    """The main person of each frame: [frames, 1, points, 3].

    Unlikely points are left out. People are followed by position from frame to frame; the main one is the largest,
    summed over its frames. Up to GAP frames in a row that miss it are interpolated between those around them, and
    before its first and after its last frame it stands still. What was chosen and what filled in is told.

    Args:
      source: where the keypoints come from, to be named.

    Raises:
      InputError: there is nobody in any frame.
    """
    fields = {name: np.where(values[..., 2:] >= _LEAST[name], values, 0) for name, values in fields.items()}
    tracks = follow(fields[BODY])
    if not len(tracks):
        frames = len(fields[BODY])
        raise InputError(f"motion {source} has no person in it: nobody is seen in any of its {frames} frames")
    sizes = _boxes(fields[BODY])[1]
    frames = np.arange(sizes.shape[0])
    totals = [(sizes[frames, track] ** 2 * (track >= 0)).sum() for track in tracks]
    track = tracks[int(np.argmax(totals))]
    if len(tracks) > 1:
        most = int((np.stack(tracks) >= 0).sum(0).max())
        tell(f"motion {source} shows up to {most} people: the largest is taken, and followed from frame to frame")
    there = track >= 0
    chosen = {name: values[frames, track] * there[:, None, None] for name, values in fields.items()}
    if not there.all():
        chosen = {name: fill(values, there) for name, values in chosen.items()}
        _tell_of_gaps(there, source)
    return {name: values[:, None].astype(np.float32) for name, values in chosen.items()}


def follow(body: Float[np.ndarray, "frames people points 3"]) -> list[Int[np.ndarray, "frames"]]:
    """Every person's index in each frame, -1 where it is missed.

    A detection belongs to the nearest person seen before, if it is no further than that person's size, and half of
    it for every frame since. Where only one was ever seen, it is that one at any distance if it has about its size.
    """
    count = (body[..., 2] > 0).sum(-1)
    least = PERSON if (count >= PERSON).any() else 1
    tracks: list[_Track] = []
    for frame, (centres, sizes) in enumerate(zip(*_boxes(body), strict=True)):
        strong = np.flatnonzero(count[frame] >= least)
        weak = np.flatnonzero((count[frame] > 0) & (count[frame] < least))
        for found in (strong, weak):
            free = [track for track in tracks if track.indices[frame] < 0]
            apart = np.array([[np.linalg.norm(centres[k] - track.centre) for k in found] for track in free])
            taken = set()
            for row, column in zip(*linear_sum_assignment(apart), strict=True) if apart.size else ():
                track, k = free[row], found[column]
                alone = len(tracks) == len(found) == 1 and 0.5 < sizes[k] / max(track.size, 1e-6) < 2
                if apart[row, column] <= track.reach(frame) or alone:
                    track.see(frame, int(k), centres[k], float(sizes[k]))
                    taken.add(k)
            if found is strong:
                new = [k for k in found if k not in taken]
                tracks += [_Track(len(body)) for _ in new]
                for track, k in zip(tracks[len(tracks) - len(new) :], new, strict=True):
                    track.see(frame, int(k), centres[k], float(sizes[k]))
    return [track.indices for track in tracks]


class _Track:
    """One person so far: its index in each frame, where it was last and how large it has been of late."""

    def __init__(self, frames: int):
        self.indices = np.full(frames, -1)
        self.centre, self.size, self.last = np.zeros(2), 0.0, 0

    def see(self, frame: int, index: int, centre: np.ndarray, size: float) -> None:
        self.indices[frame], self.last = index, frame
        self.centre, self.size = centre, max(size, 0.9 * self.size)

    def reach(self, frame: int) -> float:
        return self.size * (1 + 0.5 * (frame - self.last - 1))


def _boxes(
    body: Float[np.ndarray, "frames people points 3"],
) -> tuple[Float[np.ndarray, "frames people 2"], Float[np.ndarray, "frames people"]]:
    """Centre and diagonal of the box around each person's points; 0 where there are none."""
    seen = body[..., 2:] > 0
    low = np.where(seen, body[..., :2], np.inf).min(2)
    high = np.where(seen, body[..., :2], -np.inf).max(2)
    any_seen = seen.any(2)
    low, high = np.where(any_seen, low, 0), np.where(any_seen, high, 0)
    return (low + high) / 2, np.linalg.norm(high - low, axis=-1)


def fill(
    values: Float[np.ndarray, "frames points 3"], there: Bool[np.ndarray, "frames"]
) -> Float[np.ndarray, "frames points 3"]:
    """Frames that are not `there`: held at the ends; between, up to GAP in a row, interpolated point by point where
    both sides have the point; longer ones stay empty."""
    out, known = values.copy(), np.flatnonzero(there)
    out[: known[0]], out[known[-1] + 1 :] = values[known[0]], values[known[-1]]
    for a, b in pairwise(known):
        if 1 < b - a <= GAP + 1:
            weight = (np.arange(1, b - a) / (b - a))[:, None, None]
            both = (values[a, :, 2:] > 0) & (values[b, :, 2:] > 0)
            between = (1 - weight) * values[a] + weight * values[b]
            between[..., 2] = np.minimum(values[a, :, 2], values[b, :, 2])
            out[a + 1 : b] = np.where(both, between, 0)
    return out


def _tell_of_gaps(there: Bool[np.ndarray, "frames"], source: str | os.PathLike) -> None:
    known = np.flatnonzero(there)
    edges = list(pairwise(known))
    filled = sum(b - a - 1 for a, b in edges if b - a <= GAP + 1)
    empty = sum(b - a - 1 for a, b in edges if b - a > GAP + 1)
    held = known[0] + len(there) - 1 - known[-1]
    parts = [
        f"{filled} interpolated" if filled else "",
        f"{held} at the ends held" if held else "",
        f"{empty} left empty, more than {GAP} in a row" if empty else "",
    ]
    missed = int((~there).sum())
    tell(f"motion {source} misses the person in {missed} of {len(there)} frames: {', '.join(filter(None, parts))}")
