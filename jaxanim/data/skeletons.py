"""Puppets of every kind with their skeletons, as a data source."""

import dataclasses
import functools

import numpy as np
from jaxtyping import Float, Integer

from jaxanim.cues.skeleton import Graph, Skeleton
from jaxanim.cues.skeleton_drawing import draw_segments
from jaxanim.data.pipeline import Element, cached
from jaxanim.data.puppets import PROMPT_BYTES
from jaxanim.errors import InputError
from jaxanim.puppets import KINDS, puppet_clip

MOST_POINTS = 18


@dataclasses.dataclass(frozen=True)
class SkeletonClips:
    """For each seed one puppet, of one kind after another, from a moment of its motion drawn from the seed.

    Attributes:
      seeds: (first, how many).
      frames: of an element, at 25 a second.
      span: frames of the motion they are taken from.
      size: (height, width) in pixels.
      kinds: of characters, taken in turn.
      camera: how it moves, see `jaxanim.puppets.camera.camera_path`.

    Elements hold "frames" uint8 [frames, height, width, 3], "points" float32 [frames, MOST_POINTS, 3] of the
    skeleton of the "kind" (its number in KINDS), "mask" uint8 [height, width] of the first frame, and "prompt"
    bytes.
    """

    seeds: tuple[int, int] = (0, 1000)
    frames: int = 17
    span: int = 75
    size: tuple[int, int] = (64, 64)
    kinds: tuple[str, ...] = KINDS
    camera: str = "still"

    version = 1

    def __post_init__(self):
        if self.frames > self.span:
            raise InputError(f"frames is {self.frames}: give at most span, {self.span}")
        if unknown := set(self.kinds) - set(KINDS) or not self.kinds:
            raise InputError(f"kinds is {self.kinds}: name some of {', '.join(KINDS)} ({unknown})")

    def __len__(self) -> int:
        return self.seeds[1]

    def __getitem__(self, index: int) -> Element:
        seed = self.seeds[0] + int(index)
        kind = self.kinds[seed % len(self.kinds)]
        start = int(np.random.default_rng([seed, self.frames, self.span]).integers(self.span - self.frames + 1))
        clip = puppet_clip(
            seed, self.span, self.size, kind, camera=self.camera, reference=False,
            frame_indices=start + np.arange(self.frames),
        )  # fmt: skip
        points = np.zeros((self.frames, MOST_POINTS, 3), np.float32)
        points[:, : clip.points.shape[1]] = clip.points
        return {
            "frames": clip.frames,
            "points": points,
            "kind": np.int32(KINDS.index(kind)),
            "mask": clip.mask[0],
            "prompt": np.array(clip.prompt.encode()[:PROMPT_BYTES], f"S{PROMPT_BYTES}"),
        }


@dataclasses.dataclass(frozen=True)
class WithSkeletons:
    """The videos of `clips`, and behind them skeleton videos of the first of them, which PoseAnything encodes too.

    Attributes:
      clips: of puppets.
      share: of all videos that are skeletons.

    Elements hold "frames" uint8 [frames, height, width, 3].
    """

    clips: SkeletonClips
    share: float = 0.2

    version = 1

    def __post_init__(self):
        if not 0 <= self.share <= 0.5:
            raise InputError(f"share is {self.share}: it is of skeletons among all videos, 0 to 0.5")

    @property
    def frames(self) -> int:
        """Of an element."""
        return self.clips.frames

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.clips.size

    def __len__(self) -> int:
        return round(len(self.clips) / (1 - self.share))

    def __getitem__(self, index: int) -> Element:
        # Rendered once, whoever takes them.
        clip = cached(self.clips)[index % len(self.clips)]
        if index < len(self.clips):
            return {"frames": clip["frames"]}
        return {"frames": draw_segments(graph_of(clip["points"], clip["kind"]), self.size)}


def graph_of(points: Float[np.ndarray, "frames most 3"], kind: int | np.integer | Integer[np.ndarray, ""]) -> Graph:
    """The graph of an element's points and kind."""
    skeleton = skeleton_of(KINDS[int(kind)])
    return Graph(skeleton, points[:, : len(skeleton.points)])


@functools.cache
def skeleton_of(kind: str) -> Skeleton:
    """The skeleton that all puppets of a kind have."""
    return puppet_clip(0, 1, (16, 16), kind, reference=False, labels=False).skeleton
