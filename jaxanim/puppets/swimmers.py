"""Animals whose whole body waves: fish in the sea and snakes on the ground."""

import functools
from collections.abc import Callable

import numpy as np

from jaxanim.cues.skeleton import Skeleton
from jaxanim.puppets.animal_parts import (
    Animal,
    bezier,
    box_around,
    dark,
    eye,
    limb,
    make_animal,
    plain,
    ribbon,
    scaled,
    triangle,
)
from jaxanim.puppets.motion import Motion, blinks, drift, ease, glances, wave
from jaxanim.puppets.posed import Posed
from jaxanim.puppets.seeds import stream
from jaxanim.puppets.shapes import Group, Shape, Texture, ellipse

FISH_SPECIES, SNAKE_SPECIES = ("fish", "goldfish", "shark"), ("snake", "cobra")
COATS = ("plain", "striped", "spotted", "scaled")
FISH_STYLES, SNAKE_STYLES = ("swim", "dart", "float"), ("slither", "rear", "sway")
BODY, HEAD, TAIL, TOP_FIN, LOW_FIN, MOUTH = 4, 24, 8, 12, 16, 20
FISH_SKELETON = Skeleton(
    ("mouth", "head", "middle", "tail base", "upper tail", "lower tail", "top fin", "side fin"),
    ((0, 1), (1, 2), (2, 3), (3, 4), (3, 5), (2, 6), (1, 7)),
    {"body": (0, 1, 2), "tail": (3, 4), "top fin": (5,), "side fin": (6,)},
)
_FISH_SEEN_ON = (
    (MOUTH, HEAD),
    (HEAD, LOW_FIN),
    (BODY, LOW_FIN),
    (BODY, TAIL),
    (TAIL,),
    (TAIL,),
    (TOP_FIN, BODY),
    (LOW_FIN,),
)
SECTIONS = 16
SNAKE_SKELETON = Skeleton(
    tuple(f"spine {k}" for k in range(SECTIONS + 1)),
    tuple((k, k + 1) for k in range(SECTIONS)),
    {"tail": tuple(range(12, 16)), "body": tuple(range(2, 12)), "head": (0, 1)},
)


def make_fish(seed: int) -> Animal:
    """The fish that a seed stands for."""
    return make_animal(seed, "fish", FISH_SPECIES, COATS)


def make_snake(seed: int) -> Animal:
    """The snake that a seed stands for."""
    return make_animal(seed, "snake", SNAKE_SPECIES, COATS)


def move_fish(seed: int, name: str | None, frames: int, fps: float | int) -> Motion:
    """Channels beat [frames, 3] (a wave down the body), fins [frames, 2] and the body's."""
    rng = stream(seed, "fish motion")
    style = name or FISH_STYLES[rng.integers(len(FISH_STYLES))]
    t = np.arange(frames) / fps
    rate, size = {"swim": (1.0, 1.0), "dart": (1.5, 1.15), "float": (0.6, 0.55)}[style]
    rate = rate * rng.uniform(0.85, 1.15)
    beat = np.stack([size * k * wave(t, rate, -0.13 * j) for j, k in enumerate((0.25, 0.6, 1.0))], -1)
    fins = np.stack([18 * wave(t, rate * 0.8, 0.2), 34 * wave(t, rate * 0.7)], -1)
    root = np.stack(
        [0.07 * drift(rng, t, 0.3) + 0.006 * size * wave(t, rate * 2), 0.48 + 0.07 * drift(rng, t, 0.3)], -1
    )
    gaze = glances(rng, t)
    face = np.stack([0.6 * blinks(rng, t), gaze[:, 0], gaze[:, 1], np.clip(0.5 + 0.6 * wave(t, 0.9), 0, 1)], -1)
    return Motion(
        "fish",
        style,
        fps,
        {
            "beat": beat,
            "fins": fins,
            "pitch": 10 * drift(rng, t, 0.35),
            "root": root,
            "face": face,
            "facing": np.full(frames, 1.0 if rng.uniform() < 0.5 else -1.0),
        },
    )


def move_snake(seed: int, name: str | None, frames: int, fps: float | int) -> Motion:
    """Channels bends [frames, sections] (degrees between sections, from the head) and the body's."""
    rng = stream(seed, "snake motion")
    style = name or SNAKE_STYLES[rng.integers(len(SNAKE_STYLES))]
    t = np.arange(frames) / fps
    k = np.arange(SECTIONS)[None]
    rate, turns = rng.uniform(0.5, 0.9), rng.uniform(1.2, 1.6)
    size = {"slither": 52.0, "rear": 44.0, "sway": 46.0}[style] * rng.uniform(0.9, 1.1)
    phase = rng.uniform(0, 1)
    bends = (
        size * np.sin(2 * np.pi * (rate * t[:, None] - turns * k / SECTIONS + phase)) * np.clip((k - 1) / 4, 0.2, 1)
    )
    raised = {
        "slither": 28 + 6 * drift(rng, t, 0.4),
        "rear": 30 + 50 * ease(0.5 + 0.75 * np.sin(2 * np.pi * t / rng.uniform(3, 4.5))),
        "sway": 66 + 20 * wave(t, rng.uniform(0.5, 0.8)),
    }[style]
    tongue = np.clip(2 * np.sin(2 * np.pi * t / rng.uniform(1.2, 2.0)) - 1, 0, 1)
    gaze = glances(rng, t)
    face = np.stack([blinks(rng, t), gaze[:, 0], gaze[:, 1], tongue], -1)
    root = np.stack([0.05 * drift(rng, t, 0.25), 0 * t], -1)
    return Motion(
        "snake",
        style,
        fps,
        {
            "bends": bends,
            "raised": raised,
            "root": root,
            "face": face,
            "facing": np.full(frames, 1.0 if rng.uniform() < 0.5 else -1.0),
        },
    )


def build_fish(a: Animal, m: Motion) -> Posed:
    """All shapes of a fish in a motion."""
    flip, frames = m["facing"], m.frames
    length = {"fish": 0.52, "goldfish": 0.44, "shark": 0.62}[a.species] * (1 + 0.06 * a.build[0])
    tall = {"fish": 0.15, "goldfish": 0.17, "shark": 0.125}[a.species] * (1 + 0.1 * a.build[1])
    world = functools.partial(_in_water, m, length)
    h = tall / length
    xs = np.linspace(0, 1, 13)
    profile = h * np.sqrt(np.clip(np.sin(np.pi * np.clip(xs, 0, 1) ** 0.72), 0.05, 1))
    profile[-1] = 0.3 * h
    outline = _around(world, xs, profile)
    size = a.tile.shape[0]
    left, up = world(0.0, 0.0), world(0.5, h) - world(0.5, 0.0)
    texture = Texture(a.tile, left + up, (world(1.0, 0.0) - left) / size, -2 * up / size)
    body = Shape(outline, texture, BODY, dark(a.first))
    head_outline = _around(world, xs[9:], profile[9:] * 0.98)
    head = Shape(head_outline, plain(np.clip(a.first * 1.05 + 8, 0, 255)), HEAD)
    fork = 1 - 0.35 * np.tanh(m["beat"][:, 2] ** 2)
    upper, lower = world(-0.3 * fork, 0.3), world(-0.3 * fork, -0.28)
    tail = Shape(
        np.stack(
            [
                world(0.06, 0.04),
                world(-0.12, 0.2),
                upper,
                world(-0.16 * fork, 0.0),
                lower,
                world(-0.12, -0.19),
                world(0.06, -0.04),
            ],
            1,
        ),
        plain(a.accent),
        TAIL,
        dark(a.accent),
    )
    sway = m["fins"] / 300
    top_tip = world(0.42 + sway[:, 0], h * 1.75)
    top = Shape(
        np.stack(
            [
                world(0.3, h * 0.8),
                world(0.3 + sway[:, 0], h * 1.5),
                top_tip,
                world(0.56 + sway[:, 0], h * 1.4),
                world(0.68, h * 0.85),
            ],
            1,
        ),
        plain(a.accent),
        TOP_FIN,
        dark(a.accent),
    )
    fin_tip = world(0.44, -0.7 * h + 2 * sway[:, 1])
    side = triangle(world(0.64, -0.25 * h), fin_tip, 0.1, a.accent * 0.92, LOW_FIN)
    low = triangle(world(0.4, -0.85 * h), world(0.3 + sway[:, 0], -1.5 * h), 0.1, a.accent * 0.9, LOW_FIN)
    gape = 0.012 + 0.02 * m["face"][:, 3]
    mouth = Shape(ellipse(world(0.985, -0.12 * h), 0.024, gape), plain(a.accent * 0.6), MOUTH, dark(a.first))
    eyes = eye(world(0.8, 0.3 * h), 0.038, m, HEAD, flip)
    groups = [Group(np.zeros(frames), (tail, top, low, body, head, mouth, *eyes, side))]
    points = np.stack(
        [
            world(0.97, -0.1 * h),
            world(0.78, 0.0),
            world(0.45, 0.0),
            world(0.06, 0.0),
            0.2 * world(0.06, 0.0) + 0.8 * upper,
            0.2 * world(0.06, 0.0) + 0.8 * lower,
            world(0.42 + 0.6 * sway[:, 0], h * 1.3),
            0.3 * world(0.64, -0.25 * h) + 0.7 * fin_tip,
        ],
        1,
    )
    posed = Posed(groups, FISH_SKELETON, points, _FISH_SEEN_ON, np.ones(points.shape[:2], bool),
                  box_around(world(0.82, 0.0), 0.12, tall))  # fmt: skip
    return scaled(posed, 1.15, 0.47)


def _in_water(m: Motion, length: float, x: float | np.ndarray, y: float | np.ndarray) -> np.ndarray:
    """Body coordinates (x from tail base 0 to mouth 1 in lengths, y in lengths) bent by the beat."""
    x, y = np.broadcast_to(x, (m.frames,)), np.broadcast_to(y, (m.frames,))
    pitch = np.deg2rad(m["pitch"])
    # Seen from the side, a sideways beat shortens the tail and lifts it a little.
    back = np.clip(0.45 - x, 0, 1) / 0.45
    # The beat runs down the body: along it to the root, the tail and its tip.
    share = np.minimum(back, 1.8) / 1.8 * 2
    near, middle, far = m["beat"].T
    bent = np.minimum(back, 1.8) * np.where(
        share < 1, near + (middle - near) * share, middle + (far - middle) * (share - 1)
    )
    lx = (x - 0.5) * length + 0.05 * length * back * (1 - np.cos(1.4 * bent))
    ly = y * length + 0.09 * length * bent
    px = np.cos(pitch) * lx - np.sin(pitch) * ly + m["root"][:, 0] + 0.04
    return np.stack([px * m["facing"], np.sin(pitch) * lx + np.cos(pitch) * ly + m["root"][:, 1]], -1)


def _around(world: Callable, xs: np.ndarray, profile: np.ndarray) -> np.ndarray:
    """A closed outline that is `profile` above and below the body's axis."""
    above = [world(x, p) for x, p in zip(xs, profile, strict=True)]
    below = [world(x, -p) for x, p in zip(xs[::-1], profile[::-1], strict=True)]
    return np.stack([*above, *below], 1)


def build_snake(a: Animal, m: Motion) -> Posed:
    """All shapes of a snake in a motion."""
    flip, frames = m["facing"], m.frames
    step = 0.07 * (1 + 0.08 * a.build[0])
    thick = 0.056 + 0.008 * a.build[1]
    lifted = np.clip(1 - np.arange(SECTIONS) / 5.5, 0, 1) ** 0.6
    angle = np.deg2rad(180 + m["bends"] + m["raised"][:, None] * lifted)
    steps = step * np.stack([np.cos(angle), np.sin(angle)], -1)
    spine = np.concatenate([np.zeros((frames, 1, 2)), np.cumsum(steps, axis=1)], 1)
    spine = spine - spine.mean(1, keepdims=True) * np.array([1.0, 0.0])
    # Head up: the front of the body climbs from the ground line.
    radii = thick * np.interp(np.arange(SECTIONS + 1), [0, 2, 9, SECTIONS], [1.1, 0.95, 1.1, 0.3])
    low = (spine[..., 1] - radii).min(1)
    soft = low - np.log(np.mean(np.exp(-40 * (spine[..., 1] - radii - low[:, None])), axis=1)) / 40
    spine = spine + np.stack([m["root"][:, 0], 0.03 - soft], -1)[:, None]
    spine = spine * np.stack([flip, np.ones(frames)], -1)[:, None]
    shapes = []
    for k in range(SECTIONS - 1, -1, -1):
        part = TAIL if k >= 12 else BODY
        section = limb(a, spine[:, k + 1], spine[:, k], radii[k + 1], radii[k], part, 1.0 if (k // 2) % 2 else 0.88)
        shapes.append(section)
    head, neck = spine[:, 0], spine[:, 1]
    forward = np.stack([flip * 0.9, 0 * flip - 0.1], -1)
    nose = head + forward * thick * 1.1
    tongue_tip = nose + forward * (0.02 + 0.09 * m["face"][:, 3])[:, None]
    red = (206.0, 60.0, 70.0)
    mouth = [Shape(np.stack([nose, tongue_tip], 1), red, MOUTH, thickness=0.014)]
    if a.species == "cobra":
        hood = bezier(head, 0.4 * head + 0.6 * neck, spine[:, 2], spine[:, 3], samples=10)
        mouth.append(
            Shape(
                ribbon(hood, thick * (0.9 + 1.0 * np.sin(np.linspace(0.2, 3.0, 10)))),
                plain(a.second),
                HEAD,
                dark(a.second),
            )
        )
    skull = limb(a, head, nose, thick * 1.35, thick * 0.9, HEAD)
    eyes = eye(head + np.stack([0.25 * flip * thick, 0 * flip + 0.62 * thick], -1), thick * 0.42, m, HEAD, flip)
    groups = [Group(np.zeros(frames), tuple(shapes)), Group(np.ones(frames), (*mouth, skull, *eyes))]
    seen_on = [(HEAD,), (HEAD, BODY), *[(BODY, HEAD)] * 10, *[(TAIL, BODY)] * 5]
    posed = Posed(groups, SNAKE_SKELETON, spine, seen_on, np.ones(spine.shape[:2], bool),
                  box_around(head, thick * 1.6, thick * 1.5))  # fmt: skip
    return scaled(posed, 0.92)
