"""Poses aligned to the source and led into."""

import chex
import numpy as np
import pytest

from jaxanim.cues.openpose import LIMBS, Keypoints
from jaxanim.errors import InputError
from jaxanim.puppets import puppet_clip
from jaxanim.systems.poseanimate.pata import align, in_between, pata, with_limb_lengths


@pytest.fixture(scope="module")
def clip():
    return puppet_clip(950_003, 6, (64, 64))


@pytest.fixture(scope="module")
def source(clip):
    return clip.reference_clip.keypoints


def moved(keypoints, scale, shift):
    def move(points):
        return np.concatenate([points[..., :2] * scale + shift, points[..., 2:]], -1).astype(np.float32)

    return Keypoints(move(keypoints.body), move(keypoints.hands), move(keypoints.face))


def without(keypoints, *points):
    body = keypoints.body.copy()
    body[:, :, list(points)] = 0
    return Keypoints(body, keypoints.hands, keypoints.face)


def lengths(body):
    return np.stack([np.linalg.norm(body[..., a, :2] - body[..., b, :2], axis=-1) for a, b in LIMBS], -1)


def test_a_motion_of_another_size_and_place_comes_back_to_the_source_s(source):
    elsewhere = moved(source, 2.5, np.array([40.0, -13.0]))
    back = align(source, elsewhere)
    seen = source.body[..., 2] > 0
    chex.assert_trees_all_close(back.body[seen], source.body[seen], atol=1e-3)
    on = source.face[..., 2] > 0
    chex.assert_trees_all_close(back.face[on], source.face[on], atol=1e-3)


def test_one_shift_keeps_a_walk_and_a_shift_each_takes_it_out(source):
    walk = Keypoints(*(np.repeat(getattr(source, name), 3, 0) for name in ("body", "hands", "face")))
    walk.body[..., 0] += np.array([0.0, 10.0, 20.0])[:, None, None]
    chex.assert_trees_all_close(np.diff(align(source, walk).body[:, 0, 1, 0]), np.full(2, 10.0), atol=1e-3)
    chex.assert_trees_all_close(np.diff(align(source, walk, each=True).body[:, 0, 1, 0]), np.zeros(2), atol=1e-3)


def test_missing_joints_are_no_hindrance(source):
    elsewhere = without(moved(source, 0.5, np.array([5.0, 5.0])), 3, 4, 9, 10, 13)
    back = align(without(source, 6, 7), elsewhere)
    chex.assert_trees_all_close(back.body[0, 0, [1, 8, 11], :2], source.body[0, 0, [1, 8, 11], :2], atol=1e-3)
    assert (back.body[0, 0, [3, 4], 2] == 0).all()


def test_too_few_limbs_in_common_are_refused(source):
    with pytest.raises(InputError, match="have 1 limbs of the body in common; at least 2 are needed"):
        align(source, without(source, *(i for i in range(18) if i not in (1, 2))))


def test_limb_lengths_become_the_source_s_and_foreshortening_stays(clip, source):
    motion = clip.keypoints
    ours = with_limb_lengths(source, motion)
    there, before, after = (lengths(k.body[:, 0]) for k in (source, motion, ours))
    seen = np.stack([(motion.body[:, 0, a, 2] > 0) & (motion.body[:, 0, b, 2] > 0) for a, b in LIMBS], -1)
    both = seen.all(0) & np.array([(source.body[0, 0, [a, b], 2] > 0).all() for a, b in LIMBS])
    assert both.sum() > 8
    for limb in np.flatnonzero(both):
        usual = np.median(before[:, limb])
        chex.assert_trees_all_close(after[:, limb], before[:, limb] / usual * there[0, limb], rtol=1e-3)


def test_the_transition_turns_limbs_smoothly_and_shrinks_none(clip, source):
    motion = align(source, clip.keypoints)
    steps = in_between(source, motion, 7)
    assert steps.body.shape == (7, 1, 18, 3)
    ends = [k.body[:1, 0].astype(np.float64) for k in (source, motion)]
    whole = np.concatenate([ends[0], steps.body[:, 0], ends[1]])
    for a, b in LIMBS:
        if not all((end[0, [a, b], 2] > 0).all() for end in ends):
            continue
        way = whole[:, b, :2] - whole[:, a, :2]
        length = np.linalg.norm(way, axis=-1)
        assert length.min() >= min(length[0], length[-1]) - 1e-3
        assert length.max() <= max(length[0], length[-1]) + 1e-3
        turns = np.unwrap(np.arctan2(way[:, 1], way[:, 0]))
        assert abs(turns[-1] - turns[0]) <= np.pi + 1e-6
        speeds = np.diff(turns)
        assert (speeds * np.sign(turns[-1] - turns[0]) >= -1e-5).all()
        # Smoothstep: symmetric, slow at both ends.
        chex.assert_trees_all_close(speeds, speeds[::-1], atol=1e-4)
        assert abs(speeds[0]) <= abs(speeds[len(speeds) // 2]) + 1e-6


def test_a_turn_by_half_a_circle_keeps_the_arm_long():
    body = np.zeros((1, 1, 18, 3), np.float32)
    body[..., 2] = 1
    body[0, 0, 3, :2] = [10.0, 0.0]  # right elbow, a limb of length 10 from the shoulder at the origin
    other = body.copy()
    other[0, 0, 3, :2] = [-10.0, 0.1]
    empty = np.zeros((1, 2, 21, 3), np.float32), np.zeros((1, 1, 68, 3), np.float32)
    steps = in_between(Keypoints(body, *empty), Keypoints(other, *empty), 3)
    chex.assert_trees_all_close(np.linalg.norm(steps.body[:, 0, 3, :2], axis=-1), np.full(3, 10.0), rtol=1e-3)


def test_a_point_that_one_end_lacks_is_in_the_other_s_half(source):
    steps = in_between(source, without(source, 4), 4)
    assert (steps.body[:, 0, 4, 2] > 0).tolist() == [True, True, False, False]
    chex.assert_trees_all_close(steps.body[0, 0, :, :2], source.body[0, 0, :, :2], atol=1e-3)


def test_the_sequence_has_t_poses_more_than_the_motion(clip, source):
    sequence = pata(source, clip.keypoints, 3, limb_lengths=True)
    assert len(sequence.body) == len(sequence.hands) == len(sequence.face) == 9
    chex.assert_trees_all_close(
        sequence.body[3:], with_limb_lengths(source, align(source, clip.keypoints)).body, atol=1e-5
    )
    assert len(pata(source, clip.keypoints, 0).body) == 6
