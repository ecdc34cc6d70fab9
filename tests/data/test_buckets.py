"""Buckets of videos: what fits where, and that batches have few shapes."""

import numpy as np
import pytest

from jaxanim.data.buckets import Bucket, Buckets, draw_batch
from jaxanim.errors import InputError

WIDE, TALL, LONG, SMALL = Bucket(9, 64, 96), Bucket(9, 96, 64), Bucket(17, 64, 96), Bucket(9, 32, 48)
BUCKETS = Buckets((WIDE, TALL, LONG, SMALL))


@pytest.mark.parametrize(
    ("clip", "bucket"),
    [
        ((9, 64, 96), WIDE),
        ((16, 70, 100), WIDE),
        ((40, 64, 96), LONG),  # the most pixels that need no enlarging
        ((12, 200, 120), TALL),
        ((30, 33, 50), SMALL),
        ((9, 20, 30), SMALL),  # all would enlarge it: the least does
        ((8, 64, 96), None),
    ],
)
def test_a_clip_goes_where_it_fits(clip, bucket):
    assert BUCKETS.fitting(*clip) == bucket


def test_batches_have_few_shapes_and_hosts_agree():
    rng = np.random.default_rng(0)
    clips = [(int(f), int(h), int(w)) for f, h, w in rng.integers((5, 24, 24), (30, 200, 200), (300, 3))]
    by_bucket = BUCKETS.sort(clips)
    assert sum(map(len, by_bucket.values())) == sum(frames >= 9 for frames, _, _ in clips)
    drawn = dict.fromkeys(BUCKETS.shapes, 0)
    for step in range(400):
        shapes = set()
        for host in range(2):
            shared, own = np.random.default_rng(step), np.random.default_rng((step, host))
            bucket, indices = draw_batch(by_bucket, 4, shared, own)
            assert len(set(indices)) == 4
            assert set(indices) <= set(by_bucket[bucket])
            shapes.add(bucket)
        assert len(shapes) == 1
        drawn[bucket] += 1
    total = sum(map(len, by_bucket.values()))
    for bucket, times in drawn.items():
        assert abs(times / 400 - len(by_bucket[bucket]) / total) < 0.1


def test_few_clips_come_twice_and_none_is_refused():
    bucket, indices = draw_batch({WIDE: [7]}, 3, np.random.default_rng(0), np.random.default_rng(1))
    assert (bucket, indices) == (WIDE, [7, 7, 7])
    with pytest.raises(InputError, match="no clip fits a bucket"):
        draw_batch({}, 3, np.random.default_rng(0), np.random.default_rng(1))
    with pytest.raises(InputError, match="buckets has no shapes"):
        Buckets(())
