"""What a puppet is made of once posed: polygons and strokes in paint order, still in world units."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8


@dataclass(frozen=True)
class Texture:
    """A colour tile and where it lies: world = origin + column * across + row * along (tile pixels), per
    frame.

    `shading`, if given, is a brightness tile with its own place that multiplies the colours (230 is neutral).
    """

    tile: UInt8[np.ndarray, "height width 3"]
    origin: Float[np.ndarray, "frames 2"]
    across: Float[np.ndarray, "frames 2"]
    along: Float[np.ndarray, "frames 2"]
    shading: "Texture | None" = None


@dataclass(frozen=True)
class Shape:
    """One polygon (or, with `thickness`, one stroke) over all frames.

    points: world units (1 = the frame's unit length, y up, 0 = ground).
    fill: RGB, a Texture, or None for a shape that only relabels.
    part: id written into the part map where the shape is visible; 0 paints colour alone.
    relabel: with fill None, pixels of this part id inside the polygon become `part`.
    """

    points: Float[np.ndarray, "frames points 2"]
    fill: tuple[float, float, float] | Texture | None
    part: int
    outline: tuple[float, float, float] | None = None
    thickness: float | None = None
    visible: Bool[np.ndarray, "frames"] | None = None
    relabel: int | None = None


@dataclass(frozen=True)
class Group:
    """Shapes painted together: all outlines first, then all fills in order. Far `depth` goes first."""

    depth: Float[np.ndarray, "frames"]
    shapes: tuple[Shape, ...]


_ARC = np.linspace(-np.pi / 2, np.pi / 2, 8)


def capsule(
    start: Float[np.ndarray, "frames 2"],
    end: Float[np.ndarray, "frames 2"],
    start_radius: float | np.ndarray,
    end_radius: float | np.ndarray,
) -> Float[np.ndarray, "frames 16 2"]:
    """Outline of a tapered limb with round ends."""
    r0 = np.broadcast_to(np.asarray(start_radius, np.float64), start.shape[:1])[:, None, None]
    r1 = np.broadcast_to(np.asarray(end_radius, np.float64), start.shape[:1])[:, None, None]
    direction, normal = axes(start, end)
    # The tangent points of two circles of unequal radius lie off the normal by asin of the slope.
    length = np.linalg.norm(end - start, axis=-1)[:, None, None]
    lean = np.arcsin(np.clip((r0 - r1) / np.maximum(length, 1e-6), -0.9, 0.9))
    front = _ARC[None, :, None] * (1 - 2 * lean / np.pi)
    back = _ARC[None, :, None] * (1 + 2 * lean / np.pi) + np.pi
    d, n = direction[:, None], normal[:, None]
    tip = end[:, None] + r1 * (np.cos(front) * d + np.sin(front) * n)
    root = start[:, None] + r0 * (np.cos(back) * d + np.sin(back) * n)
    return np.concatenate([tip, root], axis=1)


def axes(
    start: Float[np.ndarray, "frames 2"], end: Float[np.ndarray, "frames 2"]
) -> tuple[Float[np.ndarray, "frames 2"], Float[np.ndarray, "frames 2"]]:
    """Unit direction from start to end, and its normal (turned a quarter counter-clockwise)."""
    delta = end - start
    length = np.linalg.norm(delta, axis=-1, keepdims=True)
    direction = np.where(length > 1e-9, delta / np.maximum(length, 1e-9), np.array([0.0, -1.0]))
    return direction, np.stack([-direction[:, 1], direction[:, 0]], axis=-1)


def limb_texture(
    tile: UInt8[np.ndarray, "height width 3"],
    start: Float[np.ndarray, "frames 2"],
    end: Float[np.ndarray, "frames 2"],
    radius: float | int,
    mirrored: bool = False,
) -> Texture:
    """Lays a tile along a limb: its rows run from start to end, its columns across the full width."""
    direction, normal = axes(start, end)
    length = np.maximum(np.linalg.norm(end - start, axis=-1, keepdims=True), 0.25 * radius)
    sign = -1.0 if mirrored else 1.0
    across = sign * normal * (2 * radius / tile.shape[1])
    along = direction * length / tile.shape[0]
    return Texture(tile, start - across * tile.shape[1] / 2, across, along)


def ellipse(
    center: Float[np.ndarray, "frames 2"],
    radius_x: float | np.ndarray,
    radius_y: float | np.ndarray,
    angle: float | np.ndarray = 0.0,
    points: int = 20,
) -> Float[np.ndarray, "frames points 2"]:
    """Outline of an ellipse, turned by `angle` (radians, counter-clockwise)."""
    t = np.linspace(0, 2 * np.pi, points, endpoint=False)
    x = np.asarray(radius_x, np.float64).reshape(-1, 1) * np.cos(t)
    y = np.asarray(radius_y, np.float64).reshape(-1, 1) * np.sin(t)
    return place(np.stack(np.broadcast_arrays(x, y), axis=-1), center, angle)


def place(
    local: Float[np.ndarray, "..."], center: Float[np.ndarray, "frames 2"], angle: float | np.ndarray
) -> Float[np.ndarray, "frames points 2"]:
    """Turns local points [frames or 1, points, 2] by `angle` and moves them to `center`."""
    a = np.asarray(angle, np.float64).reshape(-1, 1)
    x, y = local[..., 0], local[..., 1]
    turned = np.stack([np.cos(a) * x - np.sin(a) * y, np.sin(a) * x + np.cos(a) * y], axis=-1)
    return turned + center[:, None]


def smooth_closed(
    control: Float[np.ndarray, "frames knots 2"], per_span: int = 4
) -> Float[np.ndarray, "frames points 2"]:
    """A closed Catmull-Rom curve through the control points."""
    t = np.arange(per_span) / per_span
    basis = 0.5 * np.stack([-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, -(t**2) + t**3])
    knots = np.stack([np.roll(control, 1 - k, axis=1) for k in range(4)])
    return np.einsum("kt,kfnc->fntc", basis, knots).reshape(control.shape[0], -1, 2)


def offset(points: Float[np.ndarray, "frames points 2"], distance: float) -> Float[np.ndarray, "frames points 2"]:
    """The polygon grown outwards by about `distance`, for the outline around it."""
    tangent = np.roll(points, -1, axis=1) - np.roll(points, 1, axis=1)
    length = np.maximum(np.linalg.norm(tangent, axis=-1, keepdims=True), 1e-9)
    outward = np.stack([tangent[..., 1], -tangent[..., 0]], axis=-1) / length
    x, y = points[..., 0], points[..., 1]
    area = np.sum(x * np.roll(y, -1, axis=1) - np.roll(x, -1, axis=1) * y, axis=1)
    return points + outward * distance * np.sign(area)[:, None, None]
