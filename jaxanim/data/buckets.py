"""Batches of videos of mixed sizes and lengths, each of one shape among few, so that few programs are compiled."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from jaxanim.errors import InputError


@dataclasses.dataclass(frozen=True)
class Bucket:
    """A shape of video: frames, height and width."""

    frames: int
    height: int
    width: int

    @property
    def pixels(self) -> int:
        """Of all frames."""
        return self.frames * self.height * self.width


@dataclasses.dataclass(frozen=True)
class Buckets:
    """Every clip goes to the bucket that fits it best; a batch holds clips of one bucket.

    Attributes:
      shapes: all the buckets; there are at most as many compiled programs.
    """

    shapes: tuple[Bucket, ...]

    def __post_init__(self) -> None:
        if not self.shapes:
            raise InputError("buckets has no shapes: name one or more")

    def fitting(self, frames: int, height: int, width: int) -> Bucket | None:
        """The bucket for a clip: among those no longer than it, the nearest aspect ratio, then the most pixels that
        need no enlarging, else the fewest; None where every bucket is longer."""
        shorter = [bucket for bucket in self.shapes if bucket.frames <= frames]

        def order(bucket: Bucket) -> tuple[float, bool, int]:
            ratio = abs(np.log(bucket.height / bucket.width) - np.log(height / width))
            enlarged = bucket.height > height or bucket.width > width
            return round(float(ratio), 3), enlarged, bucket.pixels if enlarged else -bucket.pixels

        return min(shorter, key=order, default=None)

    def sort(self, clips: Sequence[tuple[int, int, int]]) -> dict[Bucket, list[int]]:
        """Indices of clips, given as (frames, height, width), by bucket; those that no bucket fits are left out."""
        sorted_: dict[Bucket, list[int]] = {}
        for index, clip in enumerate(clips):
            if (bucket := self.fitting(*clip)) is not None:
                sorted_.setdefault(bucket, []).append(index)
        return sorted_


def draw_batch(
    by_bucket: dict[Bucket, list[int]], batch_size: int, shared: np.random.Generator, own: np.random.Generator
) -> tuple[Bucket, list[int]]:
    """(bucket, indices of its clips) of a batch; a bucket comes up as often as its clips are many.

    Args:
      shared: decides the bucket, so that all hosts' batches have one shape.
      own: decides this host's clips, none twice where there are enough.
    """
    if not by_bucket:
        raise InputError("no clip fits a bucket: clips must have at least as many frames as the shortest bucket")
    buckets = sorted(by_bucket, key=dataclasses.astuple)
    weights = np.array([len(by_bucket[bucket]) for bucket in buckets], np.float64)
    bucket = buckets[int(shared.choice(len(buckets), p=weights / weights.sum()))]
    clips = by_bucket[bucket]
    return bucket, own.choice(clips, batch_size, replace=batch_size > len(clips)).tolist()
