"""Aligned faces and face states: a literal least-squares fit, and puppets whose faces do known things."""

import numpy as np
import pytest

from jaxanim.cues.faces import TEMPLATE, aligned, five_points, seen, similarity, state
from jaxanim.puppets import make_character, render
from jaxanim.puppets.motion import Motion


def test_similarity_is_the_least_squares_one():
    rng = np.random.default_rng(0)
    for _ in range(5):
        source, goal = rng.normal(size=(2, 5, 2)) * 10
        ours = similarity(source, goal)
        # x' = a x - b y + c, y' = b x + a y + d, as one linear system
        rows = [row for x, y in source for row in ((x, -y, 1, 0), (y, x, 0, 1))]
        a, b, c, d = np.linalg.lstsq(np.array(rows), goal.ravel(), rcond=None)[0]
        np.testing.assert_allclose(ours, [[a, -b, c], [b, a, d]], atol=1e-9)


def test_alignment_undoes_a_turn_a_size_and_a_shift():
    rng = np.random.default_rng(1)
    landmarks = np.concatenate([rng.uniform(20, 60, (1, 68, 2)), np.ones((1, 68, 1))], -1).astype(np.float32)
    points = five_points(landmarks)[0]
    turn = 1.7 * np.array([[np.cos(0.4), -np.sin(0.4)], [np.sin(0.4), np.cos(0.4)]])
    moved = points @ turn.T + [12, -7]
    one, two = (similarity(p, TEMPLATE) @ np.array([*p[0], 1]) for p in (points, moved))
    np.testing.assert_allclose(one, two, atol=1e-4)


def faces(**channels):
    """A puppet that faces the viewer, one frame for each value of the channel."""
    from jaxanim.puppets.render import make_motion

    (name, values), *_ = channels.items()
    motion = make_motion(7, 1).take(np.zeros(len(values), int))
    changed = {key: np.array(value) for key, value in motion.channels.items()}
    changed["head_turn"][:] = 0
    changed["face"][:] = 0
    if name == "yaw":
        changed["head_turn"][:, 0] = values
    else:
        changed["face"][:, {"blink": 0, "mouth": 3}[name]] = values
    return render(make_character(3), Motion(motion.kind, motion.name, motion.fps, changed), (256, 256))


@pytest.mark.parametrize(
    ("name", "values", "column", "rises"),
    [("mouth", (0.0, 0.5, 1.0), 0, True), ("blink", (0.0, 0.5, 1.0), 1, False), ("yaw", (-0.4, 0.0, 0.4), 2, True)],
)
def test_states_follow_what_the_puppet_does(name, values, column, rises):
    clip = faces(**{name: values})
    landmarks = clip.keypoints.face[:, 0]
    assert seen(landmarks).all()
    steps = np.diff(state(landmarks)[:, column])
    assert (steps > 0.02).all() if rises else (steps < -0.02).all()
    if name != "yaw":  # whose unit is the smallest: the next test compares by range
        others = np.delete(np.ptp(state(landmarks), axis=0), column)
        assert np.ptp(state(landmarks)[:, column]) > 1.5 * others.max()


def test_what_is_not_meant_changes_less():
    """By each state's own range: they are measured in different units."""
    driven = ({"mouth": (0.0, 1.0)}, {"blink": (0.0, 1.0)}, {"yaw": (-0.4, 0.4)})
    changes = np.array([np.ptp(state(faces(**one).keypoints.face[:, 0]), axis=0)[:3] for one in driven])
    relative = changes / np.diag(changes)
    assert np.max(relative - np.eye(3)) < 0.6


def test_aligned_eyes_and_mouth_are_on_the_template():
    clip = faces(mouth=(0.0, 1.0))
    landmarks = clip.keypoints.face[:, 0]
    crops = aligned(clip.frames, landmarks)
    assert crops.shape == (2, 112, 112, 3)
    # Each crop shows at the template's eyes what the frame shows at the landmarks' eyes.
    for crop, frame, points in zip(crops, clip.frames, five_points(landmarks), strict=True):
        there = similarity(points, TEMPLATE) @ np.concatenate([points, np.ones((5, 1))], 1).T
        for (x, y), (u, v) in zip(points, there.T, strict=True):
            shown, true = crop[round(v), round(u)].astype(int), frame[round(y), round(x)].astype(int)
            assert np.abs(shown - true).max() < 90


def test_a_face_with_missing_points_is_not_seen():
    landmarks = np.ones((3, 68, 3), np.float32)
    landmarks[1, 54, 2] = 0
    landmarks[2, 0, 2] = 0  # the jaw is not needed
    assert seen(landmarks).tolist() == [True, False, True]
