"""Birds seen from the side: flying, gliding, and standing on the ground."""

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
    triangle,
    turned,
)
from jaxanim.puppets.motion import Motion, blinks, drift, ease, glances, wave
from jaxanim.puppets.posed import Posed
from jaxanim.puppets.seeds import stream
from jaxanim.puppets.shapes import Group, Shape, ellipse

SPECIES = ("bird", "parrot", "duck")
COATS = ("plain", "spotted", "patched", "striped")
STYLES = ("fly", "glide", "hover", "peck", "hop")
BODY, HEAD, BEAK, TAIL = 2, 24, 22, 4
_WING_IN, _WING_OUT, _LEG = (8, 12), (10, 14), (17, 19)
SKELETON = Skeleton(
    (
        "tail tip",
        "tail base",
        "chest",
        "head",
        "beak",
        *(f"{side} {joint}" for side in ("near", "far") for joint in ("wrist", "wing tip", "foot")),
    ),
    ((0, 1), (1, 2), (2, 3), (3, 4), (2, 5), (5, 6), (1, 7), (2, 8), (8, 9), (1, 10)),
    {
        "tail": (0,),
        "spine": (1,),
        "head": (2, 3),
        "near wing": (4, 5),
        "near leg": (6,),
        "far wing": (7, 8),
        "far leg": (9,),
    },
)
_SEEN_ON = (
    (TAIL,),
    (TAIL, BODY),
    (BODY, *_WING_IN),
    (HEAD,),
    (BEAK,),
    *(ids for k in range(2) for ids in ((_WING_IN[k], _WING_OUT[k]), (_WING_OUT[k],), (_LEG[k],))),
)


def make(seed: int) -> Animal:
    """The bird that a seed stands for."""
    return make_animal(seed, "bird", SPECIES, COATS)


def move(seed: int, name: str | None, frames: int, fps: float | int) -> Motion:
    """Channels wings [frames, 3] (raise and fold in degrees, tucked in [0, 1]), legs [frames, 2], pitch,
    neck, tail, root (height of the body), face, facing."""
    rng = stream(seed, "bird motion")
    style = name or STYLES[rng.integers(len(STYLES))]
    t = np.arange(frames) / fps
    zero = np.zeros(frames)
    flying = style in ("fly", "glide", "hover")
    rate = {"fly": 1.2, "glide": 0.45, "hover": 1.3}.get(style, 0.4) * rng.uniform(0.85, 1.15)
    neck, tail, legs = 40 + 7 * drift(rng, t, 0.4), 8 * wave(t, rate / 2, 0.2), np.stack([zero, zero], -1)
    x = 0.06 * drift(rng, t, 0.25)
    if flying:
        amplitude = {"fly": 48, "glide": 14, "hover": 48}[style]
        flap = wave(t, rate)
        wings = np.stack([14 + amplitude * flap, 22 - 26 * wave(t, rate, -0.18), zero], -1)
        height = 0.5 + 0.05 * drift(rng, t, 0.3) - 0.02 * (amplitude / 50) * wave(t, rate, -0.1)
        pitch = {"fly": 8, "glide": -2, "hover": 42}[style] + 5 * drift(rng, t, 0.3) + 2 * flap
        legs = np.stack([-62 + 5 * wave(t, rate, 0.3 * k) for k in range(2)], -1)
    else:
        peck = ease(2 * wave(t, rng.uniform(0.22, 0.3), rng.uniform(0, 1)) - 0.4) if style == "peck" else zero
        u = (t * rng.uniform(1.0, 1.35)) % 1
        hop = np.sin(np.pi * np.clip((u - 0.35) / 0.5, 0, 1)) ** 2 if style == "hop" else zero
        wings = np.stack([-22 + 26 * hop + 3 * drift(rng, t, 0.4), -14 + 26 * hop, 1 - 0.5 * hop], -1)
        pitch = 26 - 30 * peck + 8 * hop + 3 * drift(rng, t, 0.3)
        neck = neck - 85 * peck
        height = 0.27 + 0.09 * hop - 0.015 * np.sin(np.pi * np.clip(u / 0.4, 0, 1)) ** 2 * (style == "hop")
        legs = np.stack([14 * hop + 5 * k for k in range(2)], -1)
        tail = tail + 12 * wave(t, 0.9)
    gaze = glances(rng, t)
    return Motion(
        "bird",
        style,
        fps,
        {
            "wings": wings,
            "legs": legs,
            "pitch": pitch,
            "neck": neck,
            "tail": tail,
            "root": np.stack([x, height], -1),
            "face": np.stack([blinks(rng, t), gaze[:, 0], gaze[:, 1], np.clip(drift(rng, t, 0.9), 0, 1)], -1),
            "facing": np.full(frames, 1.0 if rng.uniform() < 0.5 else -1.0),
        },
    )


def build(a: Animal, m: Motion) -> Posed:
    """All shapes of a bird in a motion."""
    flip, frames = m["facing"], m.frames
    length, girth = 0.32 + 0.03 * a.build[0], 0.135 + 0.012 * a.build[1]
    head_r = 0.1 + 0.01 * a.build[2]
    span = 0.22 + 0.02 * a.build[3]
    center = m["root"]

    def world(p: np.ndarray) -> np.ndarray:
        return p * np.stack([flip, np.ones(frames)], -1)

    tail_base, chest = center - turned(m["pitch"], length / 2), center + turned(m["pitch"], length * 0.34)
    tail_tip = tail_base - turned(m["pitch"] + m["tail"], 0.17 + 0.03 * a.build[4])
    head = chest + turned(m["pitch"] * 0.6 + m["neck"], 0.14 + (0.04 if a.species == "duck" else 0.0))
    nod = 0.35 * (m["neck"] - 40)
    beak_len = head_r * {"bird": 0.75, "parrot": 0.6, "duck": 0.95}[a.species]
    beak = head + turned(nod - 4, head_r * 0.85 + beak_len)
    lower = head + turned(nod - 16 - 22 * m["face"][:, 3], head_r * 0.8 + 0.8 * beak_len)
    groups = [_tail(a, world, tail_base, tail_tip, m)]
    points_limbs = []
    for k in range(2):
        shoulder = center + turned(m["pitch"] + 25, girth * 0.42) + np.array([0.015 * k, 0.0])
        raised = m["pitch"] * 0.4 + 180 - m["wings"][:, 0] + 8 * k
        reach = span * (1 - 0.42 * m["wings"][:, 2])
        wrist = shoulder + turned(raised, reach)
        tip = wrist + turned(raised + m["wings"][:, 1] - 12, reach * 1.15)
        groups.append(_wing(a, world, shoulder, wrist, tip, raised, m["wings"], k))
        hip = center - turned(m["pitch"], 0.03) + np.array([0.02 * k, -girth * 0.6])
        foot = hip + turned(-90 + m["legs"][:, k], 0.13)
        groups.append(_leg(a, world, hip, foot, k))
        points_limbs += [wrist, tip, foot]
    curve = bezier(
        world(tail_base),
        world(center + np.array([0, -0.03])),
        world(chest + turned(m["pitch"], 0.06)),
        samples=12,
    )
    radii = girth * np.sqrt(np.clip(np.sin(np.linspace(0.12, 2.75, 12)), 0.05, 1))
    spine = limb(a, world(tail_base), world(chest), girth, girth, BODY)
    neck = limb(a, world(chest), world(head), girth * 0.62, head_r * 0.8, BODY)
    body = Shape(ribbon(curve, radii), spine.fill, BODY, dark(a.first))
    belly = Shape(
        ellipse(
            world(center + turned(m["pitch"] - 70, girth * 0.5)),
            girth * 0.8,
            girth * 0.4,
            np.deg2rad(m["pitch"]) * flip,
        ),
        plain(a.second),
        BODY,
    )
    groups.append(Group(np.zeros(frames), (body, neck, belly)))
    bill = np.array([240, 170, 60], np.float32) if a.species != "parrot" else np.array([90, 84, 84], np.float32)
    shapes = [
        triangle(world(head + turned(nod - 10, head_r * 0.6)), world(lower), head_r * 0.5, bill * 0.85, BEAK),
        limb(a, world(head), world(head) + 0.001, head_r, head_r, HEAD),
        triangle(world(head + turned(nod, head_r * 0.7)), world(beak), head_r * 0.72, bill, BEAK),
    ]
    if a.species == "parrot" or a.build[5] > 0.4:
        crest = [world(head + turned(nod + d, head_r * s)) for d, s in ((70, 1.6), (95, 1.75), (120, 1.6))]
        base = world(head + turned(nod + 90, head_r * 0.7))
        shapes[:0] = [triangle(base, tip, head_r * 0.5, a.accent, HEAD) for tip in crest]
    shapes += eye(world(head + turned(nod + 30, head_r * 0.42)), head_r * 0.3, m, HEAD, flip)
    groups.append(Group(np.full(frames, 0.6), tuple(shapes)))
    near_tip = [
        tail_base + 0.8 * (tail_tip - tail_base),
        tail_base,
        chest,
        head,
        head + turned(nod - 2, head_r + 0.4 * beak_len),
    ]
    points = np.stack([world(p) for p in (*near_tip, *points_limbs)], 1)
    return Posed(groups, SKELETON, points, _SEEN_ON, np.ones((frames, points.shape[1]), bool),
                 box_around(world(head), head_r * 1.2, head_r * 1.2))  # fmt: skip


def _tail(a: Animal, world, base: np.ndarray, tip: np.ndarray, m: Motion) -> Group:
    fan = [base + turned(m["pitch"] + m["tail"] + 180 + d, 0.18) for d in (-16, 0, 16)]
    feathers = [limb(a, world(base), world(end), 0.04, 0.034, TAIL, 0.9 - 0.05 * k) for k, end in enumerate(fan)]
    return Group(np.full(len(base), -1.0), (*feathers, limb(a, world(base), world(tip), 0.04, 0.032, TAIL)))


def _wing(
    a: Animal,
    world,
    shoulder: np.ndarray,
    wrist: np.ndarray,
    tip: np.ndarray,
    angle: np.ndarray,
    wings: np.ndarray,
    k: int,
) -> Group:
    color = a.second * (1.0 if k == 0 else 0.75)
    open_ = 1 - 0.75 * wings[:, 2]
    feathers = []
    for j, share in enumerate((0.0, 0.35, 0.7, 1.0)):
        root = wrist + share * (tip - wrist)
        end = root + turned(angle + wings[:, 1] * 0.8 + (62 - 34 * share) * open_, 0.13 * (1 - 0.25 * share))
        feathers.append(
            Shape(
                limb(a, world(root), world(end), 0.04, 0.028, _WING_OUT[k]).points,
                plain(color, 0.86 + 0.06 * (j % 2)),
                _WING_OUT[k],
                dark(color),
            )
        )
    for j, share in enumerate((0.25, 0.6)):
        root = shoulder + share * (wrist - shoulder)
        end = root + turned(angle + 66 * open_, 0.13)
        feathers.append(
            Shape(
                limb(a, world(root), world(end), 0.05, 0.036, _WING_IN[k]).points,
                plain(color, 0.9 + 0.05 * j),
                _WING_IN[k],
                dark(color),
            )
        )
    arm = a.accent * (1.0 if k == 0 else 0.75)
    bones = [
        Shape(limb(a, world(p), world(q), r0, r1, part).points, plain(arm), part, dark(arm))
        for p, q, r0, r1, part in (
            (shoulder, wrist, 0.05, 0.042, _WING_IN[k]),
            (wrist, tip, 0.04, 0.026, _WING_OUT[k]),
        )
    ]
    return Group(np.full(len(angle), 1.0 if k == 0 else -2.0), (*feathers, *bones))


def _leg(a: Animal, world, hip: np.ndarray, foot: np.ndarray, k: int) -> Group:
    color = np.array([232, 150, 60], np.float32) * (1.0 if k == 0 else 0.8)
    shapes = [
        Shape(limb(a, world(hip), world(foot), 0.02, 0.017, _LEG[k]).points, plain(color), _LEG[k], dark(color))
    ]
    direction = (foot - hip) / np.linalg.norm(foot - hip, axis=-1, keepdims=True)
    toes = foot + np.stack([-direction[:, 1], direction[:, 0]], -1) * 0.055
    shapes.append(
        Shape(
            limb(a, world(foot), world(toes), 0.018, 0.016, _LEG[k]).points,
            plain(color),
            _LEG[k],
            dark(color),
        )
    )
    return Group(np.full(len(hip), -0.5 if k == 0 else -2.5), tuple(shapes))
