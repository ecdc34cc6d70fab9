"""Keypoints as OpenPose and what followed it write them, read and checked in this one place.

A file holds one frame ({"people": [...]}), its people alone ([{"pose_keypoints_2d": ...}, ...]) or all frames (a
list of either), in pixels or in parts of the picture; files of a folder are taken in number order.
"""

import dataclasses
import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from jaxanim.errors import InputError
from jaxanim.media.files import check_file, in_order

Points = Float[np.ndarray, "_ 3"]
Fields = dict[str, Float[np.ndarray, "_frames _people _points 3"]]

# Numbers of points that are known, and what they become.
COUNTS = {
    "pose_keypoints_2d": ((17, 18, 25), 18),
    "hand_left_keypoints_2d": ((21,), 21),
    "hand_right_keypoints_2d": ((21,), 21),
    "face_keypoints_2d": ((56, 68, 70), 68),
}
BODY, LEFT_HAND, RIGHT_HAND, FACE = COUNTS
PARTS = (1, 1)
"""The canvas of keypoints that are in parts of a picture whose size nothing says."""

# OpenPose's 25-point body, in the order of the 18: it has the middle of the hips as its point 8.
_BODY_25 = [0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18]
# COCO's 17 in the order of the 18; the neck (1), which it lacks, is the middle of the shoulders (5 and 6).
COCO_17 = [0, 0, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3]
_BONES = ((2, 3), (3, 4), (5, 6), (6, 7), (8, 9), (9, 10), (11, 12), (12, 13), (0, 14), (0, 15), (14, 16), (2, 5))


@dataclasses.dataclass(frozen=True)
class People:
    """Everybody in every frame.

    Attributes:
      fields: x, y and a confidence in [0, 1] by OpenPose's field names: bodies of 18 points, hands of 21, faces of
        68; what was not found, people too, is zero.
      canvas: the (height, width) of the picture that x and y belong to, where the files say it; PARTS where x and y
        are parts of a picture; otherwise None, and they are pixels of some picture.
    """

    fields: Fields
    canvas: tuple[int, int] | None


def read_people(path: str | os.PathLike, max_frames: int | None = None) -> People:
    """Keypoints from a file of frames or a folder of files.

    Raises:
      InputError: a file is no JSON or holds something else, nobody is in any frame, or a field has a number of
        points that is none of COUNTS; the sentence names the file.
    """
    path = Path(path)
    paths = json_files(path) if path.is_dir() else [path]
    frames: list[tuple[Path, list[dict], tuple[int, int] | None]] = []
    for file in paths[:max_frames]:
        frames += [(file, *frame) for frame in _read_frames(file)]
    frames = frames[:max_frames]
    people = max((len(persons) for _, persons, _ in frames), default=0)
    if people == 0:
        raise InputError(f"motion {path} has no person in any of its {len(frames)} frames")
    fields = {}
    for name, (_, count) in COUNTS.items():
        fields[name] = np.zeros((len(frames), people, count, 3))
        for i, (file, persons, _) in enumerate(frames):
            for j, person in enumerate(persons):
                fields[name][i, j] = _CONVERT[name](_points(file, name, person.get(name)))
    if not any(person.get(BODY) for _, persons, _ in frames for person in persons):
        raise InputError(f"motion {path} has no body ({BODY}) in any of its frames")
    canvas = _to_one_canvas(fields, [canvas for *_, canvas in frames])
    return People({name: values.astype(np.float32) for name, values in fields.items()}, canvas)


def json_files(folder: Path) -> list[Path]:
    """A folder's JSON files in number order; InputError where there is no such folder, or none in it."""
    if not folder.is_dir():
        raise InputError(f"motion {folder} is not a folder of OpenPose JSON files")
    paths = in_order(path for path in folder.iterdir() if path.suffix.lower() == ".json" and path.name[0] != ".")
    if not paths:
        raise InputError(f"motion {folder} holds no OpenPose JSON files")
    return paths


def holds_frames(path: Path) -> bool:
    """Whether a JSON file holds OpenPose's frames or people, as `read_people` takes them."""
    try:
        _read_frames(path)
    except InputError:
        return False
    return True


def _read_frames(path: Path) -> list[tuple[list[dict], tuple[int, int] | None]]:
    """(people, canvas) of each frame in a file."""
    check_file(path, "pose")
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
        if isinstance(content, list) and not (content and _is_person(content[0])):
            return [_frame(frame) for frame in content]
        return [_frame(content)]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"pose {path} is not an OpenPose JSON file: {type(error).__name__} {error}") from error


def _is_person(value: Any) -> bool:
    return isinstance(value, dict) and "people" not in value and any(name in value for name in COUNTS)


def _frame(content: Any) -> tuple[list[dict], tuple[int, int] | None]:
    if isinstance(content, list):
        people, canvas = content, None
    else:
        people, width, height = content["people"], content.get("canvas_width"), content.get("canvas_height")
        canvas = None if not width or not height else (_side(height), _side(width))
    if not isinstance(people, list) or not all(isinstance(person, dict) for person in people):
        raise TypeError("people is not a list of persons")
    return people, canvas


def _side(value: Any) -> int:
    side = float(value)
    if not 1 <= side < 1e6:
        raise ValueError(f"a canvas of {value} pixels")
    return round(side)


def _points(path: Path, name: str, values: Any) -> Points:
    """One field of one person as x, y, confidence; x, y pairs are confident, and what is not finite is missing."""
    known, count = COUNTS[name]
    try:
        flat = np.asarray([] if values is None else values, np.float64)
    except (ValueError, TypeError) as error:
        raise InputError(f"pose {path} is not an OpenPose JSON file: {name} holds no numbers ({error})") from None
    if flat.ndim > 2 or (flat.ndim == 2 and flat.shape[1] not in (2, 3)):
        form = list(flat.shape)
        raise InputError(f"pose {path}: {name} has the form {form}; it should be x, y, confidence in a row")
    if not flat.size:
        return np.zeros((count, 3))
    if flat.ndim == 2:
        points = flat
    elif flat.size % 3 == 0 and flat.size // 3 in known:
        points = flat.reshape(-1, 3)
    elif flat.size % 2 == 0 and flat.size // 2 in known:
        points = flat.reshape(-1, 2)
    else:
        points = flat[: flat.size // 3 * 3].reshape(-1, 3)
    if len(points) not in known or (flat.ndim == 1 and points.size != flat.size):
        number = f"{len(points)} points" if flat.size % 3 == 0 or flat.ndim == 2 else f"{flat.size} numbers"
        choice = " or ".join(map(str, known))
        raise InputError(f"pose {path}: {name} has {number}; it should have {choice} points of x, y, confidence")
    if points.shape[1] == 2:  # nothing lies exactly in the corner: that is how a missing point is written
        points = np.concatenate([points, (points != 0).any(1, keepdims=True)], 1)
    points[~np.isfinite(points).all(1) | (np.abs(points[:, :2]) > 1e6).any(1)] = 0
    points[points[:, 2] <= 0] = 0
    points[:, 2] = np.minimum(points[:, 2], 1)
    return points


def _body(points: Points) -> Points:
    if len(points) == 25:
        return points[_BODY_25]
    if len(points) == 18:
        return points
    # COCO's order, or OpenPose's without its last, the left ear: in the wrong one the limbs are long.
    as_coco, as_cut = points[COCO_17], np.concatenate([points, np.zeros((1, 3))])
    shoulders = points[[5, 6]]
    as_coco[1] = shoulders.mean(0) if (shoulders[:, 2] > 0).all() else 0
    return min(as_coco, as_cut, key=_limbs)


def _limbs(body: Points) -> float:
    lengths = [np.linalg.norm(body[a, :2] - body[b, :2]) for a, b in _BONES if body[a, 2] > 0 and body[b, 2] > 0]
    return float(np.mean(lengths)) if lengths else math.inf


def _face(points: Points) -> Points:
    """68 points: of 70 without the pupils; 56 are the first of them, up to the corners of the mouth."""
    return np.concatenate([points[:68], np.zeros((max(0, 68 - len(points)), 3))])


_CONVERT = {BODY: _body, LEFT_HAND: np.asarray, RIGHT_HAND: np.asarray, FACE: _face}


def _to_one_canvas(fields: Fields, canvases: Sequence[tuple[int, int] | None]) -> tuple[int, int] | None:
    """Brings all frames, in place, to the first canvas that is said, or to PARTS; returns it, or None."""
    canvas = next((canvas for canvas in canvases if canvas is not None), None)
    body = fields[BODY]
    seen = np.abs(body[..., :2][body[..., 2] > 0])
    # A person who is seen at all is larger than two pixels.
    if seen.size and seen.max() <= 2:
        if canvas is not None:
            _scale(fields, slice(None), canvas)
        return canvas or PARTS
    for i, own in enumerate(canvases):
        if own is not None and own != canvas:
            _scale(fields, i, (canvas[0] / own[0], canvas[1] / own[1]))
    return canvas


def _scale(fields: Fields, frames: slice | int, by: Sequence[float | int]) -> None:
    for values in fields.values():
        values[frames, ..., :2] *= by[::-1]


def in_pixels(fields: Fields, canvas: tuple[int, int] | None, size: tuple[int, int]) -> Fields:
    """Fields of a `canvas` in the pixels of a picture of `size` = (height, width); as they are where it is None."""
    if canvas is None or canvas == size:
        return fields
    factor = np.array([size[1] / canvas[1], size[0] / canvas[0], 1], np.float32)
    return {name: values * factor for name, values in fields.items()}
