"""What the training loop asks of a task, and what a config file gives it: the recipe that opens one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import grain
import jax
import numpy as np
from jaxtyping import Array, Float, Key, UInt8

from jaxanim.training.feed import Feed

Params = dict[str, Any]
"""A nested dict of float32 arrays."""
Batch = dict[str, jax.Array]
"""Arrays by name, each with a leading batch axis."""
Place = Callable[[str, tuple[int, ...]], jax.sharding.Sharding]
"""(path, shape) -> where a parameter lies, such as `jaxanim.training.sharding.parameter_sharding` gives."""


@runtime_checkable
class Task(Protocol):
    """What is learnt, with every file read: `loss` is a pure function of its arguments and of what was opened.

    trainable: regular expressions, searched for in parameter paths such as "unet/mid_block/resnets_0/conv1/kernel".
    A parameter that none of them matches is frozen: it has no gradient, no optimizer state and no average. Networks
    that only teach or judge are frozen parameters as well. An experiment's `hold` and `thaw` change the choice.
    """

    @property
    def trainable(self) -> tuple[str, ...]: ...

    def init(self, key: Key[Array, ""], place: Place | None = None) -> Params:
        """All parameters, the frozen networks too, as new arrays; the same every time for the same key.

        Large networks are read straight to their `place` (see `placed`); the loop lays out what is elsewhere.
        """
        ...

    def batches(self, feed: Feed) -> grain.MapDataset:
        """Endless batches, one per step, of this host's share of the examples: `feed.shuffled` or `feed.drawn`.

        Batches may differ in shape from step to step, if batch i has the same shapes on all hosts.
        """
        ...

    def loss(
        self, params: Params, batch: Batch, key: Key[Array, ""]
    ) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
        """The mean loss over the batch, and further scalars to log."""
        ...

    def sheet(self, params: Params, key: Key[Array, ""]) -> UInt8[np.ndarray, "height width 3"]:
        """A picture of what the parameters can do now."""
        ...

    def save(self, params: Params, folder: Path) -> None:
        """Writes the weights for use outside training."""
        ...


class Plan(NamedTuple):
    """What a task's programs are compiled from where there are neither weights nor data.

    Attributes:
      task: whose `loss` and `trainable` count.
      params, batch: as the task's, with `jax.ShapeDtypeStruct`s in place of arrays.
      denoise, inputs: one step of sampling as a pure function of parameters and, as shapes, its other arguments.
    """

    task: "Task"
    params: Params
    batch: dict[str, jax.ShapeDtypeStruct]
    denoise: Callable
    inputs: tuple


@runtime_checkable
class Planned(Protocol):
    """A recipe whose sizes alone say all of that."""

    def plan(self, batch_size: int) -> Plan:
        """The plan for batches of `batch_size` examples in all; no file is read."""
        ...


@runtime_checkable
class HeldOut(Protocol):
    """A task with examples that it does not learn from."""

    def held_out(self, batch_size: int) -> list[dict[str, np.ndarray]]:
        """A few batches, the same at every call, of the form of `Task.batches`'."""
        ...


@runtime_checkable
class Recipe(Protocol):
    """A frozen dataclass that says everything of a task: sizes, folders, clips, knobs. Its fields are what the
    command line overrides and what a run's config.json records."""

    def open(self) -> Task:
        """The task, with the weights that it begins with read; a recipe that names no folder may be one itself."""
        ...
