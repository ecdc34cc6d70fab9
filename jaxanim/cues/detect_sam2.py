"""Masks by SAM 2, as transformers has it, from a folder in its layout."""

import os
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float

from jaxanim.cues.detect import Frames, Masks, Report, silent
from jaxanim.cues.model_files import MissingModel
from jaxanim.errors import InputError
from jaxanim.media.files import file_hash

_MEAN, _STD = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)
# How SAM 2 is told that a point is a box's upper left or lower right corner.
_CORNERS = [2, 3]


class Sam2Masks:
    """A `Masker`: the box prompts one frame, and the mask is followed from there to both ends.

    Raises:
      InputError: transformers or PyTorch are not installed, or the folder is not SAM 2's for video.
    """

    def __init__(self, folder: str | os.PathLike, device: str | None = None):
        try:
            import torch
            from transformers import Sam2VideoModel
        except ImportError:
            raise MissingModel(
                "masks are cut out by SAM 2 in transformers and PyTorch, which are not installed: install "
                "jaxanim[torch], or name a mask video"
            ) from None
        try:
            model, info = Sam2VideoModel.from_pretrained(
                str(folder), local_files_only=True, output_loading_info=True
            )
        except (OSError, ValueError, RuntimeError) as error:
            raise InputError(f"masks' network {folder} cannot be read as SAM 2 for video: {error}") from None
        if info["missing_keys"]:
            missing = min(info["missing_keys"])
            raise InputError(f"masks' network {folder} lacks {missing}: it is no SAM 2 for video")
        self._device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self._model = model.to(self._device).eval()
        self.identity = f"sam2 {file_hash(Path(folder))}"

    def masks(self, frames: Frames, frame: int, box: Float[np.ndarray, "4"], report: Report = silent) -> Masks:
        """255 where that is which has `box` (x0, y0, x1, y1) in frame number `frame`, in every frame."""
        import torch
        from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession

        side, (height, width) = self._model.config.image_size, frames.shape[1:3]
        pixels = np.stack([cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA) for picture in frames])
        pixels = (pixels.astype(np.float32) / 255 - _MEAN) / _STD
        video = torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))
        session = Sam2VideoInferenceSession(
            video, height, width, inference_device=self._device, dtype=torch.float32
        )
        corners = np.asarray(box, np.float32).reshape(1, 1, 2, 2) * (side / width, side / height)
        points, labels = torch.tensor(corners, dtype=torch.float32), torch.tensor([[_CORNERS]])
        prompt = {"point_coords": points, "point_labels": labels}
        session.add_point_inputs(session.obj_id_to_idx(1), frame, prompt)
        session.obj_with_new_inputs = [1]
        out = np.zeros(frames.shape[:3], np.uint8)
        done = 0
        with torch.inference_mode():
            self._model(session, frame_idx=frame)
            for reverse in (False, True):
                if reverse and frame == 0:
                    continue
                for step in self._model.propagate_in_video_iterator(session, frame, reverse=reverse):
                    logits = step.pred_masks.float().cpu().numpy().reshape(-1, *step.pred_masks.shape[-2:])[0]
                    large = cv2.resize(logits, (width, height), interpolation=cv2.INTER_LINEAR)
                    out[step.frame_idx] = 255 * (large > 0)
                    done += 1
                    report(min(done, len(frames)), len(frames))
        return out
