"""Jointed objects: a desk lamp that looks about and a robot arm that grasps."""

import numpy as np

from jaxanim.cues.skeleton import Skeleton
from jaxanim.puppets.animal_parts import (
    Animal,
    box_around,
    dark,
    limb,
    local_shape,
    make_animal,
    plain,
    scaled,
    turned,
)
from jaxanim.puppets.motion import Motion, drift, pose_to_pose, wave
from jaxanim.puppets.posed import Posed
from jaxanim.puppets.seeds import stream
from jaxanim.puppets.shapes import Group, Shape, ellipse

SPECIES = ("lamp", "robot arm")
COATS = ("plain", "striped", "spotted")
STYLES = ("look", "nod", "reach", "wave")
BASE, LOWER, UPPER, HEAD, TIP, JOINT = 2, 6, 10, 24, 20, 15
SKELETON = Skeleton(
    ("base", "shoulder", "elbow", "wrist", "head", "upper tip", "lower tip"),
    ((0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (4, 6)),
    {"base": (0,), "lower arm": (1,), "upper arm": (2,), "head": (3,), "tips": (4, 5)},
)
_SEEN_ON = (
    (BASE,),
    (BASE, LOWER, JOINT),
    (LOWER, UPPER, JOINT),
    (UPPER, JOINT, HEAD),
    (HEAD,),
    (TIP, HEAD),
    (TIP, HEAD),
)


def make(seed: int) -> Animal:
    """The jointed object that a seed stands for."""
    return make_animal(seed, "jointed", SPECIES, COATS)


def move(seed: int, name: str | None, frames: int, fps: float | int) -> Motion:
    """Channels angles [frames, 3] (shoulder, elbow, head; degrees), grip, root, facing."""
    rng = stream(seed, "jointed motion")
    style = name or STYLES[rng.integers(len(STYLES))]
    t = np.arange(frames) / fps
    rest = np.array([118.0, -78.0, -58.0])
    angles = np.tile(rest, (frames, 1)) + np.stack([4 * drift(rng, t, 0.4) for _ in range(3)], -1)
    if style == "look":
        poses = rest + rng.uniform(-1, 1, (6, 3)) * np.array([16, 26, 46])
        angles = pose_to_pose(t, rng.uniform(0.8, 1.3), poses, hold=0.35) + 2 * np.stack(
            [drift(rng, t, 0.6)] * 3, -1
        )
    elif style == "nod":
        rate = rng.uniform(0.7, 1.2)
        angles = angles + np.stack([6 * wave(t, rate), 12 * wave(t, rate, -0.1), 32 * wave(t, rate, -0.2)], -1)
    elif style == "reach":
        poses = np.array([(104, -28, -50), (70, -70, -20), (128, -96, -40), (84, -52, -78)]) + rng.uniform(
            -9, 9, (4, 3)
        )
        angles = pose_to_pose(t, rng.uniform(1.0, 1.5), poses, hold=0.2)
    else:
        rate = rng.uniform(0.9, 1.3)
        angles = angles + np.stack(
            [-22 + 3 * wave(t, rate), 46 + 14 * wave(t, rate, -0.12), 50 + 30 * wave(t, rate, -0.24)], -1
        )
    root = np.stack([0.02 * drift(rng, t, 0.2), 0 * t], -1)
    grip = 0.5 + 0.5 * wave(t, rng.uniform(0.4, 0.8), rng.uniform(0, 1))
    return Motion(
        "jointed",
        style,
        fps,
        {
            "angles": angles,
            "grip": grip,
            "root": root,
            "facing": np.full(frames, 1.0 if rng.uniform() < 0.5 else -1.0),
        },
    )


def build(a: Animal, m: Motion) -> Posed:
    """All shapes of a jointed object in a motion."""
    flip, frames = m["facing"], m.frames
    one, two = 0.3 + 0.02 * a.build[0], 0.3 + 0.02 * a.build[1]
    thick = 0.036 + 0.006 * a.build[2]
    mirror = np.stack([flip, np.ones(frames)], -1)
    angle = np.cumsum(m["angles"], axis=1)
    floor = np.stack([m["root"][:, 0] - 0.16, np.full(frames, 0.045)], -1)
    shoulder = floor + np.array([0, 0.065])
    elbow = shoulder + turned(angle[:, 0], one)
    wrist = elbow + turned(angle[:, 1], two)
    head = wrist + turned(angle[:, 2], 0.1)
    base_w, shoulder_w, elbow_w, wrist_w, head_w = (p * mirror for p in (floor, shoulder, elbow, wrist, head))
    metal = np.array([120, 124, 132], np.float32) * (1 + 0.15 * a.build[3])
    base = local_shape(
        [(-0.16, -0.04), (0.16, -0.04), (0.14, 0.0), (0.05, 0.05), (-0.05, 0.05), (-0.14, 0.0)],
        base_w,
        0 * flip,
        flip,
    )
    shapes = [
        Shape(base, plain(a.accent), BASE, dark(a.accent)),
        limb(a, shoulder_w, elbow_w, thick, thick * 0.9, LOWER),
        limb(a, elbow_w, wrist_w, thick * 0.95, thick * 0.8, UPPER),
    ]
    for joint, r in ((shoulder_w, 1.35), (elbow_w, 1.3), (wrist_w, 1.15)):
        shapes.append(Shape(ellipse(joint, thick * r, thick * r), plain(metal), JOINT, dark(metal)))
        shapes.append(Shape(ellipse(joint, thick * 0.5, thick * 0.5, points=10), plain(metal, 0.7), JOINT))
    facing = angle[:, 2]
    if a.species == "lamp":
        bulb = local_shape(
            [(0.085, 0.075), (0.15, 0.05), (0.17, 0.0), (0.15, -0.05), (0.085, -0.075)], head_w, facing, flip
        )
        shade_ = local_shape(
            [(-0.07, 0.05), (0.02, 0.075), (0.1, 0.165), (0.1, -0.165), (0.02, -0.075), (-0.07, -0.05)],
            head_w,
            facing,
            flip,
        )
        tips = [head + turned(facing, 0.08) + turned(facing + s * 90, 0.12) for s in (1, -1)]
        shapes += [
            Shape(bulb, (255.0, 236.0, 150.0), TIP, (170.0, 140.0, 70.0)),
            Shape(shade_, plain(a.first), HEAD, dark(a.first)),
        ]
    else:
        palm = local_shape(
            [(-0.06, 0.05), (0.03, 0.075), (0.06, 0.06), (0.06, -0.06), (0.03, -0.075), (-0.06, -0.05)],
            head_w,
            facing,
            flip,
        )
        tips, fingers = [], []
        for s in (1, -1):
            knuckle = head + turned(facing + 60 * s, 0.075)
            bend = knuckle + turned(facing + s * (20 + 40 * m["grip"]), 0.09)
            tip = bend + turned(facing + s * (-32 + 26 * m["grip"]), 0.08)
            tips.append(bend + 0.8 * (tip - bend))
            fingers += [
                limb(a, knuckle * mirror, bend * mirror, 0.028, 0.025, TIP),
                limb(a, bend * mirror, tip * mirror, 0.025, 0.018, TIP),
            ]
        shapes += [*fingers, Shape(palm, plain(metal), HEAD, dark(metal))]
    points = np.stack([base_w, shoulder_w, elbow_w, wrist_w, head_w, *(p * mirror for p in tips)], 1)
    posed = Posed(
        [Group(np.zeros(frames), tuple(shapes))],
        SKELETON,
        points,
        _SEEN_ON,
        np.ones(points.shape[:2], bool),
        box_around(head_w, 0.16, 0.16),
    )
    return scaled(posed, 0.96 if a.species == "lamp" else 0.84)
