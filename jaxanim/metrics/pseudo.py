"""Whether a pseudo driving video serves: it should move as the video that it was made of, by another identity.

DirectAnimator (App. A.3) filters such videos by hand; these measures sort out first what nobody need look at.
"""

import dataclasses

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from jaxanim.cues.beside import has_face
from jaxanim.errors import InputError
from jaxanim.metrics.motion import warping_error

Frames = UInt8[np.ndarray, "frames height width 3"]
Masks = UInt8[np.ndarray, "frames height width"]
Boxes = Float[np.ndarray, "frames 4"]


@dataclasses.dataclass(frozen=True)
class Filter:
    """What a pseudo driving video needs to be kept.

    Attributes:
      follows: how far its optical flow agrees with the video's, see `follows`: 1 is the same motion, 0 another. Of
        puppets, other people in the same motion have 0.72 and more, other motions 0.55 and less.
      iou: mean intersection over union of the two people's masks.
      flicker: its warping error is at most so many times the video's.
      faces: share of the frames with a face in the video that have one here too.
    """

    follows: float = 0.6
    iou: float = 0.5
    flicker: float = 4.0
    faces: float = 0.5

    def __post_init__(self) -> None:
        if not (-1 <= self.follows <= 1 and 0 <= self.iou <= 1 and 0 <= self.faces <= 1 and self.flicker > 0):
            raise InputError(f"filter is {self}: follows is -1 to 1, iou and faces are 0 to 1, flicker is above 0")

    def faults(self, measured: dict[str, float]) -> list[str]:
        """In words, what is too little or too much; nothing for a video to be kept. What is nan is passed over."""
        wrong = []
        for name, value in measured.items():
            limit = getattr(self, name)
            if value > limit if name == "flicker" else value < limit:
                wrong.append(f"{name} {value:.2f}, {'above' if name == 'flicker' else 'below'} {limit:g}")
        return wrong


@dataclasses.dataclass(frozen=True)
class Seen:
    """A video and what is known of its frames."""

    frames: Frames
    masks: Masks
    boxes: Boxes | None = None

    @property
    def has_face(self) -> Bool[np.ndarray, " frames"]:
        """Which frames have a face box with an area."""
        return np.zeros(len(self.frames), bool) if self.boxes is None else has_face(self.boxes)


def measure(video: Seen, pseudo: Seen) -> dict[str, float]:
    """What `Filter` looks at, of a video and a pseudo driving video of the same size and length; nan where there is
    nothing to be measured."""
    flickers = [float(np.mean(warping_error(one.frames))) if len(one.frames) > 1 else 0 for one in (video, pseudo)]
    there = video.has_face
    return {
        "follows": follows(video.frames, pseudo.frames, video.masks),
        "iou": mean_iou(video.masks, pseudo.masks),
        "flicker": flickers[1] / flickers[0] if flickers[0] > 0 else float("nan"),
        "faces": float(pseudo.has_face[there].mean()) if there.any() else float("nan"),
    }


def follows(video: Frames, pseudo: Frames, masks: Masks) -> float:
    """The cosine of two videos' optical flows, all frames' as one vector, where the first one's person is. It does
    not depend on what either person looks like. nan where the first one does not move."""
    flows = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    both = [[cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames] for frames in (video, pseudo)]
    products = np.zeros(3)
    for k in range(len(video) - 1):
        a, b = (flows.calc(grey[k], grey[k + 1], None)[masks[k] > 127].astype(np.float64) for grey in both)
        products += [(a * b).sum(), (a**2).sum(), (b**2).sum()]
    if products[1] == 0:
        return float("nan")
    return float(products[0] / np.sqrt(products[1] * max(products[2], 1e-12)))


def mean_iou(a: Masks, b: Masks) -> float:
    """The mean intersection over union of masks, over the frames where there is anybody; nan where nowhere is."""
    a, b = a > 127, b > 127
    union = (a | b).sum((1, 2))
    shared = (a & b).sum((1, 2))
    return float((shared[union > 0] / union[union > 0]).mean()) if union.any() else float("nan")
