"""What a run tells of itself: a JSON line for each step, a picture of the losses, and events for TensorBoard."""

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxanim.errors import InputError
from jaxanim.media.files import atomic_path
from jaxanim.training.chips import GIB, chip_of
from jaxanim.training.workdir import is_writer

Row = Mapping[str, int | float]
"""The metrics of one step, and "step"."""

MACHINE = ("step_seconds", "data_wait_seconds", "mfu", "memory_gib")
"""What depends on the machine: in the last of each few steps that are written together, which it is a mean of.

step_seconds: from step to step, with whatever was done between. data_wait_seconds: of these, waiting for a batch.
mfu: the model's operations in that time over the most that all chips could do, where that is known. memory_gib: the
most that the device had in use so far, or without one of its own the process.
"""


class Diverged(RuntimeError):
    """The loss or its gradient is not a finite number any more: at `step`, for the first time."""

    def __init__(self, row: Row):
        became = f"the loss became {row['loss']} and its gradient {row['gradient_norm']}"
        super().__init__(f"{became} at step {row['step']}")
        self.row, self.step = row, int(row["step"])


class Meter:
    """Times of the steps since the last report.

    `flops` gives the model's operations in a step on a batch of these shapes; it is asked only where the chips'
    rate is known.
    """

    def __init__(self, flops: Callable[[Mapping[str, jax.Array]], int]):
        chip = chip_of(jax.devices()[0])
        self.flops, self.peak = flops, chip and chip.flops * jax.device_count()
        self.known: dict[tuple, int] = {}
        self._begin()

    def _begin(self) -> None:
        self.began, self.waited, self.operations, self.steps = time.monotonic(), 0.0, 0, 0

    def step(self, batch: Mapping[str, jax.Array], waited: float) -> None:
        """A step is on its way."""
        self.steps, self.waited = self.steps + 1, self.waited + waited
        if self.peak is not None:
            shapes = tuple((name, value.shape) for name, value in batch.items())
            if shapes not in self.known:
                self.known[shapes] = self.flops(batch)
            self.operations += self.known[shapes]

    def report(self) -> dict[str, float]:
        """MACHINE of the steps since the last report, which have been waited for."""
        took = time.monotonic() - self.began
        found = {"step_seconds": took / self.steps, "data_wait_seconds": self.waited / self.steps}
        if self.peak is not None:
            found["mfu"] = self.operations / took / self.peak
        self._begin()
        return found | {"memory_gib": _most_memory() / GIB}


def _most_memory() -> int:
    stats = jax.local_devices()[0].memory_stats()
    if stats:
        return stats["peak_bytes_in_use"]
    try:
        import resource  # not on Windows
    except ImportError:
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class Events:
    """Event files for TensorBoard in a folder, after `step`; what a killed run wrote of later steps is not shown.

    Raises InputError where the package that writes them is missing.
    """

    def __init__(self, folder: Path, step: int):
        try:
            from tensorboardX import SummaryWriter
        except ImportError as error:
            raise InputError("tensorboard is on: it needs `pip install 'jaxanim[tensorboard]'`") from error
        self.writer = SummaryWriter(str(folder), purge_step=step + 1)

    def write(self, rows: Sequence[Row]) -> None:
        """Adds the rows' numbers."""
        for row in rows:
            for name, value in row.items():
                if name != "step":
                    group = "machine" if name in MACHINE else "training"
                    self.writer.add_scalar(f"{group}/{name}", value, row["step"])
        self.writer.flush()

    def close(self) -> None:
        """Closes the files."""
        self.writer.close()


def write(path: Path, steps: Sequence[Mapping[str, Any]], machine: Row | None = None) -> list[Row]:
    """Fetches the steps' metrics, appends them to the file, and returns them as written.

    Args:
      machine: further numbers of the last of these steps.

    Raises Diverged if a loss or gradient is not finite; no later steps are then written.
    """
    rows: list[Row] = []
    for row in steps:
        rows.append({"step": row["step"]} | {name: float(row[name]) for name in sorted(row) if name != "step"})
        if diverging(rows[-1]):
            break
    if machine and rows and not diverging(rows[-1]):
        rows[-1] = rows[-1] | machine
    if is_writer():
        with path.open("a", encoding="utf-8") as file:
            file.write("".join(json.dumps(row) + "\n" for row in rows))
    if rows and diverging(rows[-1]):
        raise Diverged(rows[-1])
    return rows


def diverging(row: Row) -> bool:
    """Whether the step's loss or gradient is not finite."""
    return not (math.isfinite(row["loss"]) and math.isfinite(row["gradient_norm"]))


def learnt(rows: Sequence[Row]) -> list[Row]:
    """The rows without MACHINE: what must be the same however often a run was stopped, and wherever it went on."""
    return [{name: value for name, value in row.items() if name not in MACHINE} for row in rows]


def truncate(path: Path, step: int) -> None:
    """Drops the lines of later steps than `step`, and a line that a killed run left unfinished."""
    lines = [json.dumps(row) for row in read(path) if row["step"] <= step]
    with atomic_path(path) as temporary:
        temporary.write_text("".join(line + "\n" for line in lines), encoding="utf-8")


def read(path: Path) -> list[Row]:
    """The finished lines; none if there is no file."""
    rows = []
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError:
                break
    return rows


def plot(path: Path, rows: Sequence[Row], title: str) -> None:
    """Writes a PNG of the loss against the step, each step faint and a running mean bold."""
    from matplotlib.figure import Figure

    steps = np.array([row["step"] for row in rows])
    losses = np.array([row["loss"] for row in rows])
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(steps, losses, color="tab:blue", alpha=0.3, linewidth=0.7)
    width = max(1, len(losses) // 40)
    smooth = np.convolve(losses, np.ones(width) / width, mode="valid")
    axes.plot(steps[width - 1 :], smooth, color="tab:blue", label=f"mean of {width} steps")
    if losses.min() > 0:
        axes.set_yscale("log")
    axes.set(xlabel="step", ylabel="loss", title=title)
    axes.grid(alpha=0.3)
    axes.legend()
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=120)
