"""The main person of detections that fail now and then, and that see others."""

import numpy as np
import pytest

from jaxanim.errors import InputError
from jaxanim.media.keypoints import COUNTS
from jaxanim.media.main_person import GAP, follow, main_person
from tests.media.test_keypoints import BODY

STANDING = np.column_stack([np.array(BODY, float), np.ones(18)])


def fields(body):
    """All fields of bodies [frames, people, 18, 3]."""
    body = np.asarray(body, np.float32)
    empty = {name: np.zeros((*body.shape[:2], count, 3), np.float32) for name, (_, count) in COUNTS.items()}
    return empty | {"pose_keypoints_2d": body}


def walk(frames, step=2.0, size=1.0, start=0.0):
    moved = np.repeat(STANDING[None], frames, 0) * [size, size, 1]
    moved[..., 0] += start + step * np.arange(frames)[:, None]
    return moved


def main(body, name="m"):
    return main_person(fields(body), name)["pose_keypoints_2d"][:, 0]


def told(capsys):
    return capsys.readouterr().err.splitlines()


def test_one_person_is_as_it_was_and_nothing_is_told(capsys):
    body = walk(20)
    np.testing.assert_allclose(main(body[:, None]), body, atol=1e-4)
    assert told(capsys) == []


def test_gaps_are_interpolated_and_ends_held(capsys):
    body = walk(20)
    missed = body.copy()
    missed[[0, 1, 5, 6, 7, 19]] = 0
    found = main(missed[:, None], "gaps")
    np.testing.assert_allclose(found[2:19], body[2:19], atol=1e-3)
    np.testing.assert_allclose(found[:2], body[[2, 2]], atol=1e-3)
    np.testing.assert_allclose(found[19], body[18], atol=1e-3)
    assert told(capsys) == ["motion gaps misses the person in 6 of 20 frames: 3 interpolated, 3 at the ends held"]


def test_a_point_that_one_side_lacks_is_not_made_up():
    body = walk(5)
    body[1, 4] = 0
    body[2] = 0
    found = main(body[:, None])
    assert found[2, 4, 2] == 0
    assert found[2, 3, 2] == 1


def test_long_gaps_stay_empty_and_are_told(capsys):
    body = walk(GAP + 10)
    body[3 : 3 + GAP + 1] = 0
    found = main(body[:, None], "long")
    assert not found[3 : 3 + GAP + 1].any()
    assert told(capsys) == [
        f"motion long misses the person in {GAP + 1} of {GAP + 10} frames: {GAP + 1} left empty, more than {GAP} in a row"
    ]
    body[3] = walk(4)[3]
    assert (main(body[:, None])[4 : 3 + GAP + 1, :, 2] > 0).all()


def test_a_passer_by_is_left_out_wherever_it_is_listed(capsys):
    body, other = walk(20), walk(20, step=-4, size=0.4, start=90)
    other[5:8] = 0
    both = np.stack([body, other], 1)
    both[::3] = both[::3, ::-1]
    np.testing.assert_allclose(main(both, "street"), body, atol=1e-4)
    assert told(capsys) == [
        "motion street shows up to 2 people: the largest is taken, and followed from frame to frame"
    ]


def test_a_passer_by_does_not_stand_in_for_the_person():
    body, other = walk(20), walk(20, step=0, size=0.3, start=150)
    both = np.stack([body, other], 1)
    both[6:9, 0] = 0
    np.testing.assert_allclose(main(both), body, atol=1e-3)


def test_people_who_cross_stay_themselves():
    tall, short = walk(30, step=4), walk(30, step=-4, size=0.8, start=120)
    both = np.stack([tall, short], 1)
    rng = np.random.default_rng(0)
    for frame in both:
        rng.shuffle(frame)
    np.testing.assert_allclose(main(both), tall, atol=1e-4)


def test_one_person_who_jumps_is_one():
    body = walk(4)
    body[2:, :, 0] += 500
    assert len(follow(body[:, None])) == 1


def test_few_points_count_where_the_person_was_and_nowhere_else():
    body = walk(6)
    body[3, 6:] = 0  # the rest is hidden
    body[3, 2:4] = 0
    ghosts = np.zeros_like(body)
    ghosts[:, :3] = [300, 300, 0.9]
    np.testing.assert_allclose(main(np.stack([ghosts, body], 1)), body, atol=1e-4)


def test_unlikely_points_are_left_out():
    body = walk(3)
    body[1, 4, 2] = 0.04
    assert not main(body[:, None])[1, 4].any()
    everything = fields(body[:, None])
    for name, confidence in (("hand_left_keypoints_2d", 0.15), ("face_keypoints_2d", 0.35)):
        everything[name][...] = [5, 5, confidence]
    everything["hand_right_keypoints_2d"][...] = [5, 5, 0.25]
    kept = main_person(everything, "m")
    assert not kept["hand_left_keypoints_2d"].any()
    assert not kept["face_keypoints_2d"].any()
    assert kept["hand_right_keypoints_2d"].all()


def test_nobody_is_an_error():
    with pytest.raises(InputError, match="motion m has no person in it: nobody is seen in any of its 4 frames"):
        main(np.zeros((4, 2, 18, 3)))
