"""What DirectAnimator learns from: a video, a reference, the cues of the video itself (same-ID), and pseudo cues of
another identity in the same motion (cross-ID, Sec. 3.2 and App. A.2), exact in the puppet world."""

import dataclasses

import numpy as np

from jaxanim.cues.align import Similarity
from jaxanim.cues.driving import Labels
from jaxanim.data.pipeline import Element
from jaxanim.errors import InputError
from jaxanim.puppets import Clip, make_character, puppet_clip
from jaxanim.puppets.driving import labels_of
from jaxanim.systems.directanimator.cues import CueOptions, CueTriplet, cue_triplet

FIELDS = CueTriplet._fields


@dataclasses.dataclass(frozen=True)
class PuppetPairs:
    """For each seed a puppet's clip, and the same motion in the same place by another puppet.

    Attributes:
      seeds: (first, how many).
      frames: of a clip, 8 n + 1, consecutive ones at 25 a second.
      span: frames of the motion that they are taken from.
      size: (height, width) in pixels.
      cues: how cues are made.
      scale, shift: the other person is made larger or smaller by up to this factor, and moved by up to this part of
        the frame (App. A.2: the location cue stays the target's, so that alignment is learnt). The paper gives no
        numbers.
      other: added to a seed, the identity of the pseudo driver.

    Elements: "frames" uint8 [frames, height, width, 3], "reference" [height, width, 3], and the triplet's parts by
    name, uint8; with "pseudo_" in front those of the other identity.
    """

    seeds: tuple[int, int] = (0, 500)
    frames: int = 17
    span: int = 50
    size: tuple[int, int] = (64, 64)
    cues: CueOptions = CueOptions()
    scale: float = 1.2
    shift: float = 0.1
    other: int = 400_000

    version = 1

    def __post_init__(self) -> None:
        if (self.frames - 1) % 8 or not 1 <= self.frames <= self.span:
            raise InputError(f"frames is {self.frames}: it must be 8 n + 1, and at most span, {self.span}")
        if self.scale < 1 or not 0 <= self.shift < 1:
            raise InputError(f"scale is {self.scale} and shift {self.shift}: scale is 1 or more, shift 0 to 1")

    def __len__(self) -> int:
        return self.seeds[1]

    def __getitem__(self, index: int) -> Element:
        seed = self.seeds[0] + int(index)
        own, other = self.clips(seed)
        same = cue_triplet(labels_of(own), Labels(), self.size, self.cues)
        pseudo = misaligned(other, self._move(seed), self.cues)
        # The location cue is the target's own in both stages.
        pseudo = pseudo._replace(body_mask=same.body_mask, face_mask=same.face_mask)
        element = {"frames": own.frames, "reference": own.reference}
        element |= {name: getattr(same, name) for name in FIELDS}
        return element | {f"pseudo_{name}": getattr(pseudo, name) for name in FIELDS}

    def clips(self, seed: int) -> tuple[Clip, Clip]:
        """The clip of a seed, and the other identity in its place."""
        start = np.random.default_rng([seed, 1]).integers(self.span - self.frames + 1)
        moments = start + np.arange(self.frames)
        own = puppet_clip(seed, self.span, self.size, frame_indices=moments)
        driver = make_character(seed + self.other)
        return own, puppet_clip(
            seed, self.span, self.size, frame_indices=moments, character=driver, reference=False
        )

    def _move(self, seed: int) -> Similarity:
        rng = np.random.default_rng([seed, 2])
        height, width = self.size
        scale = float(np.exp(rng.uniform(-1, 1) * np.log(self.scale)))
        shift = rng.uniform(-self.shift, self.shift, 2) * (width, height)
        # About the frame's centre, so that a person who grows does not leave the frame.
        return Similarity(scale, tuple(shift + (1 - scale) / 2 * np.array([width, height])))


def misaligned(clip: Clip, move: Similarity, options: CueOptions) -> CueTriplet:
    """The cues of a clip whose segmented person is scaled and moved (App. A.2)."""
    size = clip.frames.shape[1:3]
    labels = Labels(
        pictures={"video": move.pictures(clip.frames, size, smooth=True)},
        masks=move.pictures(clip.mask, size),
        face_boxes=np.where(
            (clip.face_box[:, 2:] > clip.face_box[:, :2]).all(1)[:, None], move.boxes(clip.face_box), 0
        ),
    )
    if not (labels.masks > 127).any():
        return misaligned(clip, Similarity(), options)
    return cue_triplet(labels, Labels(), size, options)
