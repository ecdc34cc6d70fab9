"""A human skeleton in three dimensions: bone directions, lengths from the character, joints from both.

World axes: x to the viewer's right, y up, z towards the viewer. Projection is orthographic, so dropping z
draws it. A character facing the viewer has its left side at +x. Yaw is positive when it turns to the viewer's
right.
"""

import numpy as np
from jaxtyping import Float

from jaxanim.puppets.identity import Proportions
from jaxanim.puppets.motion import Motion

# Bone directions that a human motion carries, as unit vectors [frames, 3] in channels "bone_<name>".
BONES = (
    "spine", "head", "shoulders", "hips",
    "upper_arm_r", "forearm_r", "hand_r", "upper_arm_l", "forearm_l", "hand_l",
    "thigh_r", "shin_r", "foot_r", "thigh_l", "shin_l", "foot_l",
)  # fmt: skip

# OpenPose's 18 body points (COCO order), by the joint that each is.
BODY_POINTS = (
    "nose", "neck", "shoulder_r", "elbow_r", "wrist_r", "shoulder_l", "elbow_l", "wrist_l",
    "hip_r", "knee_r", "ankle_r", "hip_l", "knee_l", "ankle_l", "eye_r", "eye_l", "ear_r", "ear_l",
)  # fmt: skip

Vectors = Float[np.ndarray, "frames 3"]


def unit(v: np.ndarray) -> np.ndarray:
    """`v` over its length along the last axis."""
    return v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-9)


def flat(vectors: Float[np.ndarray, "*points 3"]) -> Float[np.ndarray, "*points 2"]:
    """Orthographic projection, seen from slightly above: what comes nearer also sinks a little."""
    return vectors[..., :2] - np.array([0.0, 0.12]) * vectors[..., 2:3]


def facing(lateral: Vectors, up: Vectors) -> Vectors:
    """Where the front of a body points, from its left-going and upward axes."""
    return unit(np.cross(lateral, up))


def yaw_of(lateral: Vectors) -> Float[np.ndarray, "frames"]:
    """Turn about the vertical axis, radians, of a left-going axis."""
    return np.arctan2(-lateral[:, 2], lateral[:, 0])


def _limb(
    out: Vectors, up: Vectors, front: Vectors, abduction: np.ndarray, flexion: np.ndarray
) -> tuple[Vectors, Vectors, Vectors]:
    """A limb hanging from a joint, swung forward by `flexion` then out to the side by `abduction` (radians).

    Returns its direction and the two directions that a change of flexion and of abduction would move it in.
    """
    a, f = abduction[:, None], flexion[:, None]
    swung, forward = -np.cos(f) * up + np.sin(f) * front, np.sin(f) * up + np.cos(f) * front
    return np.sin(a) * out + np.cos(a) * swung, forward, np.cos(a) * out - np.sin(a) * swung


def bones_from_angles(angles: dict[str, np.ndarray]) -> dict[str, Vectors]:
    """Forward kinematics of directions: joint angles (degrees, [frames]) to the channels "bone_*"."""
    rad = {name: np.deg2rad(value) for name, value in angles.items()}

    def around(yaw: np.ndarray) -> tuple[Vectors, Vectors]:
        zero = np.zeros_like(yaw)
        return np.stack([np.cos(yaw), zero, -np.sin(yaw)], -1), np.stack([np.sin(yaw), zero, np.cos(yaw)], -1)

    world_up = np.broadcast_to(np.array([0.0, 1.0, 0.0]), (len(rad["yaw"]), 3))
    hips, front = around(rad["yaw"])
    chest, chest_front = around(rad["yaw"] + rad["twist"])
    lean, tilt = rad["lean"][:, None], rad["tilt"][:, None]
    spine = unit(world_up + np.tan(lean) * front + np.tan(tilt) * hips)
    shoulders = unit(chest - np.sum(chest * spine, -1, keepdims=True) * spine + 0.4 * np.tan(tilt) * world_up * 0)
    chest_front = facing(shoulders, spine)
    bones = {"spine": spine, "shoulders": shoulders, "hips": hips}
    nod, roll = rad["head_pitch"][:, None], rad["head_roll"][:, None]
    bones["head"] = unit(
        0.6 * world_up + 0.4 * spine + 0.35 * np.sin(roll) * chest - 0.25 * np.sin(nod) * chest_front
    )
    for side, sign in (("r", -1.0), ("l", 1.0)):
        out = sign * shoulders
        upper, forward, outward = _limb(out, spine, chest_front, rad[f"abduct_{side}"], rad[f"flex_{side}"])
        bend, plane = rad[f"elbow_{side}"][:, None], rad[f"plane_{side}"][:, None]
        hinge = np.cos(plane) * forward + np.sin(plane) * outward
        forearm = np.cos(bend) * upper + np.sin(bend) * hinge
        wrist = rad[f"wrist_{side}"][:, None]
        bones[f"upper_arm_{side}"], bones[f"forearm_{side}"] = upper, forearm
        bones[f"hand_{side}"] = unit(
            np.cos(wrist) * forearm + np.sin(wrist) * (np.cos(bend) * hinge - np.sin(bend) * upper)
        )
        thigh, forward, _ = _limb(sign * hips, world_up, front, rad[f"leg_out_{side}"], rad[f"leg_flex_{side}"])
        knee = rad[f"knee_{side}"][:, None]
        bones[f"thigh_{side}"] = thigh
        bones[f"shin_{side}"] = np.cos(knee) * thigh - np.sin(knee) * forward
        toe = rad[f"toe_{side}"][:, None]
        bones[f"foot_{side}"] = unit(np.cos(toe) * (front + 0.35 * sign * hips) - np.sin(toe) * world_up)
    return {f"bone_{name}": value for name, value in bones.items()}


def pose(body: Proportions, motion: Motion) -> dict[str, Vectors]:
    """Joints of a human performing a motion, in world units, standing on y = 0.

    Names are those of `BODY_POINTS` without the face, and "pelvis", "head" (its centre), "hand_r/l" (tips of
    the middle knuckles) and "toe_r/l".
    """
    bone = {name: motion[f"bone_{name}"] for name in BONES}
    zero = np.zeros_like(bone["spine"])
    joints = {"pelvis": zero, "neck": bone["spine"] * body.torso}
    shoulder_base = bone["spine"] * (body.torso - 0.035)
    joints["head"] = joints["neck"] + bone["head"] * (body.head * 0.98)
    for side, sign in (("r", -1.0), ("l", 1.0)):
        shoulder = shoulder_base + sign * bone["shoulders"] * (body.shoulders / 2)
        raised = np.clip(bone[f"upper_arm_{side}"][:, 1:2], -0.2, 1) * 0.025 + 0.005
        shoulder = shoulder + bone["spine"] * raised
        elbow = shoulder + bone[f"upper_arm_{side}"] * body.upper_arm
        wrist = elbow + bone[f"forearm_{side}"] * body.forearm
        hip = sign * bone["hips"] * (body.hips / 2)
        knee = hip + bone[f"thigh_{side}"] * body.thigh
        ankle = knee + bone[f"shin_{side}"] * body.shin
        names = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
        for name, joint in zip(names, (shoulder, elbow, wrist, hip, knee, ankle), strict=True):
            joints[f"{name}_{side}"] = joint
        joints[f"hand_{side}"] = wrist + bone[f"hand_{side}"] * body.hand * 0.5
        joints[f"toe_{side}"] = ankle + bone[f"foot_{side}"] * body.foot * 0.6
    return _on_ground(joints, motion, body)


def _on_ground(joints: dict[str, Vectors], motion: Motion, body: Proportions) -> dict[str, Vectors]:
    """Lifts the whole body until its lowest foot stands `lift` above the ground, and moves it sideways."""
    feet = np.stack([joints[f"{name}_{side}"][:, 1] for name in ("ankle", "toe") for side in "rl"])
    sharpness = 60.0  # a soft minimum passes the weight smoothly from foot to foot
    lowest = -np.log(np.mean(np.exp(-sharpness * (feet - feet.min(0))), axis=0)) / sharpness + feet.min(0)
    move = np.stack([motion["root"][:, 0], motion["root"][:, 1] - lowest + 0.032, np.zeros(len(lowest))], axis=-1)
    return {name: (joint + move) * body.height for name, joint in joints.items()}
