"""Skeleton graphs of anything that moves: what they are, and their file."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from jaxanim.errors import InputError

MAX_SEGMENTS = 12
"""So many segments have colours that can be told apart; XPose's skeletons have 1 to 10 (PoseAnything, App. B)."""

Edges = Sequence[tuple[int, int]]


@dataclass(frozen=True)
class Skeleton:
    """A skeleton graph of anything that moves.

    points: names. edges: pairs of point indices. segments: named groups of edge indices (a leg, the spine,
    ...), each connected, together holding every edge once.
    """

    points: tuple[str, ...]
    edges: tuple[tuple[int, int], ...]
    segments: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Graph:
    """A skeleton and where its points are in every frame: x and y in pixels and a confidence in [0, 1], which is 0
    where a point is missing. A frame without any point has no pose."""

    skeleton: Skeleton
    points: Float[np.ndarray, "frames points 3"]


# OpenPose's body (COCO order) and its segments.
HUMAN = Skeleton(
    (
        "nose", "neck", "shoulder_r", "elbow_r", "wrist_r", "shoulder_l", "elbow_l", "wrist_l",
        "hip_r", "knee_r", "ankle_r", "hip_l", "knee_l", "ankle_l", "eye_r", "eye_l", "ear_r", "ear_l",
    ),
    (
        (1, 2), (2, 3), (3, 4), (1, 5), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10),
        (1, 11), (11, 12), (12, 13), (1, 0), (0, 14), (14, 16), (0, 15), (15, 17),
    ),
    {
        "right arm": (0, 1, 2), "left arm": (3, 4, 5), "right leg": (6, 7, 8), "left leg": (9, 10, 11),
        "head": (12, 13, 14, 15, 16),
    },
)  # fmt: skip


def chains(edges: Edges) -> dict[str, tuple[int, ...]]:
    """The segments of a graph that names none: its chains of edges between ends and crossings, in order."""
    at = {}
    for k, edge in enumerate(edges):
        for point in edge:
            at.setdefault(point, []).append(k)
    segments, taken = [], set()

    def follow(start: int, first: int) -> list[int]:
        chain, point, k = [], start, first
        while k is not None and k not in taken:
            taken.add(k)
            chain.append(k)
            point = edges[k][1] if edges[k][0] == point else edges[k][0]
            others = [other for other in at[point] if other not in taken]
            k = others[0] if len(at[point]) == 2 and others else None
        return chain

    # Rings without a crossing are left when every other chain is taken.
    ends = [point for point in sorted(at) if len(at[point]) != 2]
    for point in (*ends, *sorted(at)):
        segments += [chain for k in at[point] if (chain := follow(point, k))]
    return {f"segment {n}": tuple(chain) for n, chain in enumerate(segments)}


def read(path: str | os.PathLike) -> tuple[Graph, tuple[int, int], float | None]:
    """A skeleton file: the graph, the (height, width) of the pictures it belongs to, and frames a second where the
    file says them.

    JSON: "size" [width, height]; "points", their names; "edges", pairs of indices of points; "frames", of each a
    list with [x, y] or [x, y, confidence] for every point and null for a missing one, or null for a frame without
    pose; and, if wanted, "segments", names to indices of edges (without it the chains between ends and crossings),
    and "fps". `python -m jaxanim.puppets` writes one.

    Raises:
      InputError: there is no such file, or what it holds is no such graph.
    """
    if not Path(path).is_file():
        raise InputError(f"skeleton {path} does not exist")
    try:
        held = json.loads(Path(path).read_text(encoding="utf-8"))
        names, edges = tuple(map(str, held["points"])), tuple((int(a), int(b)) for a, b in held["edges"])
        segments = {name: tuple(map(int, of)) for name, of in held.get("segments", {}).items()}
        width, height = map(int, held["size"])
        fps = None if held.get("fps") is None else float(held["fps"])
        frames = list(held["frames"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"skeleton {path} is no skeleton graph ({error!r}): see skeleton.json of a puppet"
        ) from None
    if min(width, height) < 1:
        raise InputError(f"skeleton {path} has size {[width, height]}: width and height are 1 or more")
    _check_edges(names, edges, path)
    skeleton = Skeleton(names, edges, segments or chains(edges))
    _check_segments(skeleton, path)
    return Graph(skeleton, _points(frames, names, path)), (height, width), fps


def encode(graph: Graph, size: tuple[int, int], fps: float | None = None) -> dict[str, Any]:
    """What `read` reads, as a dictionary for JSON; missing points are null, and so are frames without pose."""
    skeleton, points = graph.skeleton, np.round(graph.points.astype(np.float64), 3)
    frames = [
        [point.tolist() if point[2] > 0 else None for point in frame] if (frame[:, 2] > 0).any() else None
        for frame in points
    ]
    return {
        "size": [size[1], size[0]],
        "fps": fps,
        "points": list(skeleton.points),
        "edges": [list(edge) for edge in skeleton.edges],
        "segments": {name: list(edges) for name, edges in skeleton.segments.items()},
        "frames": frames,
    }


def _points(
    frames: list[Any], names: tuple[str, ...], path: str | os.PathLike
) -> Float[np.ndarray, "frames points 3"]:
    """Where the points are, of the frames as they stand in the file."""
    points = np.zeros((len(frames), len(names), 3), np.float32)
    for f, frame in enumerate(frames):
        if frame is None:
            continue
        if not isinstance(frame, list) or len(frame) != len(names):
            raise InputError(f"skeleton {path}: frame {f} is neither null nor a list of {len(names)} points")
        for k, point in enumerate(frame):
            if point is None:
                continue
            try:
                x, y, confidence = (*map(float, point), *((1.0,) if len(point) == 2 else ()))
            except (TypeError, ValueError):
                raise InputError(
                    f"skeleton {path}, frame {f}: point {names[k]!r} is {point}; it should be [x, y], "
                    "[x, y, confidence] or null"
                ) from None
            if not np.isfinite((x, y, confidence)).all():
                raise InputError(
                    f"skeleton {path}, frame {f}: point {names[k]!r} is {point}, which is no finite number; "
                    "a missing point is null"
                )
            points[f, k] = x, y, min(max(confidence, 0), 1)
    if not (points[..., 2] > 0).any():
        raise InputError(f"skeleton {path} has no point in any of its {len(frames)} frames")
    return points


def _check_edges(names: tuple[str, ...], edges: Edges, path: str | os.PathLike) -> None:
    if not names or not edges:
        raise InputError(f"skeleton {path} has {len(names)} points and {len(edges)} edges: it needs some of both")
    for k, edge in enumerate(edges):
        if not all(0 <= point < len(names) for point in edge) or edge[0] == edge[1]:
            raise InputError(
                f"skeleton {path}: edge {k} is {list(edge)}; it should join two of the points 0 to {len(names) - 1}"
            )


def _check_segments(skeleton: Skeleton, path: str | os.PathLike) -> None:
    count = len(skeleton.segments)
    if count > MAX_SEGMENTS:
        raise InputError(f"skeleton {path} has {count} segments; up to {MAX_SEGMENTS} can be told apart: join some")
    held = sorted(k for edges in skeleton.segments.values() for k in edges)
    if held != list(range(len(skeleton.edges))):
        raise InputError(
            f"skeleton {path}: its segments hold the edges {held}; they should hold each of the edges "
            f"0 to {len(skeleton.edges) - 1} once"
        )
