"""Pseudo driving videos are kept that move as their driver does."""

import numpy as np
import pytest

from jaxanim.errors import InputError
from jaxanim.metrics.pseudo import Filter, Seen, follows, mean_iou, measure
from jaxanim.puppets import make_character, puppet_clip

SEED, FRAMES, SIZE = 950_021, 12, (96, 96)


def seen(clip):
    return Seen(clip.frames, clip.mask, clip.face_box)


@pytest.fixture(scope="module")
def clips():
    """A puppet, and another one in its motion and place."""
    other = make_character(SEED + 20_000)
    return [puppet_clip(SEED, FRAMES, SIZE, character=one, reference=False) for one in (None, other)]


def test_another_person_in_the_same_motion_is_kept(clips):
    own, other = map(seen, clips)
    assert (own.frames != other.frames).any()
    measured = measure(own, other)
    assert not Filter().faults(measured), measured
    assert measured["follows"] > 0.5
    same = measure(own, own)
    assert same["follows"] == pytest.approx(1)
    assert (same["iou"], same["flicker"]) == (1, 1)


def test_what_does_not_follow_is_dropped(clips):
    own, other = map(seen, clips)
    backwards = Seen(other.frames[::-1], other.masks[::-1], other.boxes[::-1])
    assert measure(own, backwards)["follows"] < 0
    assert "follows" in Filter().faults(measure(own, backwards))[0]
    frozen = Seen(other.frames[[0] * FRAMES], other.masks, other.boxes)
    assert measure(own, frozen)["follows"] == 0
    rng = np.random.default_rng(0)
    noisy = np.clip(other.frames + rng.normal(0, 40, other.frames.shape), 0, 255).astype(np.uint8)
    assert any("flicker" in one for one in Filter().faults(measure(own, Seen(noisy, other.masks, other.boxes))))
    nobody = Seen(other.frames, np.zeros_like(other.masks), np.zeros_like(other.boxes))
    faults = " ".join(Filter().faults(measure(own, nobody)))
    assert "iou 0.00, below 0.5" in faults
    assert "faces 0.00, below 0.5" in faults


def test_the_measures_are_what_they_say():
    """A square that moves by two pixels a frame over a texture, and one that moves the other way."""
    texture = np.random.default_rng(1).integers(0, 255, (64, 200, 3), np.uint8)
    right, left = (np.stack([texture[:, 60 + way * k :][:, :64] for k in range(5)]) for way in (2, -2))
    everywhere = np.full((5, 64, 64), 255, np.uint8)
    assert follows(right, right, everywhere) == pytest.approx(1)
    assert follows(right, left, everywhere) < -0.8
    assert np.isnan(follows(right, left, np.zeros_like(everywhere)))
    half = everywhere.copy()
    half[:, :32] = 0
    assert mean_iou(everywhere, half) == pytest.approx(0.5)
    assert np.isnan(mean_iou(np.zeros_like(half), np.zeros_like(half)))
    one = Seen(right[:1], everywhere[:1])
    assert np.isnan(list(measure(one, one).values())).sum() == 3
    assert not Filter().faults(measure(one, one))
    with pytest.raises(InputError, match="follows is -1 to 1"):
        Filter(iou=2.0)
