"""Skeleton graphs of any character: read from a file, drawn as sticks and joints."""

import colorsys
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from jaxanim.errors import InputError


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
    """A skeleton and where its points are in every frame: x and y in pixels and a confidence in [0, 1]."""

    skeleton: Skeleton
    points: Float[np.ndarray, "frames points 3"]


def read(path: str | os.PathLike) -> tuple[Graph, tuple[int, int], float | None]:
    """A skeleton.json, as `python -m jaxanim.puppets` writes it: the graph, the (height, width) of the pictures it
    belongs to, and frames a second where the file says them.

    Raises:
      InputError: there is no such file, or it holds something else.
    """
    if not Path(path).is_file():
        raise InputError(f"skeleton {path} does not exist")
    try:
        held = json.loads(Path(path).read_text(encoding="utf-8"))
        names, edges = tuple(held["points"]), tuple((int(a), int(b)) for a, b in held["edges"])
        segments = {name: tuple(map(int, of)) for name, of in held.get("segments", {}).items()}
        points = np.array(held["frames"], np.float32).reshape(-1, len(names), 3)
        width, height = map(int, held["size"])
        fps = None if held.get("fps") is None else float(held["fps"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"skeleton {path} is no skeleton graph ({error!r}): see skeleton.json of a puppet"
        ) from None
    if not len(points) or not np.isfinite(points).all() or any(not 0 <= p < len(names) for e in edges for p in e):
        raise InputError(f"skeleton {path} has no frames, points that are no numbers, or edges between no points")
    return Graph(Skeleton(names, edges, segments), points), (height, width), fps


def draw(
    points: Float[np.ndarray, "frames points 3"], edges: Sequence[tuple[int, int]], size: tuple[int, int]
) -> UInt8[np.ndarray, "frames height width 3"]:
    """A graph on black, `size` = (height, width): each edge in its own hue, joints white; confidence 0 is
    left out.

    points: x and y in pixels and a confidence.
    """
    pictures = np.zeros((len(points), *size, 3), np.uint8)
    width = max(1, round(min(size) / 64))
    colors = [tuple(255 * c for c in colorsys.hsv_to_rgb(k / len(edges), 1, 1)) for k in range(len(edges))]
    for picture, frame in zip(pictures, points, strict=True):
        where = [(round(float(x)), round(float(y))) for x, y, _ in frame]
        for (a, b), color in zip(edges, colors, strict=True):
            if frame[a, 2] > 0 and frame[b, 2] > 0:
                cv2.line(picture, where[a], where[b], color, width, cv2.LINE_AA)
        for at, (_, _, confidence) in zip(where, frame, strict=True):
            if confidence > 0:
                cv2.circle(picture, at, width, (255, 255, 255), -1, cv2.LINE_AA)
    return pictures
