"""Scaling on paper: what a compiled training step would take on other numbers of chips, by its report alone.

Nothing here is measured. What is assumed: every chip has as many videos as in the report, "fsdp" spans all chips
(without one, "data" does), and what a chip receives is in n parts of which it has one (gathered, or summed into its
own); links are used in one direction at half their rate; blocks are computed again in the backward pass, so that a
chip does 4/3 of the model's operations, at a given share of its peak.
"""

import dataclasses
from typing import Any

from jaxanim.errors import InputError
from jaxanim.training.chips import CHIPS, Chip

RECOMPUTED = 4 / 3
"""Forward, forward again and backward (two forwards) over forward and backward."""

SHARE = 0.4
"""MaxDiffusion's published training of Wan2.1-14B has an MFU of 29.6 % on v5p; computing blocks again as here, its
chips would run at 0.395 of their peak."""


@dataclasses.dataclass(frozen=True)
class Expected:
    """A step on `chips`; times in seconds, `received` in bytes to a chip.

    Attributes:
      compute: of the operations.
      traffic: of what is received, were nothing else to do.
      hidden, apart: the model's operations over the peak's in a step whose traffic is hidden behind computation as
        far as it goes, and in one whose traffic is waited for.
    """

    chips: int
    received: float
    compute: float
    traffic: float
    hidden: float
    apart: float


def expected(report: dict[str, Any], chips: int, share: float = SHARE) -> Expected:
    """A report's training step (`jaxanim.training.ahead.compile_step`) on another number of chips.

    Raises InputError for a report that is not of a training step over at least two chips, or of an unknown chip.
    """
    if report.get("step") != "train" or "received" not in report:
        raise InputError(f"the report of {report.get('config')} is of no training step that was compiled")
    mesh = report["mesh"]
    chip, parts = _chip(report["topology"]), mesh.get("fsdp", mesh.get("data", 1))
    if chip.links is None or parts == 1:
        raise InputError(f"the report of {report['config']} says nothing about traffic over fsdp or data")
    if not 0 < share <= 1:
        raise InputError(f"share is {share}: give what products reach of the peak, above 0, 1 at most")
    received = sum(report["received"].values()) * parts / (parts - 1) * (chips - 1) / chips
    least = report["flops"] / chip.flops
    compute, traffic = least * RECOMPUTED / share, received / (chip.links / 2)
    return Expected(
        chips, received, compute, traffic, hidden=least / max(compute, traffic), apart=least / (compute + traffic)
    )


def table(reports: list[dict[str, Any]], numbers: tuple[int, ...] = (16, 64, 256), share: float = SHARE) -> str:
    """What `expected` says of every report, as a Markdown table."""
    lines = [
        "| config | chip | chips | received, GB a chip | operations a byte | computing, s | traffic, s "
        "| MFU, traffic hidden | MFU, waited for |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for report in reports:
        for chips in numbers:
            e = expected(report, chips, share)
            lines.append(
                f"| {name_of(report)} | {_chip(report['topology']).name} | {chips} | {e.received / 1e9:.1f} "
                f"| {report['flops'] / e.received:.0f} | {e.compute:.2f} | {e.traffic:.3f} "
                f"| {100 * e.hidden:.1f} % | {100 * e.apart:.1f} % |"
            )
    return "\n".join(lines)


def name_of(report: dict[str, Any]) -> str:
    """A report's config, with what its row sets of the task; not the span that frames are taken of."""
    words = [word for word in report.get("row", []) if word.startswith("task.") and ".span=" not in word]
    return " ".join([report["config"], *words])


def _chip(topology: str) -> Chip:
    name = topology.partition("-")[0].partition(":")[0]
    found = [chip for chip in CHIPS.values() if chip.name == name]
    if not found:
        raise InputError(f"topology {topology} is of no chip whose figures are known")
    return found[0]
