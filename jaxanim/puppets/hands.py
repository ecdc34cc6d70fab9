"""Hands of 21 points: a wrist and five fingers of four joints, curling in three dimensions."""

import numpy as np
from jaxtyping import Float

from jaxanim.puppets.shapes import Shape, capsule
from jaxanim.puppets.skeleton import Vectors, unit
from jaxanim.puppets.textures import shade

# Base of each finger in the palm: along the hand and towards the thumb, then its spread (degrees) and bone
# lengths, all as fractions of the hand's length. OpenPose's order: thumb, index, middle, ring, little.
_BASE = np.array([(0.16, 0.2), (0.46, 0.21), (0.49, 0.07), (0.46, -0.075), (0.4, -0.2)])
_SPREAD = np.array([58.0, 19.0, 4.0, -12.0, -30.0])
_BONES = np.array([(0.0, 0.26, 0.2), (0.0, 0.26, 0.22), (0.0, 0.28, 0.24), (0.0, 0.26, 0.22), (0.0, 0.22, 0.18)])


def hand_points(
    wrist: Vectors,
    direction: Vectors,
    thumb_hint: Vectors,
    curl: Float[np.ndarray, "frames 5"],
    length: float | int,
) -> Float[np.ndarray, "frames 21 3"]:
    """The 21 points in world units, OpenPose order: wrist, then thumb to little finger from base to tip.

    direction: where the hand points. thumb_hint: roughly where the thumb's side faces. curl: 0 straight, 1 a
    fist.
    """
    across = unit(thumb_hint - np.sum(thumb_hint * direction, -1, keepdims=True) * direction)
    normal = np.cross(direction, across)
    palm = normal * np.sign(normal[:, 2:3] + 1e-9)
    points = [wrist]
    for finger in range(5):
        at = wrist + length * (_BASE[finger, 0] * direction + _BASE[finger, 1] * across)
        spread = np.deg2rad(_SPREAD[finger]) * (1 - 0.6 * curl[:, finger : finger + 1])
        heading = np.cos(spread) * direction + np.sin(spread) * across
        points.append(at)
        bones = _BONES[finger, 1:]
        for joint, bone in enumerate((bones[0], bones[1] * 0.55, bones[1] * 0.45)):
            bend = np.deg2rad(70.0) * curl[:, finger : finger + 1] * (joint + 0.6) * (0.5 if finger == 0 else 1.0)
            at = at + length * bone * (np.cos(bend) * heading + np.sin(bend) * palm)
            points.append(at)
    return np.stack(points, axis=1)


def hand_shapes(
    points: Float[np.ndarray, "frames 21 3"], skin: np.ndarray, part: int, length: float
) -> list[Shape]:
    """Palm and fingers."""
    flat = points[..., :2]
    dark = shade(skin, 0.5)
    knuckles = flat[:, [5, 9, 13, 17]].mean(1)
    palm = capsule(flat[:, 0], flat[:, 0] + 0.78 * (knuckles - flat[:, 0]), 0.22 * length, 0.25 * length)
    fill = shade(skin, 0.97)
    shapes = [Shape(palm, fill, part, dark)]
    for finger in range(5):
        joints = flat[:, 1 + 4 * finger : 5 + 4 * finger]
        shapes.append(Shape(joints, fill, part, dark, thickness=(0.17 if finger == 0 else 0.15) * length))
    return shapes
