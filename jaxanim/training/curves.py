"""Curves of runs beside each other: how many steps one kind of run takes to where another kind came."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from jaxanim.errors import InputError
from jaxanim.media.files import atomic_path
from jaxanim.training import log

Curve = tuple[Float[np.ndarray, " points"], Float[np.ndarray, " points"]]
"""(steps, values)."""


def read_curve(folder: str | os.PathLike, metric: str) -> Curve:
    """A metric of a run's metrics.jsonl, where it was measured; InputError where it never was."""
    rows = [row for row in log.read(Path(folder) / "metrics.jsonl") if metric in row]
    if not rows:
        raise InputError(f"run {folder} has no {metric} in its metrics.jsonl: give its training validate_every")
    return np.array([row["step"] for row in rows], float), np.array([row[metric] for row in rows], float)


def steps_to(curve: Curve, level: float) -> float:
    """The first step at which a curve is at `level` or below, between two measured ones on a line; nan if never."""
    steps, values = curve
    below = np.flatnonzero(values <= level)
    if not below.size:
        return float("nan")
    i = below[0]
    if i == 0:
        return float(steps[0])
    share = (values[i - 1] - level) / (values[i - 1] - values[i])
    return float(steps[i - 1] + share * (steps[i] - steps[i - 1]))


def ratio(slow: Curve, fast: Curve) -> float:
    """Steps that `slow` takes to the lowest value it reaches, over those that `fast` takes there; nan where `fast`
    never comes there."""
    level = float(slow[1].min())
    return steps_to(slow, level) / steps_to(fast, level)


def plot(path: str | os.PathLike, kinds: Mapping[str, Sequence[Curve]], metric: str, title: str) -> None:
    """Writes a PNG of every run's curve, a colour for each kind."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for colour, (name, curves) in zip(
        ("tab:blue", "tab:orange", "tab:green", "tab:red"), kinds.items(), strict=False
    ):
        for n, curve in enumerate(curves):
            axes.plot(*curve, color=colour, alpha=0.8, linewidth=1, label=name if n == 0 else None)
    axes.set_yscale("log")
    axes.set(xlabel="step", ylabel=metric, title=title)
    axes.grid(alpha=0.3, which="both")
    axes.legend()
    with atomic_path(Path(path)) as temporary:
        figure.savefig(temporary, dpi=120, format="png")
