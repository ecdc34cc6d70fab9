"""Seeds, prompts, and the painter against an independent drawing."""

import re

import cv2
import numpy as np
import pytest

from jaxanim.puppets import (
    KINDS,
    TEST_SEEDS,
    TRAIN_SEEDS,
    VALIDATION_SEEDS,
    make_character,
    make_motion,
    puppet_clip,
    split_of,
    vocabulary,
)
from jaxanim.puppets.background import scene_name
from jaxanim.puppets.kinds import kind_of
from jaxanim.puppets.paint import View, paint
from jaxanim.puppets.prompts import prompt_for
from jaxanim.puppets.seeds import stream
from jaxanim.puppets.shapes import Group, Shape, capsule, ellipse, offset, smooth_closed


def test_splits_are_disjoint_and_cover_the_seeds():
    assert TRAIN_SEEDS.stop == VALIDATION_SEEDS.start == 900_000
    assert VALIDATION_SEEDS.stop == TEST_SEEDS.start == 950_000
    assert [split_of(s) for s in (0, 899_999, 900_000, 949_999, 950_000)] == [
        "train", "train", "validation", "validation", "test",
    ]  # fmt: skip


def test_streams_of_one_seed_are_independent_and_repeatable():
    assert stream(3, "a").uniform() == stream(3, "a").uniform()
    assert len({stream(seed, name).uniform() for seed in range(5) for name in "ab"}) == 10


def test_identities_are_broad():
    people = [make_character(seed).look for seed in range(200)]
    assert len({p.hair_style for p in people}) == 8
    assert len({p.top.name for p in people}) == 5
    assert len({p.top.pattern for p in people}) == 7
    assert np.std([make_character(s).body.height for s in range(50)]) > 0.01


def test_prompts_use_a_small_vocabulary():
    words = vocabulary()
    assert len(words) < 300
    assert list(words) == sorted(set(words))
    for kind in KINDS:
        for seed in range(12):
            character, motion = make_character(seed, kind), make_motion(seed, 1, kind)
            prompt = prompt_for(kind_of(kind).describe(character), motion.name, scene_name(seed, kind))
            assert set(re.findall(r"[a-z-]+", prompt)) <= set(words), prompt
            assert prompt.startswith(("a ", "an "))
    assert puppet_clip(0, 1, (16, 16)).prompt == puppet_clip(0, 1, (32, 32)).prompt


def _view(size):
    return View((size, size), np.array([float(size)]), np.array([[-0.5, size - 0.5]]))


def _reference_polygon(points, size):
    """Coverage of a polygon (world units) by brute force: 16 x 16 samples per pixel."""
    n = 16
    grid = (np.arange(size * n) + 0.5) / (size * n)
    x, y = np.meshgrid(grid, 1 - grid)
    inside = np.zeros(x.shape, bool)
    for (x0, y0), (x1, y1) in zip(points, np.roll(points, -1, axis=0), strict=True):
        crosses = (y0 > y) != (y1 > y)
        inside ^= crosses & (x < (x1 - x0) * (y - y0) / (y1 - y0 + 1e-30) + x0)
    return inside.reshape(size, n, size, n).mean((1, 3))


@pytest.mark.parametrize("seed", range(3))
def test_a_painted_polygon_covers_what_brute_force_says(seed):
    rng = np.random.default_rng(seed)
    size = 48
    points = smooth_closed(rng.uniform(0.15, 0.85, (1, 3, 2))[:, np.argsort(rng.uniform(size=3))], 5)
    group = Group(np.zeros(1), (Shape(points, (255.0, 255.0, 255.0), 7),))
    frames, parts = paint([group], _view(size), np.zeros((1, size, size, 3), np.uint8))
    coverage = _reference_polygon(points[0], size)
    assert np.abs(frames[0, ..., 0] / 255 - coverage).mean() < 0.02
    clear = np.abs(coverage - 0.5) > 0.35
    np.testing.assert_array_equal((parts[0] == 7)[clear], (coverage > 0.5)[clear])


def test_a_capsule_is_the_union_of_its_discs():
    start, end = np.array([[0.3, 0.35]]), np.array([[0.7, 0.6]])
    size = 64
    group = Group(np.zeros(1), (Shape(capsule(start, end, 0.14, 0.08), (255.0,) * 3, 1),))
    _, parts = paint([group], _view(size), np.zeros((1, size, size, 3), np.uint8))
    y, x = np.mgrid[0:size, 0:size]
    x, y = (x + 0.5) / size, 1 - (y + 0.5) / size
    distance = np.min([
        np.hypot(x - (0.3 + 0.4 * t), y - (0.35 + 0.25 * t)) - (0.14 - 0.06 * t) for t in np.linspace(0, 1, 200)
    ], axis=0)  # fmt: skip
    clear = np.abs(distance) > 0.012
    np.testing.assert_array_equal((parts[0] == 1)[clear], (distance < 0)[clear])


def test_nearer_groups_hide_farther_ones_frame_by_frame():
    size = 32
    view = View((size, size), np.full(2, float(size)), np.tile([-0.5, size - 0.5], (2, 1)))
    center = np.full((2, 2), 0.5)
    big = Group(np.array([0.0, 2.0]), (Shape(ellipse(center, 0.4, 0.4), (255.0, 0.0, 0.0), 1),))
    small = Group(np.array([1.0, 1.0]), (Shape(ellipse(center, 0.2, 0.2), (0.0, 0.0, 255.0), 2),))
    frames, parts = paint([big, small], view, np.zeros((1, size, size, 3), np.uint8))
    assert parts[0, 16, 16] == 2
    assert frames[0, 16, 16].tolist() == [0, 0, 255]
    assert parts[1, 16, 16] == 1
    assert not (parts[1] == 2).any()


def test_offset_grows_a_polygon_outwards_whichever_way_it_runs():
    circle = ellipse(np.zeros((1, 2)), 0.3, 0.3, points=40)
    for points in (circle, circle[:, ::-1]):
        grown = offset(np.ascontiguousarray(points), 0.05)
        np.testing.assert_allclose(np.linalg.norm(grown, axis=-1), 0.35, atol=1e-3)


def test_sizes_scale_the_same_picture():
    small, large = (puppet_clip(7, 1, (s, s), reference=False) for s in (64, 256))
    shrunk = cv2.resize(large.frames[0], (64, 64), interpolation=cv2.INTER_AREA)
    assert np.abs(shrunk.astype(float) - small.frames[0]).mean() < 6
    np.testing.assert_allclose((large.points[0, :, :2] + 0.5) / 4, small.points[0, :, :2] + 0.5, atol=1e-3)
