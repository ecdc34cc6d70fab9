"""Skeletons out of masks whose skeleton is known, and of puppets."""

import math

import cv2
import numpy as np
import pytest

from jaxanim.cues.skeleton_extraction import MOST_SEGMENTS, extract, join
from jaxanim.puppets import puppet_clip


def _strokes(*lines, width=14, size=(200, 200)):
    mask = np.zeros(size, np.uint8)
    for a, b in lines:
        cv2.line(mask, a, b, 1, width)
    return mask > 0


def _degrees(graph):
    return np.bincount(np.array(graph.skeleton.edges).ravel(), minlength=len(graph.skeleton.points))


@pytest.mark.parametrize("angle", [90, 75, 60])
@pytest.mark.parametrize("width", [6, 14, 24])
def test_a_crossing_of_two_strokes_stays_one_point(angle, width):
    def ends(degrees):
        d = np.array([math.cos(math.radians(degrees)), math.sin(math.radians(degrees))]) * 80
        return tuple(np.rint(100 - d).astype(int)), tuple(np.rint(100 + d).astype(int))

    graph = extract(_strokes(ends(10), ends(10 + angle), width=width))
    degrees = _degrees(graph)
    assert sorted(degrees[degrees != 2]) == [1, 1, 1, 1, 4]
    assert np.hypot(*(graph.points[0, degrees.argmax(), :2] - 100)) < 2
    assert len(graph.skeleton.segments) == 4


def test_a_letter_t_has_three_segments_with_their_ends_in_the_strokes():
    graph = extract(_strokes(((20, 40), (180, 40)), ((100, 40), (100, 180))))
    degrees = _degrees(graph)
    ends = sorted(map(tuple, np.rint(graph.points[0, degrees == 1, :2]).astype(int)))
    assert len(graph.skeleton.segments) == 3
    for end, true in zip(ends, [(20, 40), (100, 180), (180, 40)], strict=True):
        assert np.hypot(*np.subtract(end, true)) < 12


def test_the_outlines_noise_makes_no_branches():
    rng = np.random.default_rng(0)
    mask = _strokes(((30, 100), (170, 100)), width=30).astype(np.uint8)
    for x in range(40, 170, 9):
        cv2.circle(mask, (x, int(86 + rng.integers(-2, 3))), 4, 1, -1)
    graph = extract(mask > 0)
    assert len(graph.skeleton.segments) == 1
    assert abs(graph.points[0, :, 1] - 100).max() < 6


def test_a_bent_stroke_is_one_segment_of_straight_edges():
    graph = extract(_strokes(((30, 30), (100, 150)), ((100, 150), (170, 30))))
    (segment,) = graph.skeleton.segments.values()
    assert 2 <= len(segment) <= 4
    assert np.hypot(*(graph.points[0, :, :2] - (100, 150)).T).min() < 14


def test_a_ring_is_closed_and_the_largest_piece_is_taken():
    mask = np.zeros((120, 120), np.uint8)
    cv2.circle(mask, (60, 60), 35, 1, 8)
    mask[:6, :6] = 1
    graph = extract(mask > 0)
    assert (_degrees(graph) == 2).all()
    assert abs(np.hypot(*(graph.points[0, :, :2] - 60).T) - 35).max() < 4


@pytest.mark.parametrize(
    "mask", [np.zeros((20, 20), bool), np.eye(20, dtype=bool)[:, :1] @ np.ones((1, 20), bool) > 2]
)
def test_nothing_has_no_skeleton(mask):
    assert extract(mask) is None


def test_the_shortest_branches_go_where_there_are_too_many():
    spokes = [
        ((100, 100), (round(100 + 85 * math.cos(a)), round(100 + 85 * math.sin(a))))
        for a in np.arange(12) * math.pi / 6
    ]
    graph = extract(_strokes(*spokes, width=3))
    # Two branches are one where a third that met them is gone.
    assert MOST_SEGMENTS - 1 <= len(graph.skeleton.segments) <= MOST_SEGMENTS


def test_a_puppets_skeleton_lies_in_its_mask_and_keeps_its_places_over_time():
    clip = puppet_clip(950_003, 6, (192, 192), "quadruped", frame_indices=range(4))
    graphs = [extract(mask > 0) for mask in clip.mask]
    for graph, mask in zip(graphs, clip.mask, strict=True):
        assert 3 <= len(graph.skeleton.segments) <= MOST_SEGMENTS
        inside = [mask[round(float(y)), round(float(x))] > 0 for x, y, _ in graph.points[0]]
        assert np.mean(inside) > 0.8
    joined = join([graphs[0], None, *graphs[1:]])
    assert joined.points.shape[0] == 5
    assert not joined.points[1].any()
    for f, graph in ((0, graphs[0]), (4, graphs[3])):
        there = joined.points[f, :, 2] > 0
        np.testing.assert_array_equal(joined.points[f, there], graph.points[0])
    # The body's longest segment moves little from frame to frame, and so keeps its name.
    middles = [
        {
            name: np.mean(
                [
                    joined.points[f, list(joined.skeleton.edges[k]), :2].mean(0)
                    for k in of
                    if joined.points[f, joined.skeleton.edges[k][0], 2] > 0
                ]
                or [[np.nan] * 2],
                0,
            )
            for name, of in joined.skeleton.segments.items()
        }
        for f in (0, 2)
    ]
    moved = [np.hypot(*(middles[0][name] - middles[1][name])) for name in middles[0]]
    assert np.nanmedian(moved) < 12
    assert join([None, None]) is None
