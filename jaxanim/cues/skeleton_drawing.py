"""Skeleton graphs as pictures: every edge in its hue with joints, or PoseAnything's coloured segments."""

import colorsys
from collections.abc import Iterable, Sequence

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from jaxanim.cues.openpose import Keypoints
from jaxanim.cues.skeleton import HUMAN, MAX_SEGMENTS, Edges, Graph

Pictures = UInt8[np.ndarray, "frames height width 3"]
Points = Float[np.ndarray, "frames points 3"]

# Neighbouring segments get hues far apart: 5 has no common divisor with 12.
SEGMENT_COLORS = tuple(
    tuple(round(255 * c) for c in colorsys.hsv_to_rgb(5 * k % MAX_SEGMENTS / MAX_SEGMENTS, 1, 1))
    for k in range(MAX_SEGMENTS)
)
"""Segment k is drawn in colour k, whatever else the skeleton has."""


def human_graph(keypoints: Keypoints) -> Graph:
    """The body of the first person in OpenPose's keypoints as a skeleton graph."""
    return Graph(HUMAN, np.asarray(keypoints.body[:, 0], np.float32))


def draw(points: Points, edges: Edges, size: tuple[int, int]) -> Pictures:
    """A graph on black, `size` = (height, width): each edge in its own hue, joints white; confidence 0 is
    left out.

    points: x and y in pixels and a confidence.
    """
    pictures = np.zeros((len(points), *size, 3), np.uint8)
    width = max(1, round(min(size) / 64))
    colors = [tuple(255 * c for c in colorsys.hsv_to_rgb(k / len(edges), 1, 1)) for k in range(len(edges))]
    for picture, frame in zip(pictures, points, strict=True):
        _lines(picture, frame, zip(edges, colors, strict=True), width)
        for x, y, confidence in frame:
            if confidence > 0:
                cv2.circle(picture, (round(float(x)), round(float(y))), width, (255, 255, 255), -1, cv2.LINE_AA)
    return pictures


def draw_segments(graph: Graph, size: tuple[int, int], canvas: tuple[int, int] | None = None) -> Pictures:
    """A graph as PoseAnything sees poses: each segment in its colour on black; a frame without a pose is black.

    Args:
      size: (height, width) of the pictures.
      canvas: (height, width) of the pictures that the graph belongs to, if other than `size`: it is stretched.
    """
    skeleton, points = graph.skeleton, rescale(graph.points, canvas or size, size)
    colored = [
        (skeleton.edges[k], SEGMENT_COLORS[n % MAX_SEGMENTS])
        for n, edges in enumerate(skeleton.segments.values())
        for k in edges
    ]
    pictures = np.zeros((len(points), *size, 3), np.uint8)
    for picture, frame in zip(pictures, points, strict=True):
        _lines(picture, frame, colored, line_width(size))
    return pictures


def segment_masks(
    graph: Graph, size: tuple[int, int], canvas: tuple[int, int] | None = None
) -> UInt8[np.ndarray, "frames segments height width"]:
    """Where each segment is drawn by `draw_segments`, 1 or 0: the s_ij of PoseAnything, Eq. 6."""
    skeleton, points = graph.skeleton, rescale(graph.points, canvas or size, size)
    masks = np.zeros((len(points), len(skeleton.segments), *size), np.uint8)
    for of_frame, frame in zip(masks, points, strict=True):
        for mask, edges in zip(of_frame, skeleton.segments.values(), strict=True):
            _lines(mask, frame, [(skeleton.edges[k], 1) for k in edges], line_width(size), cv2.LINE_8)
    return masks


def line_width(size: tuple[int, int]) -> int:
    """Of a segment in pictures of (height, width) `size`."""
    return max(1, round(min(size) / 64))


def rescale(points: Points, canvas: tuple[int, int], size: tuple[int, int]) -> Points:
    """Points in a picture of (height, width) `canvas`, in one of `size` that shows the same."""
    factor = np.array([size[1] / canvas[1], size[0] / canvas[0]], np.float32)
    # Pixel centres are whole numbers.
    return np.concatenate([(points[..., :2] + 0.5) * factor - 0.5, points[..., 2:]], -1).astype(np.float32)


def _lines(
    picture: np.ndarray,
    frame: Float[np.ndarray, "points 3"],
    colored: Iterable[tuple[Sequence[int], Sequence[float | int] | int]],
    width: int,
    style: int = cv2.LINE_AA,
) -> None:
    """Draws edges in their colours where both of their points are there."""
    where = [(round(float(x)), round(float(y))) for x, y, _ in frame]
    for (a, b), color in colored:
        if frame[a, 2] > 0 and frame[b, 2] > 0:
            cv2.line(picture, where[a], where[b], color, width, style)
