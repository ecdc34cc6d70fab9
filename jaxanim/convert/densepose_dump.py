"""DensePose's results as Detectron2 and its TorchScript exports dump them, read without running what they hold.

A dump is a list, of one dict for each picture: `file_name`, `scores`, boxes in pixels, and either the part labels
inside every box (Detectron2's `apply_net.py dump`) or the network's own segmentations, from which Detectron2 makes
the labels (TorchScript).
"""

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from jaxanim.convert.torch_file import Refused, unpickle
from jaxanim.errors import InputError
from jaxanim.media.files import check_file, in_order
from jaxanim.tensor_file import LazyTensor

_CLASSES = tuple(
    f"densepose.structures.{name}"
    for name in (
        "chart_result.DensePoseChartResult",
        "chart_result.DensePoseChartResultWithConfidences",
        "chart.DensePoseChartPredictorOutput",
    )
)
_BOXES = ("pred_boxes_XYXY", "pred_boxes")


class Held:
    """An object of a dump: what it was made with, and nothing that runs."""

    def __new__(cls, *args: Any) -> "Held":
        """Keeps what the object was made with."""
        made = object.__new__(cls)
        made.values = dict(zip(("labels", "uv"), args, strict=False))
        return made

    def __setstate__(self, state: Any) -> None:
        self.values = dict(state) if isinstance(state, Mapping) else {}


def read_dump(path: Path, size: tuple[int, int], max_frames: int | None = None) -> UInt8[np.ndarray, "f h w"]:
    """The part maps of pictures of `size` = (height, width), in the order of their names; of several people in a
    picture the surest lies on top.

    Raises:
      InputError: the file is no such dump, is damaged, or asks for code to be run.
    """
    check_file(path, "DensePose dump")
    try:
        with zipfile.ZipFile(path) as archive:
            root = unpickle(path, archive, dict.fromkeys(_CLASSES, Held))
    except Refused as error:
        raise InputError(f"DensePose dump {path} asks for {error}, which could run code; nothing was run") from None
    except InputError:
        raise
    except Exception as error:  # a damaged pickle can raise anything
        raise InputError(f"DensePose dump {path} is damaged, or was not written by torch.save: {error!r}") from None
    if not isinstance(root, Sequence) or not root or not all(isinstance(one, Mapping) for one in root):
        raise InputError(f"DensePose dump {path} holds no list of pictures' results")
    frames = list(root)
    if all(isinstance(one.get("file_name"), str) for one in frames):
        order = {name: i for i, name in enumerate(in_order(Path(one["file_name"]) for one in frames))}
        frames.sort(key=lambda one: order[Path(one["file_name"])])
    try:
        return np.stack([_picture(one, size) for one in frames[:max_frames]])
    except (KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
        raise InputError(f"DensePose dump {path} holds something else than results: {error!r}") from None


def _picture(result: Mapping, size: tuple[int, int]) -> UInt8[np.ndarray, "height width"]:
    out = np.zeros(size, np.uint8)
    boxes = next((_array(result[name]) for name in _BOXES if name in result), np.zeros((0, 4)))
    scores = _array(result["scores"]) if "scores" in result else np.zeros(len(boxes))
    labels = _labels(result, boxes)
    for k in np.argsort(scores):
        x, y = (int(value) for value in boxes[k, :2])
        part = labels[k]
        top, left = max(0, -y), max(0, -x)
        part = part[top : size[0] - y, left : size[1] - x]
        here = out[max(0, y) : max(0, y) + part.shape[0], max(0, x) : max(0, x) + part.shape[1]]
        here[part > 0] = part[part > 0]
    return out


def _labels(result: Mapping, boxes: Float[np.ndarray, "people 4"]) -> list[UInt8[np.ndarray, "_ _"]]:
    held = result.get("pred_densepose")
    if isinstance(held, Sequence):
        return [_array(person.values["labels"]).astype(np.uint8) for person in held]
    found = result if held is None else {f"pred_densepose_{name}": value for name, value in held.values.items()}
    if not len(boxes):
        return []
    coarse, fine = (_array(found[f"pred_densepose_{name}"]) for name in ("coarse_segm", "fine_segm"))
    return [labels_in_box(c, f, box) for c, f, box in zip(coarse, fine, boxes, strict=True)]


def labels_in_box(
    coarse: Float[np.ndarray, "two side side"],
    fine: Float[np.ndarray, "parts side side"],
    box: Float[np.ndarray, "4"],
) -> UInt8[np.ndarray, "height width"]:
    """Detectron2's labels of a box (x0, y0, x1, y1): both segmentations brought to its size, the part that is most
    likely where a person is."""
    width, height = (max(1, int(box[i + 2]) - int(box[i])) for i in (0, 1))

    def largest(maps: np.ndarray) -> np.ndarray:
        resized = [cv2.resize(one, (width, height), interpolation=cv2.INTER_LINEAR) for one in maps]
        return np.stack(resized).argmax(0)

    return (largest(fine) * (largest(coarse) > 0)).astype(np.uint8)


def _array(value: Any) -> np.ndarray:
    array = np.asarray(value.read() if isinstance(value, LazyTensor) else value)
    return array.astype(np.float32) if array.dtype != np.uint8 else array
