"""What a user asks of the program that animates: everything read and checked, ready to be computed."""

import argparse
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import UInt8

from jaxanim.cues.driving import Driving
from jaxanim.media.images import finished, read_image, resize_and_crop, to_float
from jaxanim.systems.base import Entry, Memory, Report, Sampling, System, choose
from sample import inputs, looking, preparing
from sample.arguments import said
from sample.driving import open_motion, read_driving


@dataclasses.dataclass(frozen=True)
class Asked:
    """A video that was asked for, everything read and checked.

    Attributes:
      reference, shown: the reference, and what drives it, in the size of the video.
      fps: of the result.
    """

    system: System
    reference: UInt8[np.ndarray, "height width 3"]
    driving: Driving
    shown: UInt8[np.ndarray, "frames height width 3"]
    fps: int | float
    seed: int
    sampling: Sampling
    options: Any
    memory: Memory

    def animate(self, report: Report | None = None) -> UInt8[np.ndarray, "frames height width 3"]:
        """The video."""
        result = self.system.animate(
            to_float(self.reference),
            self.driving,
            key=jax.random.key(self.seed),
            sampling=self.sampling,
            options=self.options,
            memory=self.memory,
            report=report,
        )
        return finished(np.asarray(result))


def prepared(options: argparse.Namespace, entry: Entry, load: Callable[[], System], out: Path) -> Asked:
    """What the options of `sample.animate.parser` ask for; weights are loaded after reference and motion were read.

    Raises InputError for input that cannot be used.
    """
    reference = read_image(options.reference)
    motion = open_motion(options.motion, entry.needs.cues, options.frames, options.fps)
    motion, still = preparing.as_points(motion, options, entry.needs)
    if entry.needs.still and options.reference_motion is None and still is None:
        still = preparing.find_still(options)
    frames = inputs.check_frames(options.frames, motion.frames, "--motion", options.motion)
    system = load()
    defaults = system.defaults
    inputs.check_windows(options.window, options.overlap, defaults)
    frames = inputs.fit_frames(options.frames, frames, system.grid)
    shape = inputs.choose_size(options.size, reference.shape[:2], system.grid.side, defaults)
    inputs.check_room(out, frames, shape)
    driving = read_driving(options, entry.needs, motion, frames, shape, reference.shape[:2], still)
    shown = entry.needs.show(driving, shape)
    reference = resize_and_crop(reference, shape)
    driving = looking.look(driving, options, entry.needs, reference)

    names = ("steps", "guidance", "window", "overlap")
    own = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    chosen = choose(entry, defaults, said(options, entry.module.Options, Memory) | own)
    fps = options.fps or motion.fps or defaults.fps
    return Asked(system, reference, driving, shown, fps, options.seed, *chosen)
