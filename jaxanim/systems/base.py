"""What every system offers to the programs that animate and evaluate."""

import dataclasses
import importlib
import os
from collections.abc import Callable
from typing import Protocol, runtime_checkable

import jax
import numpy as np
from jaxtyping import Array, Float

from jaxanim.errors import InputError

# A system's module is imported only when it is asked for.
_MODULES = {"magicanimate": "jaxanim.systems.magicanimate.system"}


@dataclasses.dataclass(frozen=True)
class Defaults:
    """What a system uses where its user says nothing.

    Attributes:
      size: (height, width) in pixels that the weights were trained at.
      steps: denoising steps.
      guidance: guidance scale; 1 means the conditional branch alone, at half the cost.
      fps: frames a second of the written video.
      window: frames in one window of a long video.
      overlap: frames that neighbouring windows share.
    """

    size: tuple[int, int] = (512, 512)
    steps: int = 25
    guidance: float = 7.5
    fps: int = 25
    window: int = 16
    overlap: int = 4


@runtime_checkable
class System(Protocol):
    """A loaded method: parameters and configs, ready to animate."""

    name: str
    defaults: Defaults
    frame_multiple: int  # height and width must be multiples of this

    def animate(
        self,
        reference: Float[Array | np.ndarray, "height width 3"],
        motion: Float[Array | np.ndarray, "frames height width 3"],
        *,
        key: jax.Array,
        steps: int | None = None,
        guidance: float | None = None,
        report: Callable[[int, int], None] | None = None,
        **options,
    ) -> Float[Array, "frames height width 3"]:
        """Moves `reference` (in [-1, 1]) by `motion` (in [0, 1]); returns frames in [-1, 1].

        `report(done, total)` is called as denoising goes on. `options` are the system's own.
        """
        ...


def names() -> tuple[str, ...]:
    """The systems that can be loaded."""
    return tuple(_MODULES)


def load(name: str, weights: str | os.PathLike, dtype: str | None = None) -> System:
    """Loads system `name` from a weights folder.

    Args:
      dtype: "float32", or "bfloat16" or "float16" for half the memory; None is what the weights' configs say.

    Raises:
      InputError: no such system, or a folder that does not hold its weights.
    """
    if name not in _MODULES:
        raise InputError(f"system is {name!r}: choose one of {', '.join(_MODULES)}")
    return importlib.import_module(_MODULES[name]).load(weights, dtype=dtype)
