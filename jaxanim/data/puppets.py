"""The puppet world as a data source."""

import dataclasses

import numpy as np

from jaxanim.data.pipeline import Element
from jaxanim.errors import InputError
from jaxanim.puppets import Clip, puppet_clip

PROMPT_BYTES = 256


@dataclasses.dataclass(frozen=True)
class PuppetClips:
    """For each seed one puppet, in its place, performing its motion.

    Attributes:
      seeds: (first, how many).
      frames: of an element.
      spacing: "consecutive" frames at 25 a second from a moment drawn from the seed, or "spread" ones, drawn
        from the whole motion, which differ more and suit training on single images.
      span: frames of the motion they are taken from.
      size: (height, width) in pixels.
      kind: the sort of character.

    Elements hold "frames" uint8 [frames, height, width, 3], "parts" uint8 [frames, height, width] (DensePose part
    ids) and "prompt" bytes; with consecutive spacing also "reference" uint8 [height, width, 3], another moment.
    """

    seeds: tuple[int, int] = (0, 1000)
    frames: int = 16
    spacing: str = "spread"
    span: int = 75
    size: tuple[int, int] = (128, 128)
    kind: str = "human"

    version = 2

    def __post_init__(self):
        if self.spacing not in ("consecutive", "spread"):
            raise InputError(f"spacing is {self.spacing!r}: choose 'consecutive' or 'spread'")
        if self.frames > self.span:
            raise InputError(f"frames is {self.frames}: give at most span, {self.span}")

    def __len__(self) -> int:
        return self.seeds[1]

    def __getitem__(self, index: int) -> Element:
        seed = self.seeds[0] + int(index)
        clip = self.clip(seed)
        prompt = np.array(clip.prompt.encode()[:PROMPT_BYTES], f"S{PROMPT_BYTES}")
        element = {"frames": clip.frames, "parts": clip.parts, "prompt": prompt}
        return element | {"reference": clip.reference} if clip.reference is not None else element

    def clip(self, seed: int) -> Clip:
        """The rendered clip of one seed, with all of its labels."""
        rng = np.random.default_rng([seed, self.frames, self.span])
        consecutive = self.spacing == "consecutive"
        if consecutive:
            moments = rng.integers(self.span - self.frames + 1) + np.arange(self.frames)
        else:
            moments = np.sort(rng.choice(self.span, self.frames, replace=False))
        return puppet_clip(seed, self.span, self.size, kind=self.kind, frame_indices=moments, reference=consecutive)
