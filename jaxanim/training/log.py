"""The losses of a run: a JSON line for each step, and a picture of them."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxanim.media.files import atomic_path
from jaxanim.training.workdir import is_writer

Row = Mapping[str, int | float]
"""The metrics of one step, and "step"."""


class Diverged(RuntimeError):
    """The loss is not a finite number any more."""


def write(path: Path, steps: Sequence[Mapping[str, Any]]) -> float:
    """Fetches the steps' metrics, appends them to the file, and returns the mean loss.

    Raises Diverged if a loss is not finite.
    """
    rows = [
        {"step": row["step"]} | {name: float(row[name]) for name in sorted(row) if name != "step"} for row in steps
    ]
    if is_writer():
        with path.open("a", encoding="utf-8") as file:
            file.write("".join(json.dumps(row) + "\n" for row in rows))
    for row in rows:
        if not math.isfinite(row["loss"]):
            raise Diverged(
                f"the loss became {row['loss']} at step {row['step']}; try a lower learning_rate, a longer "
                "warmup or a smaller clip_norm. The last checkpoint, if there is one, is from before that"
            )
    return float(np.mean([row["loss"] for row in rows]))


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
