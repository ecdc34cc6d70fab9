"""The camera in words, and the rectangle that moves with it."""

import numpy as np
import pytest

from jaxanim.errors import InputError
from jaxanim.systems.poseanything.camera import Camera, factor, motion_of, parse, path, rectangles


@pytest.mark.parametrize(
    ("words", "camera"),
    [
        ("pan-left 0.5", Camera(pan=-0.5)),
        ("pan-right", Camera(pan=0.5)),
        ("Tilt-Up .25", Camera(tilt=0.25)),
        ("tilt-down 1", Camera(tilt=-1.0)),
        ("pan-right 0.3, zoom-in 0.2", Camera(pan=0.3, zoom=0.2)),
        (" zoom-out 0.5 ,tilt-up 0.1,pan-left 0.1", Camera(-0.1, 0.1, -0.5)),
        ("still", Camera()),
    ],
)
def test_words_are_a_camera(words, camera):
    assert parse(words) == camera


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "'' is not understood"),
        ("left 0.5", "'left 0.5' is not understood: say one or more of pan-left"),
        ("pan-up 0.5", "'pan-up 0.5' is not understood"),
        ("pan-left -0.5", "not understood"),
        ("pan-left 0", "more than 0 and at most 1, not 0"),
        ("zoom-in 1.5", "at most 1, not 1.5"),
        ("pan-left 0.5, pan-right 0.2", "says pan twice"),
        ("pan-left 0.5 zoom-in 0.2", "not understood"),
        ("pan-left nan", "not understood"),
    ],
)
def test_what_does_not_parse_is_said(words, message):
    with pytest.raises(InputError, match=message):
        parse(words)


def _box(picture):
    rows, columns = np.nonzero(picture.max(-1) > 100)
    return (columns.min() + columns.max()) / 2, (rows.min() + rows.max()) / 2, np.ptp(columns)


@pytest.mark.parametrize(
    ("words", "moves"),
    [
        ("pan-left 0.4", (-0.4, 0, 1)), ("pan-right 0.4", (0.4, 0, 1)), ("tilt-up 0.4", (0, -0.4, 1)),
        ("tilt-down 0.2", (0, 0.2, 1)), ("zoom-in 0.5", (0, 0, 1 / 1.5)), ("zoom-out 0.5", (0, 0, 1.5)),
        ("pan-left 0.3, tilt-up 0.2", (-0.3, -0.2, 1)),
    ],
)  # fmt: skip
def test_the_rectangle_moves_with_the_camera_and_shrinks_as_it_zooms_in(words, moves):
    video = rectangles(path(parse(words), 9), (96, 160))
    assert video.shape == (9, 96, 160, 3)
    (x0, y0, w0), (x1, y1, w1) = _box(video[0]), _box(video[-1])
    assert (x1 - x0) / 160 == pytest.approx(moves[0], abs=0.02)
    assert (y1 - y0) / 96 == pytest.approx(moves[1], abs=0.02)
    assert w1 / w0 == pytest.approx(moves[2], rel=0.05)
    middle = _box(video[4])
    assert middle[:2] == pytest.approx((79.5, 47.5), abs=2)


def test_the_path_is_even():
    np.testing.assert_allclose(path(Camera(pan=-0.5), 5)[:, 0], [0, -0.125, -0.25, -0.375, -0.5])
    zoom = path(Camera(zoom=0.44), 3)[:, 2]
    np.testing.assert_allclose(zoom, [1, 1.2, 1.44])
    assert factor(-0.5) == pytest.approx(1 / 1.5)
    np.testing.assert_array_equal(path(Camera(pan=1.0), 1), [[0, 0, 1]])


def test_a_known_path_serves_as_words_do():
    world = np.stack([np.linspace(0.1, -0.4, 5), np.linspace(0, 0.2, 5), np.linspace(1, 1.5, 5)], -1)
    way = motion_of(world, 5, (100, 200))
    np.testing.assert_allclose(way[-1], [-0.25, 0.2, 1.5])
    np.testing.assert_allclose(motion_of("pan-left 0.25", 5, (100, 200))[-1], [-0.25, 0, 1])
    assert motion_of(np.tile([0.3, 0.1, 1.2], (5, 1)), 5, (100, 200)) is None
    assert motion_of("still", 5, (100, 200)) is None
    assert motion_of(None, 5, (100, 200)) is None
