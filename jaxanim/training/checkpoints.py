"""Saving and restoring a run: parameters, optimizer, average, step and data position, atomically."""

import dataclasses
import logging
from pathlib import Path
from typing import Any

import jax
import numpy as np
from orbax.checkpoint import v1 as ocp

from jaxanim.errors import InputError
from jaxanim.training.state import State

logging.getLogger("absl").setLevel(logging.WARNING)


@dataclasses.dataclass(frozen=True)
class Position:
    """What a checkpoint holds beside arrays: the data iterator's state, the bits of the frozen parameters
    summed
    up (they are not saved, being the same from the same config), and the seconds that the run has taken."""

    data: dict[str, Any]
    frozen: int
    seconds: float


def open_checkpoints(folder: Path, keep: int, clean: bool) -> ocp.training.Checkpointer:
    """Checkpoints by step in `folder`; the newest `keep` stay.

    `clean` removes what a killed save left behind: only for the program that writes there.
    """
    return ocp.training.Checkpointer(
        folder.absolute(),
        preservation_policy=ocp.training.preservation_policies.LatestN(keep),
        cleanup_tmp_directories=clean,
    )


def save(checkpointer: ocp.training.Checkpointer, state: State, position: Position) -> None:
    """Saves, unless this step is already saved."""
    step = int(state.step)
    if checkpointer.latest is not None and checkpointer.latest.step == step:
        return
    checkpointer.save_checkpointables(
        step, {"state": state}, force=True, custom_metadata=dataclasses.asdict(position)
    )


def restore(checkpointer: ocp.training.Checkpointer, like: State) -> tuple[State, Position] | None:
    """The newest checkpoint, its arrays placed as those of `like` (on however many devices it was saved), or
    None.

    Raises InputError if the checkpoint is of other parameters than `like`.
    """
    latest = checkpointer.latest
    if latest is None:
        return None
    _check_parameters(checkpointer, latest.step, like)
    abstract = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), like)
    try:
        state = checkpointer.load_checkpointables(latest.step, {"state": abstract})["state"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"the checkpoint {checkpointer.directory}/{latest.step} does not fit this config: {error}"
        ) from error
    metadata = checkpointer.checkpointables_metadata(latest.step).custom_metadata
    return state, Position(**metadata)


def _check_parameters(checkpointer: ocp.training.Checkpointer, step: int, like: State) -> None:
    """Raises InputError that names a parameter which the checkpoint has in another shape, or not, or alone."""
    stored = checkpointer.checkpointables_metadata(step).metadata["state"]["params"]
    found = {path: tuple(leaf.shape) for path, leaf in stored.items()}
    wanted = {path: tuple(leaf.shape) for path, leaf in like.params.items()}
    for path in sorted(found.keys() | wanted.keys()):
        if found.get(path) != wanted.get(path):
            there, here = (f"shape {shapes[path]}" if path in shapes else "none" for shapes in (found, wanted))
            raise InputError(
                f"the checkpoint {checkpointer.directory}/{step} is of another architecture: {path} has {there} "
                f"there and {here} here"
            )


def load_ema(folder: Path) -> dict[str, np.ndarray]:
    """The averaged trainable parameters, by path, of the newest checkpoint of a run's working folder.

    Raises InputError if there is none.
    """
    if not (folder / "checkpoints").is_dir():
        raise InputError(f"init_from {folder} is not the working folder of a run: it has no checkpoints")
    with open_checkpoints(folder / "checkpoints", keep=1, clean=False) as checkpointer:
        if checkpointer.latest is None:
            raise InputError(f"init_from {folder} has no finished checkpoint yet")
        # As numpy arrays: the devices that it was saved from may not be there.
        state = checkpointer.checkpointables_metadata().metadata["state"]
        wanted = jax.tree.map(lambda _: ocp.PLACEHOLDER, state)
        wanted["ema"] = {path: np.empty(leaf.shape, leaf.dtype) for path, leaf in state["ema"].items()}
        return checkpointer.load_checkpointables(None, {"state": wanted})["state"]["ema"]
