"""What is known of a video by files beside it: where somebody is (`mask.mp4`), and the face (`faces.json`, or a
skeleton file that has it too, as puppets' have)."""

import json
import os
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, UInt8

from jaxanim.cues.align import covering
from jaxanim.errors import InputError
from jaxanim.media.files import atomic_path
from jaxanim.media.images import resize_and_crop
from jaxanim.media.video import read_video, write_video

Masks = UInt8[np.ndarray, "frames height width"]
Boxes = Float[np.ndarray, "frames 4"]
MASK, FACES, SKELETON = "mask.mp4", "faces.json", "skeleton.json"
# Full resolution and no loss but rounding.
_FINE = {"crf": 0, "pixel_format": "yuv444p"}


def masks_beside(folder: Path) -> Path | None:
    """The file with masks in a video's folder."""
    return _first(folder, MASK)


def faces_beside(folder: Path) -> Path | None:
    """The file with face boxes in a video's folder; a skeleton file may have none in it."""
    return _first(folder, FACES, SKELETON)


def read_masks(path: Path, frames: int, size: tuple[int, int], name: str = "mask") -> Masks:
    """The masks of a video's first frames, cropped to (height, width) as its frames are.

    Raises InputError, calling the file `name`, where it has fewer.
    """
    masks, _ = read_video(path, frames)
    if len(masks) < frames:
        raise InputError(f"{name} {path} has {len(masks)} frames, but the motion has {frames}")
    return resize_and_crop(masks, size)[..., 0]


def read_boxes(path: Path, frames: int, size: tuple[int, int], name: str = "face boxes") -> Boxes:
    """The face boxes of a video's first frames in the pixels of its frames cropped to (height, width); zeros where
    no face is seen.

    Raises InputError, calling the file `name`, where it does not hold them.
    """
    held, boxes = _read(path, name, frames)
    if len(boxes) < frames:
        raise InputError(f"{name} {path} has no size and face_box of {frames} frames ({len(boxes)} boxes)")
    boxes = boxes[:frames]
    return np.where(has_face(boxes)[:, None], covering(held, size).boxes(boxes), 0).astype(np.float32)


def form_of(path: Path, name: str = "face boxes") -> tuple[int, int, int]:
    """(frames, height, width) of the video that a file of face boxes belongs to. Raises InputError as `read_boxes`
    does."""
    size, boxes = _read(path, name, "a video's")
    return len(boxes), *size


def write_masks(path: str | os.PathLike, masks: Masks, fps: int | float) -> None:
    """Writes what `read_masks` reads."""
    write_video(path, np.repeat(masks[..., None], 3, -1), fps, **_FINE)


def write_boxes(path: str | os.PathLike, boxes: Boxes, size: tuple[int, int]) -> None:
    """Writes what `read_boxes` reads; `size` is (height, width)."""
    held = {"size": [size[1], size[0]], "face_box": np.round(boxes.astype(np.float64), 3).tolist()}
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(held), encoding="utf-8")


def has_face(boxes: Boxes) -> Bool[np.ndarray, " frames"]:
    """Which frames have a face box with an area."""
    return (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])


def _read(path: Path, name: str, frames: int | str) -> tuple[tuple[int, int], Boxes]:
    """((height, width), boxes)."""
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        width, height = (int(side) for side in held["size"])
        boxes = np.array(held["face_box"], np.float32)
        if boxes.ndim != 2 or boxes.shape[1] != 4 or min(width, height) < 1:
            raise ValueError(f"boxes of the form {boxes.shape}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{name} {path} has no size and face_box of {frames} frames ({error})") from None
    return (height, width), boxes


def _first(folder: Path, *names: str) -> Path | None:
    return next((folder / name for name in names if (folder / name).is_file()), None)
