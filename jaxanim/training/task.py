"""What the training loop asks of a task."""

from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import grain
import jax
import numpy as np
from jaxtyping import Array, Float, Key, UInt8

Params = dict[str, Any]
"""A nested dict of float32 arrays."""
Batch = dict[str, jax.Array]
"""Arrays by name, each with a leading batch axis."""


@runtime_checkable
class Task(Protocol):
    """A frozen dataclass with these methods; every method is a pure function of its fields and arguments.

    trainable: regular expressions, searched for in parameter paths such as
    "unet/mid_block/resnets_0/conv1/kernel". A parameter that none of them matches is frozen: it has no
    gradient, no optimizer state and no average.
    """

    @property
    def trainable(self) -> tuple[str, ...]: ...

    def init(self, key: Key[Array, ""]) -> Params:
        """All parameters, the frozen networks too; the same every time for the same key."""
        ...

    def source(self, seed: int) -> grain.MapDataset:
        """Single elements, dicts of arrays without a batch axis; the loop shuffles and batches them."""
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


@runtime_checkable
class BatchingTask(Task, Protocol):
    """A task that composes its own batches, for instance because some are of another shape than others."""

    def batches(self, seed: int, batch_size: int, part: int, parts: int) -> grain.MapDataset:
        """Endless whole batches, one per step: host `part` of `parts` gets its share, `batch_size`, of each.

        The shapes of batch i are the same on all hosts.
        """
        ...
