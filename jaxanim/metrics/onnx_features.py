"""Features by a network in an ONNX file that a user has, such as Inception's for FID or I3D's for FVD."""

import os
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from jaxanim.errors import InputError


class OnnxFeatures:
    """Features of a video's frames, one after another, or of all of it as one clip.

    The file's form decides: [batch, 3, height, width] takes pictures, [batch, 3, frames, height, width] clips,
    whose frames are then spread over the video. Both are RGB in [-1, 1]; a network that wants other numbers has to
    have its normalisation inside. All but the batch of the first output are the features.

    Raises:
      InputError: onnxruntime is not installed, or the file is not such a network.
    """

    def __init__(self, path: str | os.PathLike):
        try:
            import onnxruntime
        except ImportError:
            raise InputError("--features needs onnxruntime: install jaxanim[face]") from None
        if not Path(path).is_file():
            raise InputError(f"--features {path} does not exist")
        try:
            self._session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own exceptions share no public base
            raise InputError(f"--features {path} cannot be read as ONNX: {error}") from None
        self._shape = self._session.get_inputs()[0].shape
        sides = self._shape[2:]
        if self._shape[1:2] != [3] or len(sides) not in (2, 3) or not all(isinstance(n, int) for n in sides):
            raise InputError(
                f"--features {path} takes inputs of shape {self._shape}; they should be [batch, 3, height, width] "
                "or [batch, 3, frames, height, width], sizes said"
            )
        self.name = f"frechet_{Path(path).stem}"

    def __call__(self, video: UInt8[np.ndarray, "frames height width 3"]) -> Float[np.ndarray, "n features"]:
        """One row for each frame, or one for the clip."""
        *clip, height, width = self._shape[2:]
        if clip:
            video = video[np.linspace(0, len(video) - 1, clip[0]).round().astype(int)]
        small = [cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA) for frame in video]
        pixels = np.stack(small).astype(np.float32) / 127.5 - 1
        inputs = pixels.transpose(3, 0, 1, 2)[None] if clip else pixels.transpose(0, 3, 1, 2)
        name = self._session.get_inputs()[0].name
        rows = [self._session.run(None, {name: np.ascontiguousarray(one[None])})[0] for one in inputs]
        return np.concatenate(rows).reshape(len(rows), -1).astype(np.float32)
