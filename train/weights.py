"""Trains the weights in the repository again, run by run, from the list in configs/weights.py.

  python -m train.weights               all runs; Ctrl-C stops in good order, the same command goes on
  python -m train.weights --list        the commands, to give one by one
  python -m train.weights steps=2 ...   the same with fields of every run set otherwise, to see that all fits

Nothing is written into weights/: the list says which run's result each folder there is.
"""

import argparse
import shlex
import subprocess
import sys

from configs.weights import RUNS


def commands(overrides: list[str]) -> list[list[str]]:
    """The command of each run."""
    return [
        ["train.run", f"configs/{run.config}.py", "--workdir", f"runs/{run.name}", *run.overrides, *overrides]
        for run in RUNS
    ]


def main(arguments: list[str] | None = None) -> int:
    """The program; returns its exit code, that of the first run that does not finish."""
    parser = argparse.ArgumentParser(
        prog="python -m train.weights", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("overrides", nargs="*", metavar="name=value", help="fields to set in every run")
    parser.add_argument("--list", action="store_true", help="print the commands and run none")
    options = parser.parse_args(arguments)
    for command in commands(options.overrides):
        print(shlex.join(["python", "-m", *command]), flush=True)
        if not options.list:
            # A process of its own, for what one run takes of memory the next shall have.
            process = subprocess.Popen([sys.executable, "-m", *command])
            try:
                code = process.wait()
            except KeyboardInterrupt:  # which the run has got too, and saves
                code = process.wait()
            if code:
                return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
