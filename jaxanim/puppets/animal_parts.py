"""Pieces that animals are put together from: bodies along a curve, legs, eyes, mouths, tails."""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from jaxtyping import Float

from jaxanim.puppets.motion import Motion
from jaxanim.puppets.posed import Posed
from jaxanim.puppets.seeds import stream
from jaxanim.puppets.shapes import Group, Shape, Texture, capsule, ellipse, limb_texture, place
from jaxanim.puppets.textures import COLORS, hide, jittered, shade

Point = Float[np.ndarray, "frames 2"]
Angle = Float[np.ndarray, "frames"]


@dataclass(frozen=True)
class Animal:
    """Who an animal or object is: its species, its coat's pattern and colours, and its build.

    build: six independent numbers in [-1, 1] that each species turns into its proportions.
    """

    seed: int
    kind: str
    species: str
    coat: str
    color_name: str
    first: Float[np.ndarray, "3"]
    second: Float[np.ndarray, "3"]
    accent: Float[np.ndarray, "3"]
    build: Float[np.ndarray, "6"]
    tile: np.ndarray


def make_animal(seed: int, kind: str, species: tuple[str, ...], coats: tuple[str, ...]) -> Animal:
    """Draws an animal of a kind from a seed."""
    rng = stream(seed, kind)
    names = list(COLORS)
    one, two, three = rng.choice(len(names), 3, replace=False)
    first, second, accent = (jittered(rng, COLORS[names[k]]) for k in (one, two, three))
    if np.abs(first - second).sum() < 140:
        second = np.where(first.mean() > 128, first * 0.5, first * 0.4 + 150).astype(np.float32)
    coat = coats[rng.integers(len(coats))]
    build = rng.uniform(-1, 1, 6)
    which = species[rng.integers(len(species))]
    return Animal(seed, kind, which, coat, names[one], first, second, accent, build, hide(rng, coat, first, second))


def turned(angle: Angle, length: float | np.ndarray) -> Point:
    """A step of `length` at `angle` degrees, 0 to the right, 90 up."""
    a = np.deg2rad(angle)
    return np.stack([np.cos(a) * length, np.sin(a) * length], -1)


def dark(color: np.ndarray) -> tuple[float, float, float]:
    """The outline that belongs to a fill."""
    return shade(color, 0.5)


def plain(color: np.ndarray, light: float | int = 1.0) -> tuple[float, float, float]:
    """`color` as a fill, a little lighter or darker."""
    return shade(color, light)


def limb(
    animal: Animal,
    start: Point,
    end: Point,
    r0: float | int,
    r1: float | int,
    part: int,
    light: float | int = 1.0,
) -> Shape:
    """A textured limb segment."""
    tile = np.clip(animal.tile.astype(np.float32) * light, 0, 255).astype(np.uint8)
    texture = limb_texture(tile, start, end, 1.2 * max(r0, r1))
    return Shape(capsule(start, end, r0, r1), texture, part, shade(animal.first, 0.5 * light))


def ribbon(curve: Float[np.ndarray, "frames knots 2"], radii: np.ndarray) -> Float[np.ndarray, "frames outline 2"]:
    """The outline of a body of varying radius along a curve, pointed where the radius ends small."""
    tangent = np.gradient(curve, axis=1)
    tangent = tangent / np.maximum(np.linalg.norm(tangent, axis=-1, keepdims=True), 1e-9)
    normal = np.stack([-tangent[..., 1], tangent[..., 0]], -1) * np.asarray(radii)[..., None]
    return np.concatenate([curve + normal, (curve - normal)[:, ::-1]], 1)


def bezier(*controls: Point, samples: int = 12) -> Float[np.ndarray, "frames samples 2"]:
    """A Bezier curve of any degree, by repeated interpolation."""
    t = np.linspace(0, 1, samples)[None, :, None]
    level = [np.broadcast_to(c[:, None], (len(c), samples, 2)) for c in controls]
    while len(level) > 1:
        level = [(1 - t) * a + t * b for a, b in pairwise(level)]
    return level[0]


def eye(center: Point, radius: float | int, motion: Motion, part: int, forward: np.ndarray) -> list[Shape]:
    """An eye that blinks and looks; `forward` is +1 or -1, the way the animal faces."""
    blink, gaze_x, gaze_y = motion["face"][:, 0], motion["face"][:, 1], motion["face"][:, 2]
    opening = np.clip(1 - blink, 0.08, 1)
    look = np.stack([(0.25 * forward + 0.2 * gaze_x) * radius, 0.25 * gaze_y * radius * opening], -1)
    black = (30.0, 26.0, 30.0)
    glint = center + look * 1.2 + np.array([-0.12, 0.2]) * radius
    return [
        Shape(ellipse(center, radius, radius * opening), (250.0, 250.0, 248.0), part, black),
        Shape(ellipse(center + look, radius * 0.6, radius * 0.66 * opening), black, part),
        Shape(ellipse(glint, radius * 0.22, radius * 0.22 * opening, points=8), (255.0, 255.0, 255.0), part),
    ]


def triangle(base: Point, tip: Point, width: float | int, color: np.ndarray, part: int) -> Shape:
    """A pointed ear, fin, spike or beak."""
    along = tip - base
    normal = np.stack([-along[:, 1], along[:, 0]], -1)
    normal = normal / np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-9) * width / 2
    points = np.stack(
        [
            base + normal,
            0.35 * base + 0.65 * tip + 0.5 * normal,
            tip,
            0.35 * base + 0.65 * tip - 0.5 * normal,
            base - normal,
        ],
        1,
    )
    return Shape(points, plain(color), part, dark(color))


def on_ground(feet: Float[np.ndarray, "feet frames"], lift: Angle) -> Angle:
    """How far to raise a body so that its lowest foot is `lift` above the ground (smoothly)."""
    low = feet.min(0)
    return lift - (low - np.log(np.mean(np.exp(-60.0 * (feet - low)), axis=0)) / 60.0)


def box_around(center: Point, rx: float | int, ry: float | int) -> Float[np.ndarray, "frames 8 2"]:
    """An ellipse's outline for the face box."""
    return ellipse(center, rx, ry, points=8)


def local_shape(points: list[tuple[float, float]], center: Point, angle: Angle, flip: np.ndarray) -> np.ndarray:
    """Local points (drawn facing right) turned by `angle` degrees, mirrored where `flip` is -1, and moved."""
    local = np.array(points)[None] * np.ones((len(center), 1, 1))
    turned_points = place(local, np.zeros_like(center), np.deg2rad(angle))
    turned_points[..., 0] *= flip[:, None]
    return turned_points + center[:, None]


def scaled(posed: Posed, factor: float | int, about: float | int = 0.0) -> Posed:
    """The whole animal made larger or smaller about the point (0, `about`)."""
    center = np.array([0.0, about])

    def place_again(points: np.ndarray) -> np.ndarray:
        return (points - center) * factor + center

    def texture(t: Texture) -> Texture:
        return replace(t, origin=place_again(t.origin), across=t.across * factor, along=t.along * factor)

    def shape(s: Shape) -> Shape:
        fill = texture(s.fill) if isinstance(s.fill, Texture) else s.fill
        thickness = s.thickness * factor if s.thickness else None
        return replace(s, points=place_again(s.points), fill=fill, thickness=thickness)

    groups = [Group(group.depth, tuple(shape(s) for s in group.shapes)) for group in posed.groups]
    return replace(posed, groups=groups, points=place_again(posed.points), head=place_again(posed.head))
