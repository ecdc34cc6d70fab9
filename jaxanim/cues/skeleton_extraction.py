"""Skeletons out of masks: thinned by scikit-image, made a graph here, and pruned.

Needs the extra `xpose` (scikit-image). PoseAnything extracts with BlumNet (Sec. 3, stage 3), whose weights and
compiled operators nobody keeps up; thinning serves the same end.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float

from jaxanim.cues.skeleton import Graph, Skeleton

MOST_SEGMENTS = 10  # of XPose's skeletons (PoseAnything, App. B)
SPUR = 1.6
"""A branch that ends free is noise of the outline where it is shorter than so many times the subject's half width
at its root: the diagonal to a corner is 1.41 times that."""
CROSSING = 1.5
"""Two crossings nearer than so many times the half width are one, which thinning has split."""
BEND = 0.02
"""How far, in parts of the shorter side, a branch may lie from the edges drawn for it."""

_AROUND = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0)]


@dataclass
class _Branch:
    """A path of pixels (x, y) from node `a` to node `b`, both included."""

    a: int
    b: int
    path: Float[np.ndarray, "pixels 2"]

    @property
    def length(self) -> float:
        return float(np.linalg.norm(np.diff(self.path, axis=0), axis=1).sum())


def extract(mask: Bool[np.ndarray, "height width"], most: int = MOST_SEGMENTS) -> Graph | None:
    """The skeleton of the largest piece of a mask, of one frame; its segments are the branches between ends and
    crossings, at most `most`, the shortest free ones being left out. None where nothing is left to draw."""
    from skimage.morphology import skeletonize

    piece = _largest_piece(mask)
    # Thinning eats at what touches the frame's edge as if it ended there; distance to the outline likewise.
    half_width = cv2.distanceTransform(np.pad(piece, 1), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    nodes, branches = _trace(skeletonize(piece.astype(bool)))
    _prune(nodes, branches, half_width, most)
    if not branches:
        return None
    return _graph(nodes, branches, BEND * min(mask.shape))


def join(graphs: Sequence[Graph | None]) -> Graph | None:
    """The skeletons of single frames, None where there is none, as one graph over all frames: every point is there
    in its own frame alone. A segment has the place, and so the colour, of the one nearest to it before."""
    found = [graph for graph in graphs if graph is not None]
    if not found:
        return None
    count = sum(len(graph.skeleton.points) for graph in found)
    points = np.zeros((len(graphs), count, 3), np.float32)
    edges: list[tuple[int, int]] = []
    segments: dict[int, list[int]] = {}
    last: dict[int, np.ndarray] = {}
    start = 0
    for f, graph in enumerate(graphs):
        if graph is None:
            continue
        xy = graph.points[0]
        points[f, start : start + len(xy)] = xy
        groups = list(graph.skeleton.segments.values())
        middles = [np.mean([xy[list(graph.skeleton.edges[k]), :2].mean(0) for k in of], 0) for of in groups]
        for place, of, middle in zip(_places(middles, last), groups, middles, strict=True):
            segments.setdefault(place, []).extend(len(edges) + k for k in of)
            last[place] = middle
        edges += [(a + start, b + start) for a, b in graph.skeleton.edges]
        start += len(xy)
    names = tuple(f"point {k}" for k in range(count))
    named = {f"segment {place}": tuple(segments[place]) for place in sorted(segments)}
    return Graph(Skeleton(names, tuple(edges), named), points)


def _places(middles: list[np.ndarray], last: dict[int, np.ndarray]) -> list[int]:
    """For each segment a place of its own: the nearest pairs first, and then the lowest places that are free."""
    pairs = sorted(
        (float(np.linalg.norm(middle - before)), n, place)
        for n, middle in enumerate(middles)
        for place, before in last.items()
    )
    given: dict[int, int] = {}
    for _, n, place in pairs:
        if n not in given and place not in given.values():
            given[n] = place
    free = (place for place in range(len(middles) + len(last)) if place not in given.values())
    return [given[n] if n in given else next(free) for n in range(len(middles))]


def _largest_piece(mask: Bool[np.ndarray, "height width"]) -> np.ndarray:
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    if count < 2:
        return np.zeros(mask.shape, np.uint8)
    return (labels == 1 + stats[1:, cv2.CC_STAT_AREA].argmax()).astype(np.uint8)


def _trace(thin: Bool[np.ndarray, "height width"]) -> tuple[dict[int, np.ndarray], list[_Branch]]:
    """Nodes (x, y) and branches of a thinned mask: a node is an end, or all touching pixels of a crossing."""
    thin = np.pad(thin, 1)
    count = sum(np.roll(thin, shift, (0, 1)) for shift in _AROUND).astype(int)
    number, labels = cv2.connectedComponents((thin & (count != 2)).astype(np.uint8), connectivity=8)
    nodes = {n: np.argwhere(labels == n).mean(0)[::-1] - 1 for n in range(1, number)}
    left = {(y, x) for y, x in np.argwhere(thin & (labels == 0))}
    branches = []

    def beside(pixel):
        return [(pixel[0] + dy, pixel[1] + dx) for dy, dx in _AROUND]

    def walk(pixel):
        path = []
        while pixel is not None:
            left.discard(pixel)
            path.append(pixel)
            pixel = next((near for near in beside(pixel) if near in left), None)
        return path

    starts = [pixel for pixel in sorted(left) if any(labels[near] for near in beside(pixel))]
    for start in (*starts, *sorted(left)):
        if start not in left:
            continue
        path = walk(start)
        ends = [[int(labels[near]) for near in beside(path[k]) if labels[near]] for k in (0, -1)]
        if not ends[0]:  # a ring without a crossing: it begins and ends where it was found
            nodes[number] = np.array(path[0][::-1], float) - 1
            ends, number = [[number], [number]], number + 1
        # A lone pixel between two nodes is beside both.
        a = ends[0][0]
        b = next((n for n in ends[1] if n != a), a) if ends[1] else a
        inner = np.array(path, float)[:, ::-1] - 1
        branches.append(_Branch(a, b, np.concatenate([nodes[a][None], inner, nodes[b][None]])))
    return nodes, [branch for branch in branches if branch.a != branch.b or len(branch.path) > 8]


def _prune(nodes: dict[int, np.ndarray], branches: list[_Branch], half_width: np.ndarray, most: int) -> None:
    """Joins what thinning has split and takes away what only the outline's noise made, in place."""
    while True:
        _join_ends(nodes, branches)
        degree = _degree(branches)

        def width_at(node):
            x, y = np.rint(nodes[node]).astype(int)
            return half_width[y, x]

        # What the outline's noise made goes first: joined to a crossing it would look longer.
        free = [b for b in branches if min(degree[b.a], degree[b.b]) == 1]
        spurs = [b for b in free if b.length < SPUR * width_at(b.a if degree[b.a] > 1 else b.b)]
        if len(branches) > 1 and spurs:
            branches.remove(min(spurs, key=lambda b: b.length))
            continue
        inner = [b for b in branches if b.a != b.b and min(degree[b.a], degree[b.b]) > 2]
        split = [b for b in inner if b.length < CROSSING * max(width_at(b.a), width_at(b.b))]
        if split:
            _contract(nodes, branches, min(split, key=lambda b: b.length))
            continue
        if len(branches) > most and free:
            branches.remove(min(free, key=lambda b: b.length))
            continue
        while len(branches) > most:  # rings alone
            branches.remove(min(branches, key=lambda b: b.length))
        return


def _degree(branches: list[_Branch]) -> dict[int, int]:
    degree: dict[int, int] = {}
    for branch in branches:
        for node in (branch.a, branch.b):
            degree[node] = degree.get(node, 0) + 1
    return degree


def _contract(nodes: dict[int, np.ndarray], branches: list[_Branch], between: _Branch) -> None:
    """Makes one node, in the middle, of the two that a branch joins."""
    keep, gone = between.a, between.b
    branches[:] = [b for b in branches if {b.a, b.b} != {keep, gone}]
    nodes[keep] = (nodes[keep] + nodes[gone]) / 2
    for branch in branches:
        branch.a, branch.b = (keep if node == gone else node for node in (branch.a, branch.b))
        path = branch.path.copy()
        for at, node in ((0, branch.a), (-1, branch.b)):
            if node == keep:
                path[at] = nodes[keep]
        branch.path = path


def _join_ends(nodes: dict[int, np.ndarray], branches: list[_Branch]) -> None:
    """Two branches that meet in a node of no other are one."""
    for node in list(nodes):
        meeting = [b for b in branches if node in (b.a, b.b)]
        if len(meeting) != 2 or any(b.a == b.b for b in meeting):
            continue
        first, second = meeting
        if first.a == node:
            first = _Branch(first.b, first.a, first.path[::-1])
        if second.b == node:
            second = _Branch(second.b, second.a, second.path[::-1])
        joined = _Branch(first.a, second.b, np.concatenate([first.path, second.path[1:]]))
        branches[:] = [b for b in branches if b not in meeting] + [joined]


def _graph(nodes: dict[int, np.ndarray], branches: list[_Branch], bend: float) -> Graph:
    """Each branch as few straight edges, of one frame."""
    used = sorted({node for branch in branches for node in (branch.a, branch.b)})
    index = {node: k for k, node in enumerate(used)}
    points, edges, segments = [nodes[node] for node in used], [], {}
    for n, branch in enumerate(branches):
        chain = _few(branch.path, bend)
        inner = list(range(len(points), len(points) + len(chain) - 2))
        points += list(chain[1:-1])
        along = [index[branch.a], *inner, index[branch.b]]
        segments[f"segment {n}"] = tuple(range(len(edges), len(edges) + len(along) - 1))
        edges += itertools.pairwise(along)
    xyc = np.concatenate([np.array(points), np.ones((len(points), 1))], 1)[None].astype(np.float32)
    names = tuple(f"point {k}" for k in range(len(points)))
    return Graph(Skeleton(names, tuple(edges), segments), xyc)


def _few(path: Float[np.ndarray, "pixels 2"], bend: float) -> Float[np.ndarray, "corners 2"]:
    """The path's ends and the corners between which it stays within `bend` of straight (Douglas and Peucker 1973);
    a ring is first cut where it is farthest from its start."""
    start, end = path[0], path[-1]
    along = end - start
    length = np.linalg.norm(along)
    offset = path - start
    if length < 1e-6:
        distance = np.linalg.norm(offset, axis=1)
    else:
        distance = np.abs(along[0] * offset[:, 1] - along[1] * offset[:, 0]) / length
    far = int(distance.argmax())
    if len(path) < 3 or distance[far] <= bend or far in (0, len(path) - 1):
        return path[[0, -1]]
    return np.concatenate([_few(path[: far + 1], bend)[:-1], _few(path[far:], bend)])
