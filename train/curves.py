"""Sets runs beside others: in how many times fewer steps do they come as far? Same2X's claim is 6.7 (Fig. 1).

  python -m train.curves --slow runs/plain_0 runs/plain_1 --fast runs/same2x_0 runs/same2x_1 --out curves.png

The first slow run is compared with the first fast one, and so on: the steps that the slow one takes to its lowest
held-out loss, over those that the fast one takes to the same, or null where the fast
one never comes there. Prints a line of JSON, and draws all curves.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from jaxanim.ending import ends_well
from jaxanim.errors import InputError

SPREAD = {"mean": np.mean, "least": min, "most": max}


def main(arguments: list[str] | None = None) -> int:
    """The program; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m train.curves", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--slow", nargs="+", required=True, metavar="RUN", help="working folders of runs")
    parser.add_argument("--fast", nargs="+", required=True, metavar="RUN", help="as many, of the same seeds")
    parser.add_argument("--names", nargs=2, default=("without", "with"), help="of the two kinds, in the picture")
    parser.add_argument("--metric", default="held_out_denoising", help="in metrics.jsonl (default: %(default)s)")
    parser.add_argument("--out", required=True, help="PNG to write")
    return ends_well("train.curves", lambda: compare(parser.parse_args(arguments)))


def compare(options: argparse.Namespace) -> None:
    """Reads all curves, draws them and prints the ratios."""
    from jaxanim.media.outputs import check_outputs
    from jaxanim.training.curves import plot, ratio, read_curve

    if len(options.slow) != len(options.fast):
        raise InputError(
            f"--slow names {len(options.slow)} runs and --fast {len(options.fast)}: give as many of both"
        )
    check_outputs({"--out": options.out}, {f"run {run}": run for run in (*options.slow, *options.fast)})
    if Path(options.out).suffix != ".png":
        raise InputError(f"--out is {options.out}: the name has to end in .png")
    slow, fast = ([read_curve(run, options.metric) for run in runs] for runs in (options.slow, options.fast))
    ratios = [ratio(*pair) for pair in zip(slow, fast, strict=True)]
    plot(options.out, dict(zip(options.names, (slow, fast), strict=True)), options.metric, Path(options.out).stem)
    reached = [value for value in ratios if np.isfinite(value)]
    spread = {name: round(float(of(reached)), 3) for name, of in SPREAD.items() if reached}
    shown = [round(value, 3) if np.isfinite(value) else None for value in ratios]
    lowest = {
        name: [round(float(c[1].min()), 5) for c in curves] for name, curves in (("slow", slow), ("fast", fast))
    }
    print(json.dumps({"ratios": shown} | spread | {"lowest": lowest}))


if __name__ == "__main__":
    sys.exit(main())
