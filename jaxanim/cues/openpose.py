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
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from jaxanim.errors import InputError
from jaxanim.media.files import atomic_path
from jaxanim.media.video import read_openpose as read_fields

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
PERSON = 5
# OpenPose's newer 25-point body, in the order of the 18: it has the middle of the hips as its point 8.
_BODY_25 = [0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18]


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


def confident(keypoints: Keypoints) -> Keypoints:
    """`keypoints` without the points that OpenPose's own renderer would leave out: below 0.05 in the body, 0.2 in
    hands and 0.4 in faces (its render_threshold, hand_render_threshold and face_render_threshold).

    OpenPose gives every point of a hand or face it has looked for a place, however unlikely.
    """

    def keep(points: np.ndarray, least: float) -> np.ndarray:
        return np.where(points[..., 2:] >= least, points, 0).astype(np.float32)

    return Keypoints(keep(keypoints.body, 0.05), keep(keypoints.hands, 0.2), keep(keypoints.face, 0.4))


def one_person(keypoints: Keypoints, source: str | os.PathLike) -> Keypoints:
    """The one person of each frame; detections of fewer than PERSON body points are taken for mistakes.

    Args:
      source: where the keypoints come from, to be named in errors.

    Raises:
      InputError: a frame shows several people.
    """
    count = (keypoints.body[..., 2] > 0).sum(-1)
    several = np.flatnonzero((count >= PERSON).sum(1) > 1)
    if several.size:
        people = int((count[several[0]] >= PERSON).sum())
        raise InputError(
            f"motion {source} shows {people} people in frame {several[0]}: give the keypoints of one person alone"
        )
    frames, best = np.arange(len(count)), count.argmax(1)
    hands = keypoints.hands.reshape(*count.shape, 2, 21, 3)[frames, best]
    return Keypoints(keypoints.body[frames, best][:, None], hands, keypoints.face[frames, best][:, None])


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


def write(folder: str | os.PathLike, keypoints: Keypoints, name: str = "frame") -> list[Path]:
    """Writes one OpenPose JSON file per frame, `<name>_000000000000_keypoints.json` and on; returns their
    paths.

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
            temporary.write_text(json.dumps({"version": 1.3, "people": people}), encoding="utf-8")
    return paths


def _flat(points: Float[np.ndarray, "points 3"]) -> list[float]:
    """x, y, confidence of all points in a row; a point that was not found is three zeros."""
    kept = np.where(points[:, 2:] > 0, points, 0.0)
    return [round(float(value), 3) for value in kept.ravel()]


def read(folder: str | os.PathLike) -> Keypoints:
    """Reads a folder of OpenPose JSON files in order of name, as `keypoints_of`."""
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"motion {folder} is not a folder of OpenPose JSON files")
    paths = sorted(folder.glob("*.json"))
    if not paths:
        raise InputError(f"motion {folder} holds no OpenPose JSON files")
    return keypoints_of(read_fields(paths), folder)


def keypoints_of(
    fields: Mapping[str, Float[np.ndarray, "frames people points 3"]], source: str | os.PathLike
) -> Keypoints:
    """OpenPose's arrays by field name as keypoints; absent hands, faces and people have confidence 0.

    Bodies of 25 points are brought to 18.

    Args:
      source: where they come from, to be named in errors.

    Raises:
      InputError: bodies of another number of points.
    """
    body = fields["pose_keypoints_2d"]
    if body.shape[2] == 25:
        body = body[:, :, _BODY_25]
    if body.shape[2] != 18:
        raise InputError(f"motion {source} has bodies of {body.shape[2]} points; OpenPose's have 18 or 25")
    frames, people = body.shape[:2]
    empty = np.zeros((frames, people, 21, 3), np.float32)
    hands = [fields.get(f"hand_{side}_keypoints_2d", empty) for side in ("left", "right")]
    face = fields.get("face_keypoints_2d", np.zeros((frames, people, 70, 3), np.float32))[:, :, :68]
    return Keypoints(body, np.stack(hands, 2).reshape(frames, 2 * people, 21, 3), face)
