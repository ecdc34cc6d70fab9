"""Whole-body poses by rtmlib: YOLOX finds people, DWPose or RTMW their 133 points, each from an ONNX file."""

import contextlib
import io
import os
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from jaxanim.cues.detect import Frames, Report, silent, whole_body
from jaxanim.cues.model_files import MissingModel
from jaxanim.errors import InputError
from jaxanim.media.files import file_hash
from jaxanim.media.keypoints import Fields


class RtmlibPoses:
    """A `PoseDetector`.

    Args:
      people: file of a YOLOX that finds people, with its non-maximum suppression inside or not.
      poses: file of a whole-body RTMPose, whose size is read from it.
      device: as rtmlib calls it: "cpu", "cuda", "mps".

    Raises:
      InputError: rtmlib is not installed, or a file is no such network.
    """

    def __init__(self, people: str | os.PathLike, poses: str | os.PathLike, device: str = "cpu"):
        try:
            from rtmlib import YOLOX, RTMPose
        except ImportError:
            raise MissingModel(
                "poses are found by rtmlib and onnxruntime, which are not installed: install jaxanim[prepare], "
                "and rtmlib itself with `pip install --no-deps rtmlib`"
            ) from None
        self._people = _load(YOLOX, Path(people), "a YOLOX network", device)
        self._poses = _load(RTMPose, Path(poses), "a pose network", device)
        height, width = _side(self._people, people)
        self._people.model_input_size = (height, width)
        height, width = _side(self._poses, poses)
        self._poses.model_input_size = (width, height)
        outputs = [output.shape[1] for output in self._poses.session.get_outputs()]
        if len(outputs) != 2 or any(isinstance(count, int) and count != 133 for count in outputs):
            raise InputError(f"pose network {poses} finds {outputs} points; it should be one of 133 (whole body)")
        self.identity = f"rtmlib {file_hash(Path(people))} {file_hash(Path(poses))}"

    def people(self, frames: Frames, report: Report = silent) -> Fields:
        """All people of every frame, in pixels."""
        found = []
        for k, frame in enumerate(frames):
            found.append(self._frame(frame))
            report(k + 1, len(frames))
        return whole_body(found)

    def _frame(self, frame: np.ndarray) -> Float[np.ndarray, "people 133 3"]:
        # YOLOX was trained on BGR, the pose networks on RGB.
        boxes = np.asarray(self._people(np.ascontiguousarray(frame[..., ::-1])), np.float32).reshape(-1, 4)
        if not len(boxes):  # rtmlib would take the whole picture for a person
            return np.zeros((0, 133, 3), np.float32)
        points, scores = self._poses(frame, bboxes=list(boxes))
        return np.concatenate([points, scores[..., None]], -1).astype(np.float32)


def _load(kind: Any, path: Path, what: str, device: str) -> Any:
    if not path.is_file():
        raise InputError(f"{what} {path} does not exist")
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return kind(str(path), backend="onnxruntime", device=device)
    except Exception as error:  # onnxruntime's own exceptions share no public base
        raise InputError(f"{path} cannot be read as {what}: {error}") from None


def _side(tool: Any, path: str | os.PathLike) -> tuple[int, int]:
    """(height, width) of the pictures that a network takes."""
    shape = tool.session.get_inputs()[0].shape
    if len(shape) != 4 or shape[1] != 3 or not all(isinstance(side, int) for side in shape[2:]):
        raise InputError(f"network {path} takes inputs of shape {shape}, not [batch, 3, height, width]")
    return shape[2], shape[3]
