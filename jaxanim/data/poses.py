"""Clips with OpenPose keypoints: random masking of hands and faces, and one crop for all frames of a video."""

import dataclasses

import numpy as np
from jaxtyping import Float, UInt8

from jaxanim.cues import openpose
from jaxanim.data.pipeline import Element
from jaxanim.data.puppets import PROMPT_BYTES, PuppetClips
from jaxanim.puppets.seeds import stream

Points = Float[np.ndarray, "frames points 3"]


@dataclasses.dataclass(frozen=True)
class PosedClips:
    """The puppets of `clips` with their keypoints; frames that are not square are cropped to a square.

    The place of the crop along the longer side is drawn from the seed and is the same for all frames of a clip,
    the reference's too (MagicPose Sec. 5.2).

    Elements hold "frames" uint8 [frames, side, side, 3], "poses" float32 [frames, 128, 3] (see `openpose.pack`),
    "prompt" bytes and, of consecutive clips, "reference" uint8 [side, side, 3].
    """

    clips: PuppetClips

    @property
    def frames(self) -> int:
        """Frames of an element."""
        return self.clips.frames

    @property
    def spacing(self) -> str:
        """ "consecutive" or "spread" frames."""
        return self.clips.spacing

    @property
    def side(self) -> int:
        """Of the square pictures, in pixels."""
        return min(self.clips.size)

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> Element:
        seed = self.clips.seeds[0] + int(index)
        clip = self.clips.clip(seed)
        place = stream(seed, "crop").random()
        frames, poses = crop_square(clip.frames, openpose.pack(clip.keypoints), place)
        prompt = np.array(clip.prompt.encode()[:PROMPT_BYTES], f"S{PROMPT_BYTES}")
        element = {"frames": frames, "poses": poses, "prompt": prompt}
        if clip.reference is None:
            return element
        reference, _ = crop_square(clip.reference[None], openpose.pack(clip.reference_clip.keypoints), place)
        return element | {"reference": reference[0]}


def crop_square(
    frames: UInt8[np.ndarray, "frames height width 3"], points: Points, place: float
) -> tuple[UInt8[np.ndarray, "frames side side 3"], Points]:
    """The same square of every frame, as wide as the shorter side, and the points in it.

    Args:
      place: of the square along the longer side, from 0 (top or left) to 1; 0.5 is the centre.

    Points outside the square lose their confidence.
    """
    height, width = frames.shape[1:3]
    side = min(height, width)
    top, left = round(place * (height - side)), round(place * (width - side))
    cropped = np.ascontiguousarray(frames[:, top : top + side, left : left + side])
    xy = points[..., :2] - np.array([left, top], np.float32)
    inside = ((xy >= -0.5) & (xy < side - 0.5)).all(-1, keepdims=True)
    moved = np.concatenate([xy, points[..., 2:]], -1)
    return cropped, np.where(inside, moved, 0).astype(np.float32)


def mask_at_random(points: Points, rng: np.random.Generator, face: float, hands: float) -> Points:
    """`points` of one person with the whole face left out with probability `face`, both hands with `hands`.

    Both are decided once for all frames given, so that nothing flickers within a video (MagicPose Sec. 5.4).
    """
    points = points.copy()
    without_face, without_hands = rng.random(2) < (face, hands)
    if without_hands:
        points[:, 18:60] = 0
    if without_face:
        points[:, 60:] = 0
    return points


def draw_poses(
    poses: Float[np.ndarray, "batch frames points 3"],
    size: tuple[int, int],
    rng: np.random.Generator,
    *,
    mask_face: float = 0.0,
    mask_hands: float = 0.0,
) -> UInt8[np.ndarray, "batch frames height width 3"]:
    """OpenPose drawings of a batch of one-person videos, each masked at random."""
    masked = (mask_at_random(points, rng, mask_face, mask_hands) for points in poses)
    return np.stack([openpose.draw(openpose.unpack(points), size) for points in masked])
