"""OpenPose keypoints: 18 body points, 21 per hand, 68 of the face; drawn as ControlNet's pose models were
trained on.

The drawing's colours and widths are those of the public ControlNet annotator (controlnet_aux, Apache-2.0):
body sticks are flat ellipses dimmed to 60 %, joints discs in full colour, hands lines running through the
hues with blue discs, and face points white discs. Widths are given for pictures whose shorter side is 512 and
scale with the picture.
"""

import colorsys
import json
import os
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from jaxanim.media.files import atomic_path
from jaxanim.media.keypoints import BODY, FACE, LEFT_HAND, PARTS, RIGHT_HAND, Fields, in_pixels, read_people
from jaxanim.media.main_person import main_person

COLORS = tuple(
    (round(255 * r), round(255 * g), round(255 * b))
    for r, g, b in (colorsys.hsv_to_rgb(k / 18, 1, 1) for k in range(18))
)
# Pairs of body points in the order that the sticks are coloured and painted.
LIMBS = ((1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13),
         (1, 0), (0, 14), (14, 16), (0, 15), (15, 17))  # fmt: skip
FINGERS = tuple(
    (0 if joint == 0 else 4 * finger + joint, 4 * finger + joint + 1) for finger in range(5) for joint in range(4)
)
_HAND_COLORS = tuple(tuple(255 * c for c in colorsys.hsv_to_rgb(k / 20, 1, 1)) for k in range(20))
_DIM = 0.6
_POINTS = 18 + 2 * 21 + 68


@dataclass(frozen=True)
class Keypoints:
    """Points of all people: x and y in pixels (pixel centres at integers) and a confidence in [0, 1].

    body: COCO order. hands: left then right of each person. face: iBUG's 68 points.
    What was not found has confidence 0.
    """

    body: Float[np.ndarray, "frames people 18 3"]
    hands: Float[np.ndarray, "frames hands 21 3"]
    face: Float[np.ndarray, "frames people 68 3"]


def draw(keypoints: Keypoints, size: tuple[int, int]) -> UInt8[np.ndarray, "frames height width 3"]:
    """Pose pictures (RGB on black) of `size` = (height, width); points of confidence 0 are left out."""
    pictures = np.zeros((len(keypoints.body), *size, 3), np.uint8)
    scale = min(size) / 512
    for k, picture in enumerate(pictures):
        for p, person in enumerate(keypoints.body[k]):
            _sticks(picture, person, scale)
            for point, color in zip(person, COLORS, strict=True):
                _disc(picture, point, 4 * scale, color)
            for hand in keypoints.hands[k, 2 * p : 2 * p + 2]:
                _hand(picture, hand, scale)
            for point in keypoints.face[k, p]:
                _disc(picture, point, 3 * scale, (255, 255, 255))
    return pictures


def pack(keypoints: Keypoints) -> Float[np.ndarray, "frames points 3"]:
    """One array of all points: for each person 18 of the body, 21 of the left hand, 21 of the right, 68 of the
    face."""
    frames, people = keypoints.body.shape[:2]
    hands = keypoints.hands.reshape(frames, people, 42, 3)
    return np.concatenate([keypoints.body, hands, keypoints.face], 2).reshape(frames, -1, 3)


def unpack(points: Float[np.ndarray, "frames points 3"]) -> Keypoints:
    """The inverse of `pack`."""
    frames = len(points)
    people = points.reshape(frames, -1, _POINTS, 3)
    body, hands, face = np.split(people, [18, 60], axis=2)
    return Keypoints(body, hands.reshape(frames, -1, 21, 3), face)


def _pixel(point: Float[np.ndarray, "3"]) -> tuple[int, int]:
    return int(point[0]), int(point[1])


def _disc(picture: np.ndarray, point: Float[np.ndarray, "3"], radius: float, color: tuple[int, int, int]) -> None:
    if point[2] > 0:
        cv2.circle(picture, _pixel(point), max(1, round(radius)), color, -1)


def _sticks(picture: np.ndarray, person: Float[np.ndarray, "18 3"], scale: float) -> None:
    for (a, b), color in zip(LIMBS, COLORS, strict=False):
        start, end = person[a], person[b]
        if start[2] <= 0 or end[2] <= 0:
            continue
        middle, across = (start[:2] + end[:2]) / 2, start[:2] - end[:2]
        half = (int(np.hypot(*across) / 2), max(1, round(4 * scale)))
        angle = int(np.degrees(np.arctan2(across[1], across[0])))
        outline = cv2.ellipse2Poly((int(middle[0]), int(middle[1])), half, angle, 0, 360, 1)
        cv2.fillConvexPoly(picture, outline, [int(channel * _DIM) for channel in color])


def _hand(picture: np.ndarray, hand: Float[np.ndarray, "21 3"], scale: float) -> None:
    for (a, b), color in zip(FINGERS, _HAND_COLORS, strict=True):
        if hand[a, 2] > 0 and hand[b, 2] > 0:
            cv2.line(picture, _pixel(hand[a]), _pixel(hand[b]), color, max(1, round(2 * scale)))
    for point in hand:
        _disc(picture, point, 4 * scale, (0, 0, 255))


def write(
    folder: str | os.PathLike, keypoints: Keypoints, name: str = "frame", canvas: tuple[int, int] | None = None
) -> list[Path]:
    """Writes one OpenPose JSON file per frame, `<name>_000000000000_keypoints.json` and on; returns their
    paths.

    canvas: (height, width) of the picture that the points belong to, to be written too.

    OpenPose's 70 face points are the 68 and the pupils, which are written as the middles of the eyes. A
    person without a single point is left out.
    """
    pupils = np.stack([keypoints.face[..., 36:42, :].mean(-2), keypoints.face[..., 42:48, :].mean(-2)], -2)
    faces = np.concatenate([keypoints.face, pupils], -2)
    paths = []
    for k, (body, hands, face) in enumerate(zip(keypoints.body, keypoints.hands, faces, strict=True)):
        people = [
            {
                "person_id": [-1],
                "pose_keypoints_2d": _flat(body[p]),
                "face_keypoints_2d": _flat(face[p]),
                "hand_left_keypoints_2d": _flat(hands[2 * p]),
                "hand_right_keypoints_2d": _flat(hands[2 * p + 1]),
            }
            for p in range(len(body))
            if (body[p, :, 2] > 0).any()
        ]
        paths.append(Path(folder) / f"{name}_{k:012d}_keypoints.json")
        with atomic_path(paths[-1]) as temporary:
            size = {} if canvas is None else {"canvas_width": canvas[1], "canvas_height": canvas[0]}
            temporary.write_text(json.dumps({"version": 1.3, "people": people} | size), encoding="utf-8")
    return paths


def _flat(points: Float[np.ndarray, "points 3"]) -> list[float]:
    """x, y, confidence of all points in a row; a point that was not found is three zeros."""
    kept = np.where(points[:, 2:] > 0, points, 0.0)
    return [round(float(value), 3) for value in kept.ravel()]


def read(path: str | os.PathLike, size: tuple[int, int] | None = None) -> Keypoints:
    """The main person in a folder or file of OpenPose JSON; see `jaxanim.media.keypoints` and `main_person` there.

    Args:
      size: (height, width) of the picture that the points belong to. It scales those of files that give parts of a
        picture, or another size; without it parts are taken of a square of 512.
    """
    people = read_people(path)
    fields = main_person(people.fields, path)
    if size is None:
        size = (512, 512) if people.canvas == PARTS else people.canvas
    return keypoints_of(fields if size is None else in_pixels(fields, people.canvas, size))


def keypoints_of(fields: Fields) -> Keypoints:
    """The arrays of `jaxanim.media.keypoints.read_people` by field name as keypoints."""
    body, left, right, face = (fields[name] for name in (BODY, LEFT_HAND, RIGHT_HAND, FACE))
    frames, people = body.shape[:2]
    return Keypoints(body, np.stack([left, right], 2).reshape(frames, 2 * people, 21, 3), face)
