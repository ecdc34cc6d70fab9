"""The camera's way measured in puppets' videos, where it is known."""

import numpy as np
import pytest

from jaxanim.metrics.camera import camera_motion
from jaxanim.puppets import make_character, make_motion, render

SIZE, FRAMES = (96, 128), 12


@pytest.mark.parametrize(
    ("right", "up", "zoom"),
    [(0.25, 0.0, 1.0), (-0.2, 0.0, 1.0), (0.0, 0.1, 1.0), (0.0, 0.0, 1.3), (0.15, 0.05, 1.2)],
)
def test_the_background_tells_how_the_camera_moves(right, up, zoom):
    t = np.linspace(0, 1, FRAMES)
    # World units are picture heights here.
    path = np.stack([right * t * SIZE[1] / SIZE[0], up * t, zoom**t], -1)
    clip = render(make_character(3, "quadruped"), make_motion(3, FRAMES, "quadruped"), SIZE, path, background=3)
    way = camera_motion(clip.frames, clip.mask)
    np.testing.assert_allclose(way[-1, :2], (right, up), atol=0.03)
    assert way[-1, 2] == pytest.approx(zoom, abs=0.04)


def test_a_still_camera_and_an_empty_picture_do_not_move():
    clip = render(make_character(3, "fish"), make_motion(3, 4, "fish"), SIZE, background=3)
    np.testing.assert_allclose(camera_motion(clip.frames, clip.mask), [[0, 0, 1]] * 4, atol=0.01)
    blank = np.zeros((3, 32, 32, 3), np.uint8)
    np.testing.assert_array_equal(camera_motion(blank), [[0, 0, 1]] * 3)
