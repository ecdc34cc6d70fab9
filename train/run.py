"""Trains what a config file describes.

  python -m train.run configs/vae.py                        train, or go on where a stopped run was
  python -m train.run configs/vae.py steps=200 task.crop=32 override any field of the config, by dotted path
  python -m train.run configs/vae.py --fresh                start over
  python -m train.run configs/vae.py max_minutes=30         stop after half an hour; later: go on
  python -m train.run --list                                the configs there are

On several hosts the same command runs on each: with --distributed on a TPU pod, under SLURM or MPI, where the
hosts find each other; elsewhere with --coordinator HOST:PORT --processes N --process I.

A run writes into its working folder (runs/NAME): config.json, metrics.jsonl (a line per step), checkpoints/,
sheets/STEP.png (what it can do so far), and at the end loss.png and weights/. Ctrl-C finishes the step, saves
and stops; the same command goes on, with the same losses as if it had not been stopped.
"""

import argparse
import ast
import sys
from pathlib import Path

from jaxanim.compiled import add_no_cache, keep_compiled
from jaxanim.cpu import prepare_cpu
from jaxanim.ending import ends_well
from jaxanim.errors import InputError


def main(arguments: list[str] | None = None) -> int:
    """The program; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m train.run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", nargs="?", help="Python file with `config = Experiment(...)`; see --list")
    parser.add_argument("overrides", nargs="*", metavar="name=value", help="fields to set, as steps=200")
    parser.add_argument("--workdir", type=Path, help="where the run is kept (default: runs/NAME)")
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--resume", action="store_true", help="fail if there is no run to go on with")
    start.add_argument("--fresh", action="store_true", help="remove an earlier run in the working folder first")
    parser.add_argument("--list", action="store_true", help="list the configs and the names they can be given")
    parser.add_argument("--distributed", action="store_true", help="one of several hosts that find each other")
    parser.add_argument("--coordinator", metavar="HOST:PORT", help="address of process 0, the same for all hosts")
    parser.add_argument("--processes", type=int, help="with --coordinator: how many processes there are")
    parser.add_argument("--process", type=int, help="with --coordinator: which of them this is, from 0")
    add_no_cache(parser)
    options = parser.parse_intermixed_args(arguments)
    return ends_well("train.run", lambda: _start(options))


def _start(options: argparse.Namespace) -> int:
    if options.list:
        list_configs(Path("configs"))
        return 0
    if options.config is None:
        raise InputError("config is missing: give a file such as configs/vae.py, or --list to see them")
    join_hosts(options)
    return run(options)


def run(options: argparse.Namespace) -> int:
    """Trains as the options say, reports the end, and returns the exit code."""
    from jaxanim.config_file import load_config
    from jaxanim.training.experiment import Experiment, override
    from jaxanim.training.log import Diverged
    from jaxanim.training.loop import train
    from jaxanim.training.workdir import has_checkpoint

    experiment = override(load_config(options.config, Experiment), options.overrides)
    workdir = options.workdir or Path("runs") / experiment.name
    if workdir.exists() and not workdir.is_dir():
        raise InputError(f"--workdir {workdir} is a file")
    if options.resume and not has_checkpoint(workdir):
        raise InputError(f"--resume: {workdir} has no checkpoint to go on from")
    try:
        outcome = train(experiment, workdir, fresh=options.fresh)
    except Diverged as error:
        print(f"train.run: {error}", file=sys.stderr)
        return 1
    minutes = outcome.seconds / 60
    took = f"step {outcome.step} of {experiment.steps}, loss {outcome.loss:.4g}, {minutes:.1f} min in all"
    if outcome.stopped.startswith("SIG"):
        print(f"{outcome.stopped}: stopped and saved at {took}; the same command goes on from here")
        return 130 if outcome.stopped == "SIGINT" else 143
    if outcome.stopped == "budget":
        print(f"max_minutes={experiment.max_minutes:g} is used up: {took}; weights in {workdir / 'weights'}")
    else:
        print(f"finished: {took}; weights in {workdir / 'weights'}")
    return 0


def join_hosts(options: argparse.Namespace) -> None:
    """Connects this process with those on the other hosts, where the options ask for it."""
    given = {name: getattr(options, name) for name in ("coordinator", "processes", "process")}
    if options.coordinator is None and (options.processes is not None or options.process is not None):
        raise InputError("--coordinator is missing: --processes and --process serve only with it")
    if options.coordinator is not None:
        if missing := [f"--{name}" for name, value in given.items() if value is None]:
            raise InputError(f"--coordinator {options.coordinator} also needs {' and '.join(missing)}")
        if not 0 <= options.process < options.processes:
            raise InputError(f"--process is {options.process}: give 0 to {options.processes - 1}")
    elif not options.distributed:
        return
    import jax

    try:
        jax.distributed.initialize(options.coordinator, options.processes, options.process)
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"the hosts cannot be joined ({reason}); see --coordinator") from error


def list_configs(folder: Path) -> None:
    """Prints each config file with the first line of its docstring."""
    files = [path for path in sorted(folder.rglob("*.py")) if "config" in _names(path)]
    if not files:
        raise InputError(f"there are no configs in {folder}; run this from the repository's root")
    width = max(len(str(path)) for path in files)
    for path in files:
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        print(f"{path!s:{width}}  {text.splitlines()[0] if text else ''}")


def _names(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    targets = [
        target
        for node in tree.body
        if isinstance(node, (ast.Assign, ast.AnnAssign))
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
    ]
    return {target.id for target in targets if isinstance(target, ast.Name)}


if __name__ == "__main__":
    prepare_cpu()
    keep_compiled(sys.argv)
    sys.exit(main())
