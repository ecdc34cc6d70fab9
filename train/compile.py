"""Compiles what a config trains for a TPU slice, by the TPU's own compiler, on any machine; prints JSON.

  python -m train.compile configs/full_NAME.py --topology v5e:16x16
  python -m train.compile configs/full_NAME.py --topology v6e-64 mesh.fsdp=16 batch_size=64
  python -m train.compile configs/full_NAME.py --topology v6e-8 --step sample
  python -m train.compile --all >> rows.jsonl         every row of configs/full.py, each in a process of its own
  python -m train.compile --table rows.jsonl          these rows as a Markdown table
  python -m train.compile --scaling rows.jsonl        their training steps on 16 to 256 chips, on paper

Bytes per chip and the limit, the model's operations per chip and step, what the chips send each other, and how
long the compiler took. No weights, data or TPU are needed, but the package libtpu (`pip install 'jax[tpu]'`); exit
code 1 where the program does not fit.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

from jaxanim.ending import ends_well
from jaxanim.errors import InputError

STEPS = ("train", "sample")


def main(arguments: list[str] | None = None) -> int:
    """The program; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m train.compile", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", nargs="?", help="Python file with `config = Experiment(...)`")
    parser.add_argument("overrides", nargs="*", metavar="name=value", help="fields to set, as mesh.fsdp=16")
    parser.add_argument("--topology", help="a TPU's name and sides, as v5e:16x16, or a slice, as v5e-256")
    parser.add_argument("--step", choices=STEPS, default="train", help="which program (default: train)")
    parser.add_argument(
        "--effort", type=float, default=0.0, metavar="SHARE",
        help="-1 to 1, what the compiler spends on the program's speed; -1 is soonest done (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--all", action="store_true", help="every row of configs/full.py")
    parser.add_argument("--only", default="", metavar="WORDS", help="with --all: rows with these words in them")
    parser.add_argument("--limit", type=float, default=60, metavar="MINUTES", help="with --all: for a row")
    parser.add_argument("--table", type=Path, metavar="FILE", help="print rows of JSON as a Markdown table")
    parser.add_argument("--scaling", type=Path, metavar="FILE", help="print what such rows say of other slices")
    parser.add_argument("--share", type=float, default=0.4, help="with --scaling: of its peak that a chip runs at")
    options = parser.parse_intermixed_args(arguments)
    return ends_well("train.compile", lambda: _start(options))


def _start(options: argparse.Namespace) -> int:
    if options.table is not None:
        print(table(read_rows("--table", options.table)))
        return 0
    if options.scaling is not None:
        from jaxanim.training import scaling

        rows = read_rows("--scaling", options.scaling)
        steps = [row for row in rows if row.get("step") == "train" and row["fits"]]
        print(scaling.table(steps, share=options.share))
        return 0
    if options.all:
        from configs.full import ROWS

        for row in ROWS:
            words = [*row.arguments, *([f"--effort={options.effort:g}"] if options.effort else [])]
            if options.only in " ".join(words):
                print(json.dumps(compiled_apart(words, options.limit)), flush=True)
        return 0
    if not -1 <= options.effort <= 1:
        raise InputError(f"--effort is {options.effort:g}: give -1 to 1")
    for name in ("config", "topology"):
        if getattr(options, name) is None:
            raise InputError(f"{name} is missing: give a config file and --topology, or --all")
    return run(options)


def run(options: argparse.Namespace) -> int:
    """Compiles the one program that the options ask for."""
    import jax

    from jaxanim.config_file import load_config
    from jaxanim.training.ahead import compile_step
    from jaxanim.training.experiment import Experiment, override

    jax.config.update("jax_platforms", "cpu")  # whatever is here, nothing is run on it
    experiment = override(load_config(options.config, Experiment), options.overrides)
    report = compile_step(experiment, options.topology, options.step, options.effort)
    print(json.dumps(report))
    return 0 if report["fits"] else 1


def compiled_apart(words: list[str], minutes: float) -> dict:
    """The report of one row; where there is none, why."""
    begin = time.monotonic()
    command = [sys.executable, "-m", "train.compile", *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60 * minutes)
    except subprocess.TimeoutExpired:
        return {"row": words, "failed": f"not compiled in {minutes:g} minutes"}
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if not lines:
        last = (done.stderr.strip().splitlines() or [""])[-1]
        return {"row": words, "failed": last[:300], "compile_s": round(time.monotonic() - begin, 1)}
    return {"row": words} | json.loads(lines[-1])


def read_rows(name: str, path: Path) -> list[dict]:
    """The reports in a file, a line each; InputError, with the option's name, for a line that is none."""
    if not path.is_file():
        raise InputError(f"{name} {path} is no file")
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            row = None
        if not isinstance(row, dict) or not ({"failed", "row"} <= row.keys() or {"config", "mesh"} <= row.keys()):
            raise InputError(f"{name} {path}: line {number} is no report that this program printed")
        rows.append(row)
    return rows


def table(rows: list[dict]) -> str:
    """Rows as a Markdown table."""
    from jaxanim.training.scaling import name_of

    lines = [
        "| config | step | slice | mesh | batch | GiB a chip (limit) | TFLOP a chip | received, GB "
        "| Pallas kernels | compiled in |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        if "failed" in row:
            lines.append(f"| {' '.join(row['row'])} | | | | | {row['failed']} | | | | |")
            continue
        mesh = " ".join(f"{axis} {size}" for axis, size in row["mesh"].items())
        needs = "more" if row["needs_gib"] is None else f"{row['needs_gib']:.1f}"
        needs = needs if row["fits"] else f"**too large:** {needs}"
        received = f"{sum(row['received'].values()) / 1e9:.2f}" if "received" in row else ""
        lines.append(
            f"| {name_of(row)} | {row['step']} | {row['topology']} | {mesh} | {row.get('batch_size', '')} "
            f"| {needs} ({row['limit_gib']:.1f}) | {row['flops'] / 1e12:.1f} | {received} "
            f"| {row.get('pallas_kernels', '')} "
            f"| {row['compile_s']:.0f} s{' (less effort)' if row.get('effort', 0) < 0 else ''} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
