"""One host's share of the examples that a training takes."""

import dataclasses
from collections.abc import Callable

import grain
import numpy as np

from jaxanim.errors import InputError

Draw = Callable[[np.random.Generator, np.random.Generator], dict[str, np.ndarray]]
"""(generator that all hosts share, the host's own) -> a batch."""


@dataclasses.dataclass(frozen=True)
class Feed:
    """What `Task.batches` makes its batches by.

    Attributes:
      seed: of every choice.
      batch_size: examples of a batch on this host.
      part, parts: which of how many hosts this is.
    """

    seed: int = 0
    batch_size: int = 8
    part: int = 0
    parts: int = 1

    def shuffled(self, elements: grain.MapDataset) -> grain.MapDataset:
        """Batches of single elements (dicts of arrays), shuffled anew in each epoch; each host reads its own."""
        if len(elements) == 0:
            raise InputError("the task has no elements to learn from")
        endless = elements.seed(self.seed).shuffle().repeat()
        if self.parts == 1:
            return endless.batch(self.batch_size)

        def own(index: int) -> int:
            """This host's rows of a batch that is the same on any number of hosts."""
            batch, row = divmod(index, self.batch_size)
            return (batch * self.parts + self.part) * self.batch_size + row

        rows = grain.MapDataset.range(len(endless) // self.parts).map(lambda index: endless[own(index)])
        return rows.batch(self.batch_size)

    def drawn(self, draw: Draw) -> grain.MapDataset:
        """Batches that `draw` composes itself. What decides their shapes it draws from the shared generator."""

        def at(step: int) -> dict[str, np.ndarray]:
            shared, own = (np.random.default_rng([self.seed, step, *part]) for part in ((), (self.part,)))
            return draw(shared, own)

        return grain.MapDataset.range(2**31).map(at)
