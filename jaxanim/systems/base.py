"""The contract of every system: what it is told (`Sampling`, `Memory`, its own `Options`), what a loaded one offers
(`System`), and how its folder is found (`Entry`)."""

import dataclasses
import importlib
import inspect
import os
import pkgutil
import typing
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from jaxanim.cues.driving import Driving, Needs
from jaxanim.errors import InputError
from jaxanim.stored import register_config
from jaxanim.weights import read_description

InputFile = typing.NewType("InputFile", str)
OutputFile = typing.NewType("OutputFile", str)
"""Paths among a system's `Options`: of a file that it reads, or writes, which no program lets replace an input."""

Report = Callable[[int, int, np.ndarray | None], None]
"""Called as report(steps done, steps in all, pictures) while a system denoises; pictures are small ones of what is
there by then, in [-1, 1], or None."""


@register_config
@dataclasses.dataclass(frozen=True)
class Sampling:
    """How a video is sampled, by any system; a config's `defaults` are what its weights were trained for.

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

    def __post_init__(self):
        if not 0 <= self.overlap < self.window:
            raise InputError(
                f"overlap is {self.overlap}: with a window of {self.window} it is 0 to {self.window - 1}"
            )


@dataclasses.dataclass(frozen=True)
class Memory:
    """What trades time for memory; the result is the same.

    Attributes:
      guidance_in_turn: guidance's two branches one after the other, rather than as one batch.
      windows_at_once: windows computed as one batch; None is all.
      frames_at_once: frames that the VAE decodes together; None is all.
      vae_tile: side in pixels of the tiles in which the VAE decodes one frame at a time, exactly, for large
        pictures; None decodes whole frames.
    """

    guidance_in_turn: bool = False
    windows_at_once: int | None = None
    frames_at_once: int | None = 8
    vae_tile: int | None = None


@dataclasses.dataclass(frozen=True)
class Grid:
    """The sizes and lengths of video that a system makes.

    Attributes:
      side: height and width are multiples of this.
      frames: (multiple, plus): there are plus, multiple + plus, 2 multiple + plus ... frames, such as (4, 1).
    """

    side: int
    frames: tuple[int, int] = (1, 0)

    def at_most(self, frames: int) -> int:
        """The longest video of no more than `frames` frames; 0 where there is none."""
        multiple, plus = self.frames
        return max(0, (frames - plus) // multiple * multiple + plus)


@dataclasses.dataclass(frozen=True)
class Release:
    """How the converter tells a system's PyTorch release.

    Attributes:
      networks: names of networks here, which together only this system has; of several such, the most tell.
      folders: what its networks' folders are called, where it comes in several.
      own_diffusion: sampled with its config's noise process, whatever its base's is.
    """

    networks: frozenset[str]
    folders: tuple[str, ...] = ()
    own_diffusion: bool = False


@dataclasses.dataclass(frozen=True)
class Entry:
    """A system as its folder `jaxanim/systems/NAME` declares it, in `SYSTEM`.

    Everything that takes time to import is in the folder's module `system`, which is imported when first asked for:
      load: (weights folder, **options of `jaxanim.weights.load_weights`) to `System`, with `base` too where the
        system plugs into a base model.
      Config: its config, whose fields are networks' configs and settings.
      Options: its paper's own knobs and ablations, a frozen dataclass whose docstring explains each.

    Attributes:
      name: of the folder.
      title: as its paper writes it.
      needs: what drives it; None where it is driven by nothing and only words make its pictures.
      release: what it was published as, where that can be converted.
    """

    name: str
    title: str
    needs: Needs | None
    release: Release | None = None

    @property
    def module(self) -> ModuleType:
        """Its module `system`."""
        return importlib.import_module(f"{__package__}.{self.name}.system")


# Of a system: (params, config, reference in [-1, 1], driving, key, sampling, options, memory, report) to frames.
Run = Callable[..., Float[Array, "frames height width 3"]]


@dataclasses.dataclass(frozen=True)
class System:
    """A loaded system: parameters and config, ready to animate.

    Attributes:
      entry: what the system is.
      config: with the weights' `defaults`, a `Sampling`.
      params: one tree per network, and what was computed from them once.
      grid: the sizes and lengths it makes.
      run: what `animate` calls, with the same arguments after parameters and config.
    """

    entry: Entry
    config: Any
    params: PyTree
    grid: Grid
    run: Run

    @property
    def defaults(self) -> Sampling:
        """What the weights were trained for."""
        return self.config.defaults

    def animate(
        self,
        reference: Float[Array | np.ndarray, "height width 3"],
        driving: Driving,
        *,
        key: jax.Array,
        sampling: Sampling | None = None,
        options: Any = None,
        memory: Memory = Memory(),
        report: Report | None = None,
    ) -> Float[Array, "frames height width 3"]:
        """Moves `reference` (in [-1, 1]) as `driving` says; returns frames in [-1, 1].

        Args:
          sampling: `self.defaults` if None.
          options: of the entry's class `Options`; its defaults if None.
          report: called as denoising goes on.

        Raises:
          InputError: `driving` lacks what the system needs.
        """
        self.entry.needs.check(driving, self.entry.title)
        return self.run(
            self.params,
            self.config,
            jnp.asarray(reference, jnp.float32),
            driving,
            key=key,
            sampling=sampling or self.defaults,
            options=options or self.entry.module.Options(),
            memory=memory,
            report=report,
        )


def unit(pictures: np.ndarray) -> Float[Array, "frames height width 3"]:
    """Pictures of a `Driving` in [0, 1]."""
    return jnp.asarray(pictures, jnp.float32) / 255


def entries() -> dict[str, Entry]:
    """Every system's entry by name: each folder beside this file is one."""
    folders = importlib.import_module(__package__).__path__
    found = [module.name for module in pkgutil.iter_modules(folders) if module.ispkg]
    return {name: importlib.import_module(f"{__package__}.{name}").SYSTEM for name in found}


def names() -> tuple[str, ...]:
    """The systems that animate."""
    return tuple(name for name, entry in entries().items() if entry.needs is not None)


def entry(name: str) -> Entry:
    """The entry of the system `name`, one that animates; InputError for an unknown one."""
    if name not in names():
        raise InputError(f"system is {name!r}: choose one of {', '.join(names())}")
    return entries()[name]


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
    module = entry(name).module
    if base is None:
        return module.load(weights, **options)
    if "base" not in inspect.signature(module.load).parameters:
        raise InputError(f"base is {base}, but the weights of {name} hold all of its networks; leave it out")
    return module.load(weights, base=base, **options)


def generator(weights: str | os.PathLike, **options: Any) -> Any:
    """Loads the weights of a system that words alone drive, such as a base model; `options` as for `load`.

    Raises InputError for other systems' weights, and for a folder that does not hold its own.
    """
    name = read_description(weights)["system"]
    worded = [known for known, entry in entries().items() if entry.needs is None]
    if name not in worded:
        raise InputError(
            f"weights folder {weights} holds weights of system {name!r}, not of {' or '.join(map(repr, worded))}"
        )
    return entries()[name].module.load(weights, **options)


def choose(
    entry: Entry, defaults: Sampling, said: Mapping[str, Any], memory: Memory = Memory()
) -> tuple[Sampling, Any, Memory]:
    """(sampling, options, memory) from values by field name, the others being those of `defaults`, of the system's
    `Options()` and of `memory`. InputError for a name that is no field of any, or a value that is no choice."""
    known = [defaults, entry.module.Options(), memory]
    fields = [{field.name for field in dataclasses.fields(part)} for part in known]
    for name in said:
        if not any(name in part for part in fields):
            raise InputError(
                f"option {name!r} is not one of {entry.title}'s: {', '.join(sorted(set().union(*fields)))}"
            )
    hints = typing.get_type_hints(type(known[1]))
    for name, value in said.items():
        choices = (
            typing.get_args(hints.get(name)) if typing.get_origin(hints.get(name)) is typing.Literal else (value,)
        )
        if value not in choices:
            raise InputError(f"{name} is {value!r}: choose {' or '.join(map(repr, choices))}")
    return tuple(
        dataclasses.replace(part, **{name: value for name, value in said.items() if name in own})
        for part, own in zip(known, fields, strict=True)
    )
