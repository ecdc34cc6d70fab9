"""What rendering returns: frames, and every label that belongs to them."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

from jaxanim.cues.openpose import Keypoints
from jaxanim.cues.skeleton import Skeleton


@dataclass(frozen=True)
class Clip:
    """A rendered motion with exact labels.

    frames: RGB. parts: 0 background, else the part id seen at the pixel's centre (DensePose's 1..24 for a
    human).
    mask: 255 where parts > 0. densepose: parts in DensePose's viridis colours. keypoints: of one person;
    confidence is 1 where a point is seen, 0.5 where something lies in front of it, and 0 where it is out of
    the frame, on the far side of the head, or the character is not human. points: the skeleton graph's
    points, with the same confidences.
    face_box: x0, y0, x1, y1 in pixels. camera: x, y offset in world units and zoom. reference: the same
    character, place and camera at another moment (only from `puppet_clip`), with its labels in
    reference_clip.
    """

    frames: UInt8[np.ndarray, "frames height width 3"]
    parts: UInt8[np.ndarray, "frames height width"]
    mask: UInt8[np.ndarray, "frames height width"]
    densepose: UInt8[np.ndarray, "frames height width 3"]
    keypoints: Keypoints
    skeleton: Skeleton
    points: Float[np.ndarray, "frames points 3"]
    face_box: Float[np.ndarray, "frames 4"]
    camera: Float[np.ndarray, "frames 3"]
    prompt: str
    fps: float
    reference_clip: "Clip | None" = None

    @property
    def reference(self) -> UInt8[np.ndarray, "height width 3"] | None:
        """The reference image, if there is one."""
        return None if self.reference_clip is None else self.reference_clip.frames[0]
