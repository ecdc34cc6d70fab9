"""Skeleton files: what they hold is checked in one place; graphs drawn as coloured segments at any size."""

import json

import numpy as np
import pytest

from jaxanim.cues import skeleton, skeleton_drawing
from jaxanim.cues.driving import Labels
from jaxanim.cues.skeleton import MAX_SEGMENTS, Graph, Skeleton
from jaxanim.cues.skeleton_video import skeleton_video
from jaxanim.errors import InputError
from jaxanim.puppets import KINDS, puppet_clip

_FILE = {
    "size": [64, 48],
    "fps": 24,
    "points": ["head", "hip", "tail", "wing"],
    "edges": [[0, 1], [1, 2], [1, 3]],
    "frames": [[[10, 12], [30, 20], [50.5, 20, 0.5], None], None, [None, [31, 21], [50, 22], [30, 40]]],
}


def _write(path, **changes):
    path.write_text(json.dumps(_FILE | changes))
    return path


def test_missing_points_and_frames_have_no_confidence(tmp_path):
    graph, size, fps = skeleton.read(_write(tmp_path / "s.json"))
    assert (size, fps) == ((48, 64), 24)
    np.testing.assert_array_equal(graph.points[..., 2], [[1, 1, 0.5, 0], [0, 0, 0, 0], [0, 1, 1, 1]])
    np.testing.assert_array_equal(graph.points[0, 2], [50.5, 20, 0.5])


def test_a_file_comes_back_as_it_was_written(tmp_path):
    graph, size, fps = skeleton.read(_write(tmp_path / "s.json"))
    (tmp_path / "t.json").write_text(json.dumps(skeleton.encode(graph, size, fps)))
    again, size_again, fps_again = skeleton.read(tmp_path / "t.json")
    assert (again.skeleton, size_again, fps_again) == (graph.skeleton, size, fps)
    np.testing.assert_array_equal(again.points, graph.points)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"edges": [[0, 1], [1, 4]]}, r"edge 1 is \[1, 4\]; it should join two of the points 0 to 3"),
        ({"edges": [[0, 0]]}, r"edge 0 is \[0, 0\]"),
        ({"edges": []}, "4 points and 0 edges"),
        ({"frames": [[[float("nan"), 1], [2, 2], [3, 3], [4, 4]]]}, "frame 0: point 'head' is .*no finite number"),
        ({"frames": [[[1, 2], [3]]]}, "frame 0 is neither null nor a list of 4 points"),
        ({"frames": [[[1, 2], [3, 4], [5, 6, 7, 8], None]]}, r"point 'tail' is .*should be \[x, y\]"),
        ({"frames": [None, None]}, "no point in any of its 2 frames"),
        ({"segments": {"a": [0, 1]}}, r"hold the edges \[0, 1\]; they should hold each of the edges 0 to 2 once"),
        ({"size": [0, 48]}, "width and height"),
        ({"size": None}, "is no skeleton graph"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        skeleton.read(_write(tmp_path / "s.json", **changes))


def test_more_segments_than_colours_are_refused(tmp_path):
    points = [f"p{k}" for k in range(MAX_SEGMENTS + 2)]
    star = [[0, k] for k in range(1, MAX_SEGMENTS + 2)]
    frame = [[k, k] for k in range(len(points))]
    with pytest.raises(InputError, match=f"has {MAX_SEGMENTS + 1} segments; up to {MAX_SEGMENTS}"):
        skeleton.read(_write(tmp_path / "s.json", points=points, edges=star, frames=[frame]))


def test_chains_run_from_end_or_crossing_to_the_next():
    # A cross of two-edge arms, and a ring apart from it.
    arms = [(0, 1), (1, 2), (0, 3), (3, 4), (5, 0), (6, 5), (0, 7)]
    ring = [(8, 9), (9, 10), (10, 8)]
    held = {frozenset(chain) for chain in skeleton.chains(arms + ring).values()}
    assert held == {frozenset(c) for c in ((0, 1), (2, 3), (4, 5), (6,), (7, 8, 9))}


@pytest.mark.parametrize("kind", KINDS)
def test_every_puppet_has_segments_that_can_be_drawn_at_any_size(kind):
    clip = puppet_clip(950_001, 4, (64, 64), kind, frame_indices=[0, 3])
    graph = Graph(clip.skeleton, clip.points)
    assert len(graph.skeleton.segments) <= MAX_SEGMENTS
    large = skeleton_video(Labels(graph=graph), (64, 64), (128, 192))
    assert large.shape == (2, 128, 192, 3)
    colors = {tuple(color) for color in large.reshape(-1, 3)[(large.max(-1) == 255).ravel()]}
    shown = sum(bool(m.any()) for m in skeleton_drawing.segment_masks(graph, (128, 192), (64, 64))[0])
    assert len(colors & set(skeleton_drawing.SEGMENT_COLORS)) >= shown - 1
    # A point lies where the picture shows it, whatever the size.
    x, y, _ = max((p for p in clip.points[0] if p[2] > 0), key=lambda p: p[2])
    row, column = int((y + 0.5) * 2), int((x + 0.5) * 3)
    assert large[0, row - 3 : row + 4, column - 3 : column + 4].max() > 200


def test_keypoints_serve_where_there_is_no_graph():
    clip = puppet_clip(950_001, 2, (64, 64), frame_indices=[0, 1])
    video = skeleton_video(Labels(keypoints=clip.keypoints), (64, 64), (64, 64))
    np.testing.assert_array_equal(
        video, skeleton_drawing.draw_segments(Graph(clip.skeleton, clip.points), (64, 64))
    )
    with pytest.raises(InputError, match="neither a skeleton graph nor keypoints"):
        skeleton_video(Labels(), (64, 64), (64, 64))


def test_segments_keep_their_colours_when_others_are_missing():
    graph = Graph(
        Skeleton(("a", "b", "c"), ((0, 1), (1, 2)), {"one": (0,), "two": (1,)}),
        np.array(
            [[[8, 8, 1], [8, 50, 1], [50, 50, 1]], [[8, 8, 0], [8, 50, 1], [50, 50, 1]], [[0, 0, 0]] * 3],
            np.float32,
        ),
    )
    whole, part, none = skeleton_drawing.draw_segments(graph, (64, 64))
    np.testing.assert_allclose(whole[50, 30], skeleton_drawing.SEGMENT_COLORS[1], atol=30)
    np.testing.assert_array_equal(part[50, 30], whole[50, 30])
    assert whole[30, 8].any()
    assert not part[30, 8].any()
    assert not none.any()
