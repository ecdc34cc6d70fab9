"""Faces by YuNet, which OpenCV runs itself, from the ONNX file of OpenCV's model zoo."""

import os
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float

from jaxanim.cues.detect import Frames, Report, silent
from jaxanim.errors import InputError
from jaxanim.media.files import file_hash

LEAST = 0.6
"""Faces that are less certain than this are none; OpenCV's own example takes 0.9, and misses turned heads."""


class YunetFaces:
    """A `FaceDetector`; raises InputError where the file is not such a network."""

    def __init__(self, path: str | os.PathLike):
        if not Path(path).is_file():
            raise InputError(f"face detector {path} does not exist")
        try:
            self._detector = cv2.FaceDetectorYN.create(str(path), "", (320, 320), LEAST)
        except cv2.error as error:
            raise InputError(f"face detector {path} cannot be read as YuNet: {error}") from None
        self.identity = f"yunet {file_hash(Path(path))}"

    def faces(self, frames: Frames, report: Report = silent) -> list[Float[np.ndarray, "_faces 4"]]:
        """The boxes (x0, y0, x1, y1) of every frame's faces, the surest first."""
        height, width = frames.shape[1:3]
        self._detector.setInputSize((width, height))
        found = []
        for k, frame in enumerate(frames):
            try:
                _, rows = self._detector.detect(np.ascontiguousarray(frame[..., ::-1]))
            except cv2.error as error:
                raise InputError(f"face detector is no YuNet network: {error}") from None
            rows = np.zeros((0, 15), np.float32) if rows is None else rows[np.argsort(-rows[:, 14])]
            found.append(np.concatenate([rows[:, :2], rows[:, :2] + rows[:, 2:4]], -1).astype(np.float32))
            report(k + 1, len(frames))
        return found
