"""What DirectAnimator learns from: a video, a reference, the cues of the video itself (same-ID), and pseudo cues of
another identity in the same motion (cross-ID, Sec. 3.2 and App. A.2), exact in the puppet world. Those of videos in
folders are in `folder_pairs`."""

import dataclasses
from typing import Protocol, runtime_checkable

import numpy as np

from jaxanim.cues.align import Similarity
from jaxanim.cues.beside import has_face
from jaxanim.cues.driving import Labels
from jaxanim.data.pipeline import Cached, Element, Source, cached
from jaxanim.errors import InputError
from jaxanim.puppets import Clip, make_character, puppet_clip
from jaxanim.puppets.driving import labels_of
from jaxanim.systems.directanimator.cues import CueOptions, CueTriplet, cue_triplet

FIELDS = CueTriplet._fields
SAME, PSEUDO = "", "pseudo_"
"""In front of the names of cues: of the video itself, and of another identity in its motion."""
FIRST = 900_000
"""Seed of the first validation pair of puppets."""


@runtime_checkable
class OneShape(Source, Protocol):
    """Pairs of one size and length, whose elements `PuppetPairs` describes."""

    @property
    def prefixes(self) -> tuple[str, ...]:
        """Whose cues there are: SAME, or that and PSEUDO."""
        ...

    def rendered(self) -> Cached:
        """The elements, computed once."""
        ...


@runtime_checkable
class Pairs(Protocol):
    """A source of pairs; `frames`, `size` and `cues` as `PuppetPairs` has them, the first two of the largest where
    there are several, and `prefixes` as of `OneShape`."""

    frames: int
    size: tuple[int, int]
    cues: CueOptions
    prefixes: tuple[str, ...]

    def shapes(self) -> tuple[OneShape, ...]:
        """What there is to learn from, by size and length. Raises InputError where nothing can be read."""
        ...

    def held_out(self, count: int) -> "Pairs":
        """About as many pairs that nothing learns from. Raises InputError where there are none."""
        ...

    def examples(self) -> OneShape:
        """Two pairs or more to be looked at, if possible such ones."""
        ...


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
      faulty: part of the pairs whose pseudo driver does not follow the motion (it moves as the clip does
        backwards), as some results of an animation model that nobody filtered (Table 6).

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
    faulty: float = 0.0

    version = 1

    def __post_init__(self) -> None:
        if (self.frames - 1) % 8 or not 1 <= self.frames <= self.span:
            raise InputError(f"frames is {self.frames}: it must be 8 n + 1, and at most span, {self.span}")
        check_move(self.scale, self.shift)
        if not 0 <= self.faulty <= 1:
            raise InputError(f"faulty is {self.faulty}: it is a part of the pairs, 0 to 1")

    @property
    def prefixes(self) -> tuple[str, ...]:
        """Both."""
        return SAME, PSEUDO

    def shapes(self) -> tuple[OneShape, ...]:
        """All are of one size."""
        return (self,)

    def held_out(self, count: int) -> "PuppetPairs":
        """Pairs from FIRST on."""
        return dataclasses.replace(self, seeds=(FIRST, count))

    def examples(self) -> OneShape:
        """Two of those that are held out."""
        return self.held_out(2)

    def rendered(self) -> Cached:
        """The clips once for all options of the cues, by a pool of processes."""
        return cached(PairCues(self, cached(PairClips.of(self))))

    def __len__(self) -> int:
        return self.seeds[1]

    def __getitem__(self, index: int) -> Element:
        return self.shown(index, PairClips.of(self)[index])

    def shown(self, index: int, clips: Element) -> Element:
        """The element of an index, of what `PairClips` has there."""
        own, other = (_labels(clips, name) for name in ("", "driver_"))
        seed = self.seeds[0] + int(index)
        if np.random.default_rng([seed, 3]).random() < self.faulty:
            other = _backwards(other)
        move = random_move(np.random.default_rng([seed, 2]), self.size, self.scale, self.shift)
        element = {"frames": clips["frames"], "reference": clips["reference"]}
        return element | paired_cues(own, other, move, self.size, self.cues)

    def clips(self, seed: int) -> tuple[Clip, Clip]:
        """The clip of a seed, and the other identity in its place."""
        return PairClips.of(self).clips(seed)


def check_move(scale: float, shift: float) -> None:
    """Raises InputError for limits of `random_move` that are none."""
    if scale < 1 or not 0 <= shift < 1:
        raise InputError(f"scale is {scale} and shift {shift}: scale is 1 or more, shift 0 to 1")


def random_move(
    rng: np.random.Generator, size: tuple[int, int], most_scale: float, most_shift: float
) -> Similarity:
    """How a pseudo driver is put out of place (App. A.2); the limits as of `PuppetPairs`."""
    height, width = size
    scale = float(np.exp(rng.uniform(-1, 1) * np.log(most_scale)))
    shift = rng.uniform(-most_shift, most_shift, 2) * (width, height)
    # About the frame's centre, so that a person who grows does not leave the frame.
    return Similarity(scale, tuple(shift + (1 - scale) / 2 * np.array([width, height])))


def paired_cues(
    own: Labels, other: Labels | None, move: Similarity, size: tuple[int, int], options: CueOptions
) -> Element:
    """The cues of a video by name and, where there is another identity in its motion, that one's, moved."""
    same = cue_triplet(own, Labels(), size, options)
    element = {SAME + name: getattr(same, name) for name in FIELDS}
    if other is None:
        return element
    pseudo = misaligned(other, move, size, options)
    # The location cue is the target's own in both stages.
    pseudo = pseudo._replace(body_mask=same.body_mask, face_mask=same.face_mask)
    return element | {PSEUDO + name: getattr(pseudo, name) for name in FIELDS}


def misaligned(labels: Labels, move: Similarity, size: tuple[int, int], options: CueOptions) -> CueTriplet:
    """The cues of a clip whose segmented person is scaled and moved (App. A.2)."""
    seen = has_face(labels.face_boxes)[:, None]
    moved = Labels(
        pictures={name: move.pictures(picture, size, smooth=True) for name, picture in labels.pictures.items()},
        masks=move.pictures(labels.masks, size),
        face_boxes=np.where(seen, move.boxes(labels.face_boxes), 0),
    )
    if not (moved.masks > 127).any():
        moved = labels
    return cue_triplet(moved, Labels(), size, options)


@dataclasses.dataclass(frozen=True)
class PairClips:
    """What `PuppetPairs` are made of, before any cue is: to be rendered once for all sorts of cues.

    Elements: "frames", "reference", "openpose" (drawn keypoints), "mask" and "face_box"; with "driver_" in front,
    but for the reference, those of the other identity.
    """

    seeds: tuple[int, int]
    frames: int
    span: int
    size: tuple[int, int]
    other: int

    version = 1

    @classmethod
    def of(cls, pairs: PuppetPairs) -> "PairClips":
        """Those of `pairs`."""
        return cls(**{field.name: getattr(pairs, field.name) for field in dataclasses.fields(cls)})

    def __len__(self) -> int:
        return self.seeds[1]

    def __getitem__(self, index: int) -> Element:
        own, driver = self.clips(self.seeds[0] + int(index))
        element = {"reference": own.reference}
        for prefix, clip in (("", own), ("driver_", driver)):
            labels = labels_of(clip)
            element |= {prefix + "frames": clip.frames, prefix + "openpose": labels.pictures["openpose"]}
            element |= {prefix + "mask": labels.masks, prefix + "face_box": labels.face_boxes}
        return element

    def clips(self, seed: int) -> tuple[Clip, Clip]:
        """The clip of a seed, and the other identity in its place."""
        start = np.random.default_rng([seed, 1]).integers(self.span - self.frames + 1)
        moments = start + np.arange(self.frames)
        own = puppet_clip(seed, self.span, self.size, frame_indices=moments)
        driver = make_character(seed + self.other)
        return own, puppet_clip(
            seed, self.span, self.size, frame_indices=moments, character=driver, reference=False
        )


@dataclasses.dataclass(frozen=True)
class PairCues:
    """The elements of `pairs`, of clips that were `rendered` before."""

    pairs: PuppetPairs
    rendered: Source = dataclasses.field(repr=False)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Element:
        return self.pairs.shown(index, self.rendered[index])


def _backwards(labels: Labels) -> Labels:
    pictures = {name: picture[::-1] for name, picture in labels.pictures.items()}
    return Labels(pictures=pictures, masks=labels.masks[::-1], face_boxes=labels.face_boxes[::-1])


def _labels(clips: Element, prefix: str) -> Labels:
    pictures = {"video": clips[prefix + "frames"], "openpose": clips[prefix + "openpose"]}
    return Labels(pictures=pictures, masks=clips[prefix + "mask"], face_boxes=clips[prefix + "face_box"])
