"""PLC: landmarks are found again where what surrounds them has moved to."""

import numpy as np
import pytest

from jaxanim.metrics.landmarks import pose_landmark_distance


@pytest.fixture(scope="module")
def truth():
    return np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)


# Two landmarks 40 pixels apart, one that is hidden and one that is out of the frame.
POINTS = np.array([[[20, 10, 1], [30, 50, 1], [40, 40, 0.5], [0, 0, 0]]] * 2, np.float32)


@pytest.mark.parametrize("move", [(0, 0), (3, 0), (0, -4), (3, 4)])
def test_a_moved_picture_is_as_far_as_it_was_moved(truth, move):
    moved = np.roll(truth, move, (1, 2))
    np.testing.assert_allclose(pose_landmark_distance(moved, truth, POINTS), np.hypot(*move) / 40, atol=1e-6)


def test_one_of_two_landmarks_counts_half(truth):
    moved = truth.copy()
    moved[:, :32] = np.roll(truth[:, :32], 4, 2)
    np.testing.assert_allclose(pose_landmark_distance(moved, truth, POINTS), 2 / 40, atol=1e-6)


def test_flat_pictures_tell_nothing_and_hidden_people_have_no_distance(truth):
    flat = np.full_like(truth, 128)
    np.testing.assert_array_equal(pose_landmark_distance(flat, flat, POINTS), 0)
    hidden = POINTS * [1, 1, 0.5]
    assert np.isnan(pose_landmark_distance(truth, truth, hidden.astype(np.float32))).all()


def test_landmarks_at_the_edge_are_looked_for_inside(truth):
    points = np.array([[[0, 0, 1], [63, 63, 1]]] * 2, np.float32)
    np.testing.assert_array_equal(pose_landmark_distance(truth, truth, points), 0)
