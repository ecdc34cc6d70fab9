"""Two-legged animals that are not human: dinosaur, dragon and kangaroo, in profile."""

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
    on_ground,
    plain,
    ribbon,
    scaled,
    triangle,
    turned,
)
from jaxanim.puppets.motion import Motion, blinks, drift, glances, wave
from jaxanim.puppets.posed import Posed
from jaxanim.puppets.seeds import stream
from jaxanim.puppets.shapes import Group, Shape, ellipse

SPECIES = ("dinosaur", "dragon", "kangaroo")
COATS = ("plain", "spotted", "striped", "scaled")
STYLES = ("walk", "hop", "dance", "idle", "roar")
BODY, HEAD, JAW, NECK, TAIL, CREST = 2, 24, 22, 20, 4, 18
_THIGH, _SHIN, _FOOT, _ARM = (6, 12), (8, 13), (10, 14), (15, 16)
_LEG_AT = np.array([0.02, -0.02])
"""Where legs begin, from the hip."""
SKELETON = Skeleton(
    (
        "tail tip",
        "tail middle",
        "hip",
        "chest",
        "head",
        "snout",
        *(f"{side} {joint}" for side in ("near", "far") for joint in ("knee", "ankle", "toe", "elbow", "hand")),
    ),
    (
        (0, 1),
        (1, 2),
        (2, 3),
        (3, 4),
        (4, 5),
        (2, 6),
        (6, 7),
        (7, 8),
        (3, 9),
        (9, 10),
        (2, 11),
        (11, 12),
        (12, 13),
        (3, 14),
        (14, 15),
    ),
    {
        "tail": (0, 1),
        "spine": (2,),
        "head": (3, 4),
        "near leg": (5, 6, 7),
        "near arm": (8, 9),
        "far leg": (10, 11, 12),
        "far arm": (13, 14),
    },
)
_SEEN_ON = ((TAIL,), (TAIL,), (BODY, _THIGH[0], _THIGH[1]), (BODY, _ARM[0], _ARM[1]), (HEAD,), (HEAD, JAW),
            *(ids for k in range(2) for ids in ((_THIGH[k], _SHIN[k]), (_SHIN[k], _FOOT[k]), (_FOOT[k],),
                                                (_ARM[k],), (_ARM[k],))))  # fmt: skip


def make(seed: int) -> Animal:
    """The two-legged animal that a seed stands for."""
    return make_animal(seed, "biped", SPECIES, COATS)


def move(seed: int, name: str | None, frames: int, fps: float | int) -> Motion:
    """A gait: channels legs [frames, 2, 3] and arms [frames, 2, 2] in degrees, and the body's."""
    rng = stream(seed, "biped motion")
    style = name or STYLES[rng.integers(len(STYLES))]
    t = np.arange(frames) / fps
    legs, arms = np.zeros((frames, 2, 3)), np.zeros((frames, 2, 2))
    rate = {"walk": 1.0, "hop": 1.2, "dance": 1.0}.get(style, 0.5) * rng.uniform(0.85, 1.15)
    pitch, neck = 52 + 2 * drift(rng, t, 0.3), 24 + 7 * drift(rng, t, 0.3)
    tail, lift, x = 8 * wave(t, rate * 0.5, 0.3), np.zeros(frames), 0.05 * drift(rng, t, 0.25)
    mouth = 0.5 * np.clip(drift(rng, t, 0.6), 0, 1)
    for k in range(2):
        legs[:, k] = [22, 38, 0]
        arms[:, k] = np.stack([-40 + 8 * drift(rng, t, 0.5), 65 + 10 * drift(rng, t, 0.5)], -1)
        if style == "walk":
            legs[:, k, 0] += 28 * wave(t, rate, 0.5 * k)
            legs[:, k, 1] += 42 * np.clip(wave(t, rate, 0.5 * k + 0.22), 0, 1) ** 2
            arms[:, k, 0] -= 14 * wave(t, rate, 0.5 * k)
        elif style == "dance":
            legs[:, k, 0] += 16 * (1 + wave(t, rate, 0.25)) + 14 * np.clip(wave(t, rate / 2, 0.5 * k), 0, 1)
            legs[:, k, 1] += 32 * (1 + wave(t, rate, 0.25)) + 34 * np.clip(wave(t, rate / 2, 0.5 * k), 0, 1)
            arms[:, k, 0] += 55 * wave(t, rate / 2, 0.5 * k)
    if style == "walk":
        neck, pitch = neck + 6 * wave(t, 2 * rate, 0.3), pitch + 3 * wave(t, 2 * rate)
    elif style == "dance":
        pitch, neck, tail = (
            pitch + 9 * wave(t, rate / 2),
            neck - 14 * wave(t, rate, 0.2),
            26 * wave(t, rate / 2, 0.3),
        )
    elif style == "hop":
        u = (t * rate + rng.uniform(0, 1)) % 1
        air = np.clip((u - 0.4) / 0.42, 0, 1)
        lift = rng.uniform(0.07, 0.13) * 4 * air * (1 - air)
        crouch = (
            np.sin(np.pi * np.clip(u / 0.45, 0, 1)) ** 2
            + 0.6 * np.sin(np.pi * np.clip((u - 0.78) / 0.22, 0, 1)) ** 2
        )
        legs[:, :, 0] += 28 * crouch[:, None]
        legs[:, :, 1] += 55 * crouch[:, None]
        pitch, tail = pitch - 14 * crouch + 8 * np.sin(np.pi * air) ** 2, tail - 16 * np.sin(np.pi * air) ** 2
        arms[:, :, 0] += 40 * np.sin(np.pi * air)[:, None]
    elif style == "roar":
        loud = np.clip(1.6 * wave(t, rate, rng.uniform(0, 1)), 0, 1) ** 2
        mouth, neck, pitch = loud, neck + 26 * loud, pitch + 10 * loud
        arms[:, :, 0] += 45 * loud[:, None] + (4 * wave(t, 4.0) * loud)[:, None]
    gaze = glances(rng, t)
    return Motion(
        "biped",
        style,
        fps,
        {
            "legs": legs,
            "arms": arms,
            "pitch": pitch,
            "neck": neck,
            "tail": 4 - 34 * np.tanh((4 - tail) / 34),
            "root": np.stack([x, lift], -1),
            "face": np.stack([blinks(rng, t), gaze[:, 0], gaze[:, 1], mouth], -1),
            "facing": np.full(frames, 1.0 if rng.uniform() < 0.5 else -1.0),
        },
    )


def build(a: Animal, m: Motion) -> Posed:
    """All shapes of a two-legged animal in a motion."""
    flip, frames = m["facing"], m.frames
    leg, trunk = 0.33 + 0.03 * a.build[0], 0.25 + 0.02 * a.build[1]
    girth, head_r = 0.105 + 0.015 * a.build[2], 0.1 + 0.012 * a.build[3]
    hip = np.zeros((frames, 2))
    chest = hip + turned(m["pitch"], trunk)
    head = chest + turned(m["pitch"] + m["neck"], 0.19 + 0.03 * a.build[4])
    nod = 0.4 * (m["neck"] - 24) - 4
    limbs = [_joints(m, k, hip, chest, leg, girth) for k in range(2)]
    rise = on_ground(np.stack([p[j][:, 1] - 0.032 for p in limbs for j in (1, 2)]), m["root"][:, 1])
    place_at = np.stack([m["root"][:, 0] + 0.04, rise], -1)

    def world(p: np.ndarray) -> np.ndarray:
        return (p + place_at) * np.stack([flip, np.ones(frames)], -1)

    tail = [
        hip + turned(m["pitch"] + 180, 0.1),
        hip + turned(188 + m["tail"], 0.26),
        hip + turned(196 + 2 * m["tail"], 0.42),
    ]
    tail = bezier(world(hip), *(world(p) for p in tail), samples=12)
    groups = [
        Group(
            np.full(frames, -0.5),
            (
                *_spikes(a, tail[:, :9], girth, flip, TAIL),
                Shape(
                    ribbon(tail, girth * np.linspace(0.95, 0.14, 12)),
                    plain(a.first, 0.97),
                    TAIL,
                    dark(a.first),
                ),
            ),
        )
    ]
    for k, joints in enumerate(limbs):
        groups += _leg_and_arm(a, k, [world(p) for p in (hip + _LEG_AT, *joints)], girth)
    back = bezier(world(hip - turned(m["pitch"], 0.06)), world(hip + turned(m["pitch"] - 14, trunk * 0.5)),
                  world(chest + turned(m["pitch"], 0.06)), samples=10)  # fmt: skip
    body = limb(a, world(hip), world(chest), girth * 1.12, girth * 0.78, BODY)
    belly = Shape(
        ellipse(
            world(hip * 0.45 + chest * 0.55 + turned(m["pitch"] - 90, girth * 0.42)),
            girth * 0.4,
            girth * 0.95,
            np.deg2rad(m["pitch"] - 90) * flip,
        ),
        plain(a.second),
        BODY,
    )
    groups.append(Group(np.zeros(frames), (*_spikes(a, back, girth, flip, CREST), body, belly)))
    groups.append(Group(np.full(frames, 0.5), _head(a, m, world, chest, head, nod, girth, head_r)))
    middle = tail[:, 6]
    points = [
        tail[:, 11],
        middle,
        world(hip),
        world(chest),
        world(head),
        world(head + turned(nod, head_r * 1.35)),
    ]
    points += [world(p[j]) for p in limbs for j in (0, 1, 2, 4, 5)]
    posed = Posed(groups, SKELETON, np.stack(points, 1), _SEEN_ON, np.ones((frames, len(points)), bool),
                 box_around(world(head), head_r * 1.3, head_r * 1.2))  # fmt: skip
    return scaled(posed, 0.9)


def _joints(
    m: Motion, k: int, hip: np.ndarray, chest: np.ndarray, leg: float, girth: float
) -> tuple[np.ndarray, ...]:
    """Knee, ankle, toe, shoulder, elbow and hand of side k."""
    thigh, knee, _ = m["legs"][:, k].T
    p_knee = hip + _LEG_AT + turned(-90 + thigh, leg * 0.5)
    ankle = p_knee + turned(-90 + thigh - knee, leg * 0.46)
    toe = ankle + turned(-6 + 0.25 * (thigh - knee), 0.1)
    shoulder = chest + turned(m["pitch"] - 110, girth * 0.35)
    elbow = shoulder + turned(-90 + m["arms"][:, k, 0] + 40, 0.095)
    return p_knee, ankle, toe, shoulder, elbow, elbow + turned(-90 + m["arms"][:, k, :].sum(-1) + 40, 0.085)


def _leg_and_arm(a: Animal, k: int, w: list[np.ndarray], girth: float) -> list[Group]:
    """Side k, the near one first, from the leg's beginning and the joints in the world."""
    light, depth = (1.0, 1.0) if k == 0 else (0.78, -2.0)
    leg = (
        limb(a, w[0], w[1], girth * 0.74, 0.056, _THIGH[k], light),
        limb(a, w[1], w[2], 0.05, 0.034, _SHIN[k], light),
        limb(a, w[2], w[3], 0.034, 0.03, _FOOT[k], light),
    )
    arm = (
        limb(a, w[4], w[5], 0.036, 0.03, _ARM[k], light),
        limb(a, w[5], w[6], 0.03, 0.027, _ARM[k], light),
    )
    frames = len(w[0])
    return [Group(np.full(frames, depth), leg), Group(np.full(frames, depth + 0.2), arm)]


def _spikes(a: Animal, curve: np.ndarray, girth: float | int, flip: np.ndarray, part: int) -> list[Shape]:
    if a.species == "kangaroo":
        return []
    tangent = np.gradient(curve, axis=1)
    tangent = tangent / np.maximum(np.linalg.norm(tangent, axis=-1, keepdims=True), 1e-9)
    up = np.stack([-tangent[..., 1], tangent[..., 0]], -1)
    up = up * np.sign(up[..., 1:2] + 1e-9)
    size = girth * (1.5 if a.species == "dragon" else 1.25)
    return [
        triangle(
            curve[:, k],
            curve[:, k] + up[:, k] * size * (1 if part == CREST else 1.05 - 0.08 * k),
            0.07,
            a.accent,
            part,
        )
        for k in range(1, curve.shape[1], 2)
    ]


def _head(
    a: Animal,
    m: Motion,
    world,
    chest: np.ndarray,
    head: np.ndarray,
    nod: np.ndarray,
    girth: float | int,
    r: float | int,
) -> tuple[Shape, ...]:
    snout, jaw = head + turned(nod, r * 1.25), head + turned(nod - 18 - 24 * m["face"][:, 3], r * 1.1)
    shapes = [limb(a, world(chest), world(head), girth * 0.66, r * 0.62, NECK)]
    if a.species == "kangaroo":
        for k in (0.8, 1.0):
            base = world(head + turned(nod + 100 + 20 * k, r * 0.8))
            shapes.append(
                triangle(base, world(head + turned(nod + 108 + 16 * k, r * 2.1)), r * 0.6, a.first * k, CREST)
            )
    elif a.species == "dragon":
        for k in (0.8, 1.0):
            base = world(head + turned(nod + 110 + 20 * k, r * 0.8))
            shapes.append(
                triangle(base, world(head + turned(nod + 140 + 10 * k, r * 1.8)), r * 0.34, a.accent * k, CREST)
            )
    shapes.append(limb(a, world(head), world(jaw), r * 0.5, r * 0.28, JAW, 0.85))
    shapes.append(limb(a, world(head), world(snout), r, r * 0.5, HEAD))
    nostril = world(head + turned(nod + 16, r * 1.5))
    shapes.append(Shape(ellipse(nostril, r * 0.08, r * 0.08, points=8), (40.0, 34.0, 36.0), HEAD))
    return (*shapes, *eye(world(head + turned(nod + 50, r * 0.48)), r * 0.28, m, HEAD, m["facing"]))
