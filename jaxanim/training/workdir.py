"""The folder of a run, and what must not be mixed in it."""

import json
import shutil
from pathlib import Path

import jax
import numpy as np

from jaxanim.errors import InputError
from jaxanim.media.files import atomic_path
from jaxanim.media.images import write_png
from jaxanim.media.outputs import check_outputs, paths_in
from jaxanim.training.experiment import Experiment, describe, differences
from jaxanim.training.partition import combine
from jaxanim.training.state import State
from jaxanim.training.task import Task

FOLDERS = ("checkpoints", "sheets", "weights", "tensorboard")
FILES = ("config.json", "metrics.jsonl", "loss.png", "diverged.json")


def check_reads(experiment: Experiment, workdir: Path) -> None:
    """Raises InputError where the run would write over something that the experiment reads, or it is not there."""
    start = experiment.init_from
    if start is not None and not has_checkpoint(Path(start)):
        raise InputError(f"init_from {start} is not the working folder of a run: it has no checkpoints")
    written = {f"{name} of the working folder": workdir / name for name in (*FOLDERS, *FILES)}
    check_outputs(written, paths_in(experiment))


def prepare(experiment: Experiment, workdir: Path, fresh: bool) -> None:
    """Removes an earlier run if `fresh`, and writes the config down.

    Raises InputError if there is a run of another config to go on with.
    """
    if not is_writer():
        return
    if fresh:
        for name in FOLDERS:
            shutil.rmtree(workdir / name, ignore_errors=True)
        for name in FILES:
            (workdir / name).unlink(missing_ok=True)
    path, described = workdir / "config.json", describe(experiment)
    if path.exists() and has_checkpoint(workdir):
        changed = differences(json.loads(path.read_text(encoding="utf-8")), described)
        if changed:
            raise InputError(
                f"{workdir} holds a run with another {', '.join(changed)}; to start over give --fresh, "
                "to keep both give another --workdir"
            )
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(described, indent=1) + "\n", encoding="utf-8")


def has_checkpoint(workdir: Path) -> bool:
    """Whether there is a finished checkpoint to go on from."""
    folder = workdir / "checkpoints"
    return folder.is_dir() and any(entry.name.isdigit() for entry in folder.iterdir())


def write_sheet(
    experiment: Experiment, task: Task, state: State, frozen: dict[str, jax.Array], workdir: Path
) -> None:
    """The task's picture of the averaged parameters, with the same random key at every step."""
    sheet = task.sheet(combine(whole(state.ema), whole(frozen)), jax.random.key(experiment.seed))
    if is_writer():
        write_png(workdir / "sheets" / f"{int(state.step):07d}.png", np.asarray(sheet))


def export(task: Task, state: State, frozen: dict[str, jax.Array], workdir: Path) -> None:
    """The averaged parameters, in weights/, as the task writes them."""
    params = combine(whole(state.ema), whole(frozen))
    if is_writer():
        task.save(params, workdir / "weights")


def whole(flat: dict[str, jax.Array]) -> dict[str, jax.Array]:
    """Parameters of which every host can see all."""
    if jax.process_count() == 1:
        return flat
    from jax.experimental.multihost_utils import process_allgather

    return process_allgather(flat, tiled=True)


def is_writer() -> bool:
    """One host writes the files; checkpoints, which all write, aside."""
    return jax.process_index() == 0
