"""Four-legged animals seen from the side: dog, cat, fox, horse and cow, with their gaits."""

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
from jaxanim.puppets.motion import Motion, blinks, drift, ease, glances, wave
from jaxanim.puppets.posed import Posed
from jaxanim.puppets.seeds import stream
from jaxanim.puppets.shapes import Group, Shape, Texture, ellipse

SPECIES = ("dog", "cat", "fox", "horse", "cow")
COATS = ("plain", "spotted", "striped", "patched")
STYLES = ("walk", "trot", "gallop", "jump", "idle", "play")
LEGS = ("front near", "hind near", "front far", "hind far")
BODY, HEAD, SNOUT, NECK, TAIL, EAR = 2, 24, 22, 20, 4, 18
_UPPER, _LOWER = (6, 9, 12, 15), (7, 10, 13, 16)

SKELETON = Skeleton(
    ("tail tip", "tail base", "hip", "withers", "head", "snout", "ear",
     *(f"{leg} {joint}" for leg in LEGS for joint in ("knee", "paw"))),
    ((0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (4, 6),
     (3, 7), (7, 8), (2, 9), (9, 10), (3, 11), (11, 12), (2, 13), (13, 14)),
    {"tail": (0, 1), "spine": (2,), "head": (3, 4, 5), "front near leg": (6, 7), "hind near leg": (8, 9),
     "front far leg": (10, 11), "hind far leg": (12, 13)},
)  # fmt: skip
_SEEN_ON = (
    (TAIL,),
    (TAIL, BODY),
    (BODY,),
    (BODY, NECK),
    (HEAD,),
    (SNOUT, HEAD),
    (EAR, HEAD),
    *((upper, lower) for k in range(4) for upper, lower in ((_UPPER[k], _LOWER[k]),) * 2),
)


def make(seed: int) -> Animal:
    """The four-legged animal that a seed stands for."""
    return make_animal(seed, "quadruped", SPECIES, COATS)


def move(seed: int, name: str | None, frames: int, fps: float | int) -> Motion:
    """A gait: channels legs [frames, 4, 2] (swing, knee; degrees), neck, tail, pitch, root, face, facing."""
    rng = stream(seed, "quadruped motion")
    style = name or STYLES[rng.integers(len(STYLES))]
    t = np.arange(frames) / fps
    zero = np.zeros(frames)
    legs, neck, tail = (
        np.zeros((frames, 4, 2)),
        48 + 6 * drift(rng, t, 0.3),
        130 + 14 * wave(t, rng.uniform(0.8, 2), 0.2),
    )
    pitch, lift, x = 1.5 * drift(rng, t, 0.3), zero.copy(), 0.04 * drift(rng, t, 0.2)
    if style in ("walk", "trot", "gallop"):
        phases = {
            "walk": (0.0, 0.75, 0.5, 0.25),
            "trot": (0.0, 0.5, 0.5, 0.0),
            "gallop": (0.0, 0.55, 0.12, 0.67),
        }[style]
        rate, reach = {"walk": (0.9, 24), "trot": (1.5, 28), "gallop": (1.6, 32)}[style]
        rate, reach = rate * rng.uniform(0.85, 1.2), reach * rng.uniform(0.85, 1.1)
        for k, phase in enumerate(phases):
            legs[:, k, 0] = reach * wave(t, rate, phase)
            legs[:, k, 1] = 10 + 1.5 * reach * np.clip(wave(t, rate, phase + 0.22), 0, 1) ** 1.5
        bounce = {"walk": 0.3, "trot": 1.0, "gallop": 2.4}[style]
        pitch = pitch + 2.2 * bounce * wave(t, rate if style == "gallop" else 2 * rate, 0.1)
        lift = 0.012 * bounce * (1 + wave(t, rate if style == "gallop" else 2 * rate, 0.6))
        neck = neck + 3 * bounce * wave(t, 2 * rate if style != "gallop" else rate, 0.35)
        x = rng.uniform(0.02, 0.06) * wave(t, 0.25, rng.uniform(0, 1))
    elif style == "jump":
        u = (t / rng.uniform(1.3, 1.8) + rng.uniform(0, 1)) % 1
        air = np.clip((u - 0.4) / 0.4, 0, 1)
        lift = rng.uniform(0.1, 0.18) * 4 * air * (1 - air)
        crouch = np.sin(np.pi * np.clip(u / 0.45, 0, 1)) ** 2
        flight = np.sin(np.pi * np.clip((u - 0.3) / 0.6, 0, 1)) ** 2
        for k in range(4):
            legs[:, k, 0] = (34 if k % 2 == 0 else -34) * flight + (14 if k % 2 == 0 else -6) * crouch
            legs[:, k, 1] = 12 + 55 * crouch + 18 * flight
        pitch = pitch + 16 * np.sin(2 * np.pi * np.clip((u - 0.35) / 0.5, 0, 1))
    elif style == "play":
        bow = ease(0.5 - 0.7 * np.cos(2 * np.pi * t / rng.uniform(2, 3)))
        for k in range(4):
            legs[:, k, 0] = (46 * bow if k % 2 == 0 else 4) + 5 * wave(t, 2, 0.25 * k)
            legs[:, k, 1] = 10 + (6 if k % 2 == 0 else 14) * bow
        pitch, neck = pitch - 20 * bow, neck + 26 * bow
        tail = 120 + 26 * wave(t, rng.uniform(1.5, 2.2))
    else:
        sniff = ease(1.6 * np.sin(2 * np.pi * t / rng.uniform(3.5, 5)))
        neck = neck - 70 * sniff
        for k in range(4):
            legs[:, k, 0], legs[:, k, 1] = 3 * drift(rng, t, 0.3), 8 + 4 * drift(rng, t, 0.3)
        tail = tail + 12 * wave(t, 1.6)
    gaze = glances(rng, t)
    mouth = 0.4 * np.clip(wave(t, rng.uniform(1.2, 2.2)), 0, 1)
    return Motion("quadruped", style, fps, {
        "legs": legs, "neck": neck, "tail": tail, "pitch": pitch, "root": np.stack([x, lift], -1),
        "face": np.stack([blinks(rng, t), gaze[:, 0], gaze[:, 1], mouth], -1),
        "facing": np.full(frames, 1.0 if rng.uniform() < 0.5 else -1.0),
    })  # fmt: skip


def build(a: Animal, m: Motion) -> Posed:
    """All shapes of a four-legged animal in a motion."""
    flip, frames = m["facing"], m.frames
    tall = {"dog": 0.0, "cat": -0.02, "fox": -0.02, "horse": 0.06, "cow": 0.03}[a.species]
    length, leg = 0.36 + 0.04 * a.build[0], 0.27 + tall + 0.03 * a.build[1]
    girth, head_r = 0.115 + 0.015 * a.build[2], 0.105 + 0.01 * a.build[3] - 0.2 * max(tall, 0)
    thick = 0.046 + 0.006 * a.build[2]
    hip, withers = turned(m["pitch"] + 180, length / 2), turned(m["pitch"], length / 2)
    joints = {}
    for k in range(4):
        base = (withers if k % 2 == 0 else hip) + np.array([0.02 if k >= 2 else -0.01, -0.35 * girth])
        swing, knee = m["legs"][:, k, 0], m["legs"][:, k, 1]
        bend = -knee if k % 2 == 0 else knee * 0.2
        middle = base + turned(-90 + swing + (0 if k % 2 == 0 else 0.5 * knee), leg * 0.5)
        paw = middle + turned(-90 + swing + bend - (0 if k % 2 == 0 else 0.75 * knee), leg * 0.5)
        joints[k] = [base, middle, paw]
    rise = on_ground(np.stack([joints[k][2][:, 1] - thick for k in range(4)]), m["root"][:, 1])
    place_at = np.stack([m["root"][:, 0] - (0.06 if a.species == "horse" else 0.02), rise], -1)

    def world(p: np.ndarray) -> np.ndarray:
        return (p + place_at) * np.stack([flip, np.ones(frames)], -1)

    neck_len = 0.14 + 1.2 * max(tall, 0)
    head_local = withers + turned(m["pitch"] + m["neck"], neck_len) + np.array([0.05, 0.06])
    nod = 0.35 * (m["neck"] - 48) - 12
    snout_len = {"dog": 0.11, "cat": 0.06, "fox": 0.12, "horse": 0.14, "cow": 0.12}[a.species] * (
        1 + 0.1 * a.build[4]
    )
    snout_local = head_local + turned(nod, head_r * 0.6 + snout_len * 0.6)
    jaw_local = head_local + turned(nod - 16 - 26 * m["face"][:, 3], head_r * 0.5 + snout_len * 0.55)
    hip_w, withers_w, head, snout, jaw = (world(p) for p in (hip, withers, head_local, snout_local, jaw_local))
    groups = [_leg(a, [world(p) for p in joints[k]], k, thick) for k in range(4)]
    groups += [_tail(a, world, hip, m, girth), _body(a, hip_w, withers_w, girth, flip)]
    neck = limb(a, withers_w, head, girth * 0.72, head_r * 0.62, NECK)
    groups.append(
        Group(
            np.full(frames, 1.0),
            (neck, *_head(a, head, snout, jaw, head_r, snout_len, world, head_local, nod, m)),
        )
    )
    tail_base, tail_tip = (
        world(hip + turned(m["pitch"] + 150, girth * 0.8)),
        _tail_tip(a, world, hip, m, girth),
    )
    ear = world(head_local + turned(nod + 105, head_r * 1.2))
    points = [tail_tip, tail_base, hip_w, withers_w, head, snout, ear]
    points += [world(p) for k in range(4) for p in joints[k][1:]]
    posed = Posed(groups, SKELETON, np.stack(points, 1), _SEEN_ON, np.ones((frames, len(points)), bool),
                 box_around(head, head_r * 1.2, head_r * 1.2))  # fmt: skip
    return scaled(posed, 0.86 if a.species == "horse" else 0.94)


def _leg(a: Animal, joints: list[np.ndarray], k: int, thick: float | int) -> Group:
    light = 1.0 if k < 2 else 0.8
    base, middle, paw = joints
    upper = limb(a, base, middle, thick * 1.35, thick, _UPPER[k], light)
    lower = limb(a, middle, paw, thick, thick * 0.85, _LOWER[k], light)
    color = a.second if a.species in ("fox", "horse", "cow") else a.first
    foot = Shape(
        ellipse(paw + np.array([0, -0.1 * thick]), thick * 1.15, thick * 0.9),
        plain(color, light),
        _LOWER[k],
        dark(color),
    )
    depth = np.full(len(base), (-2.0 if k >= 2 else 0.5) + 0.1 * (k % 2))
    return Group(depth, (upper, lower, foot))


def _body(a: Animal, hip: np.ndarray, withers: np.ndarray, girth: float | int, flip: np.ndarray) -> Group:
    back = hip + (hip - withers) * 0.18
    chest = withers + (withers - hip) * 0.2
    curve = bezier(back, hip * 0.6 + withers * 0.4 + np.array([0, 0.012]), chest, samples=14)
    radii = girth * np.sqrt(np.clip(1 - np.linspace(-1, 1, 14) ** 4, 0.02, 1)) * np.linspace(0.92, 1.05, 14)
    size = a.tile.shape[0]
    along = chest - back
    normal = np.stack([-along[:, 1], along[:, 0]], -1)
    normal = normal / np.linalg.norm(normal, axis=-1, keepdims=True) * flip[:, None]
    texture = Texture(a.tile, back + normal * girth * 1.1, along / size, -normal * 2.2 * girth / size)
    return Group(np.zeros(len(hip)), (Shape(ribbon(curve, radii), texture, BODY, dark(a.first)),))


def _tail_curve(a: Animal, world, hip: np.ndarray, m: Motion, girth: float | int) -> np.ndarray:
    length = {"dog": 0.2, "cat": 0.28, "fox": 0.26, "horse": 0.26, "cow": 0.24}[a.species] * (1 + 0.15 * a.build[5])
    droop = {"horse": 105.0, "cow": 110.0}.get(a.species, 0.0)
    base = hip + turned(m["pitch"] + 150, girth * 0.8)
    angle = m["pitch"] + m["tail"] + droop
    middle = base + turned(angle - 0.4 * droop + 18, length * 0.5)
    tip = middle + turned(angle - 14 + 0.5 * (m["tail"] - 130), length * 0.55)
    return bezier(world(base), world(middle), world(tip), samples=10)


def _tail(a: Animal, world, hip: np.ndarray, m: Motion, girth: float | int) -> Group:
    curve = _tail_curve(a, world, hip, m, girth)
    radii = {
        "fox": 0.018 + 0.04 * np.sin(np.linspace(0.1, 3.0, 10)),
        "horse": 0.024 + 0.02 * np.sin(np.linspace(0, 2.6, 10)),
        "cow": np.where(np.arange(10) > 7, 0.03, 0.013),
    }.get(a.species, np.linspace(0.026, 0.016, 10))
    color = a.second if a.species in ("fox", "horse", "cow") else a.first
    return Group(np.full(m.frames, -1.0), (Shape(ribbon(curve, radii), plain(color), TAIL, dark(color)),))


def _tail_tip(a: Animal, world, hip: np.ndarray, m: Motion, girth: float | int) -> np.ndarray:
    return _tail_curve(a, world, hip, m, girth)[:, -2]


def _head(
    a: Animal,
    head: np.ndarray,
    snout: np.ndarray,
    jaw: np.ndarray,
    r: float | int,
    length: float | int,
    world,
    local: np.ndarray,
    nod: np.ndarray,
    m: Motion,
) -> list[Shape]:
    flip = m["facing"]
    thick = r * (0.5 if a.species != "horse" else 0.58)
    light = np.clip(a.first * 0.5 + a.second * 0.5, 0, 255)
    shapes = []
    for offset, shift in ((118.0, 0.9), (82.0, 1.0)):  # far ear, near ear
        base = world(local + turned(nod + offset, r * 0.72))
        if a.species == "dog":
            tip = world(local + turned(nod + offset + 42, r * 1.35) + np.array([0, -0.05]))
            ear = limb(a, base, tip, r * 0.22, r * 0.3, EAR, 0.75 * shift)
        elif a.species == "cow":
            ear = limb(
                a,
                base,
                world(local + turned(nod + offset + 40, r * 1.5)),
                r * 0.16,
                r * 0.2,
                EAR,
                0.85 * shift,
            )
        else:
            tip = world(local + turned(nod + offset, r * (1.7 if a.species != "horse" else 1.55)))
            ear = triangle(base, tip, r * 0.62, a.first * 0.92 * shift, EAR)
        shapes.append(ear)
    mouth = limb(a, head, jaw, r * 0.5, thick * 0.55, SNOUT, 0.8)
    skull = limb(a, head, head + 0.001, r, r, HEAD)
    muzzle = Shape(
        limb(a, head * 0.6 + snout * 0.4, snout, thick * 1.1, thick * 0.8, SNOUT).points,
        plain(light),
        SNOUT,
        dark(light),
    )
    nose = Shape(
        ellipse(world(local + turned(nod + 9, r * 0.6 + length * 0.6 + thick * 0.7)), thick * 0.3, thick * 0.26),
        (40.0, 32.0, 34.0),
        SNOUT,
    )
    near_ear = shapes.pop() if a.species == "dog" else None
    face = [
        *shapes,
        mouth,
        skull,
        muzzle,
        nose,
        *eye(world(local + turned(nod + 42, r * 0.5)), r * 0.27, m, HEAD, flip),
    ]
    if a.species == "horse":
        mane = bezier(world(local + turned(nod + 100, r * 1.1)), world(local + turned(nod + 160, r * 1.3)),
                      world(local + turned(nod + 200, r * 1.9)), samples=8)  # fmt: skip
        face.insert(0, Shape(ribbon(mane, np.full(8, r * 0.36)), plain(a.second), NECK, dark(a.second)))
    return face if near_ear is None else [*face, near_ear]
