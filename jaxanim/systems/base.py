"""What every system offers to the programs that animate and evaluate."""

import dataclasses
import importlib
import inspect
import os
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np
from jaxtyping import Array, Float

from jaxanim.errors import InputError

# A system's module is imported only when it is asked for.
_MODULES = {
    "magicanimate": "jaxanim.systems.magicanimate.system",
    "magicpose": "jaxanim.systems.magicpose.system",
}


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
    cue: str  # what drives it, a name of `jaxanim.cues.driving.CUES`
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


def load(name: str, weights: str | os.PathLike, base: str | os.PathLike | None = None, **options: Any) -> System:
    """Loads system `name` from a weights folder.

    Args:
      base: another folder of base networks under the trained parts, for systems that plug into any base.
      options: how the parameters are held, as `jaxanim.weights.load_weights` takes them: `dtype`, float32 by
        default and None for what is stored, and `sharding`, which lays them out on a mesh of devices.

    Raises:
      InputError: no such system, a folder that does not hold its weights, or a base for a system that has
        its own.
    """
    module = _module(name)
    if base is None:
        return module.load(weights, **options)
    if "base" not in inspect.signature(module.load).parameters:
        raise InputError(f"base is {base}, but the weights of {name} hold all of its networks; leave it out")
    return module.load(weights, base=base, **options)


def cue(name: str) -> str:
    """What drives system `name`, a name of `jaxanim.cues.driving.CUES`; InputError for an unknown system."""
    return _module(name).CUE


def make_options(kind: type, system: str, options: Mapping[str, Any]) -> Any:
    """A system's options dataclass from keyword arguments; InputError for a name that is none of its fields."""
    known = {field.name for field in dataclasses.fields(kind)}
    for name in options:
        if name not in known:
            raise InputError(f"option {name!r} is not one of {system}'s: {', '.join(sorted(known))}")
    return kind(**options)


def _module(name: str) -> ModuleType:
    if name not in _MODULES:
        raise InputError(f"system is {name!r}: choose one of {', '.join(_MODULES)}")
    return importlib.import_module(_MODULES[name])
