"""The training loop."""

import contextlib
import dataclasses
import functools
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import grain
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from orbax.checkpoint import v1 as ocp
from tqdm import tqdm

from jaxanim.errors import InputError
from jaxanim.flops import model_flops
from jaxanim.media.files import atomic_path
from jaxanim.media.locks import locked
from jaxanim.training import checkpoints, log, sharding
from jaxanim.training.experiment import Experiment
from jaxanim.training.feed import Feed
from jaxanim.training.partition import FlatParams, checksum, combine, learns, partition
from jaxanim.training.signals import stop_signals
from jaxanim.training.state import State, before_divergence, make_state, step_function
from jaxanim.training.task import Batch, Task
from jaxanim.training.validation import validation
from jaxanim.training.workdir import check_reads, export, is_writer, prepare, write_sheet


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a call of `train` ended.

    stopped: "finished" (all steps), "budget" (max_minutes), or the name of the signal that stopped it. loss:
    mean over the last steps logged. seconds: that the run has taken, over all resumes.
    """

    step: int
    stopped: str
    loss: float
    seconds: float


def train(experiment: Experiment, workdir: Path, fresh: bool = False) -> Outcome:
    """Trains, or goes on with the run in `workdir`, exactly as if it had never been interrupted.

    Writes into workdir: config.json, metrics.jsonl (a line for each step), checkpoints/, sheets/STEP.png, and
    at the end loss.png and weights/ (the averaged parameters, as the task saves them). `fresh` removes these
    first.

    Raises InputError if workdir holds a run of another config, is in use, or has something in it that the
    experiment reads and the run would replace, and log.Diverged if the loss is not finite.
    """
    workdir = Path(workdir)
    check_reads(experiment, workdir)
    with contextlib.ExitStack() as stack:
        if is_writer():
            stack.enter_context(locked(workdir / "lock", wait=False))
        prepare(experiment, workdir, fresh)
        mesh = sharding.make_mesh(experiment.mesh)
        sharding.check_batch_size(experiment.batch_size, experiment.accumulate, mesh)
        task = experiment.task.open()
        state, frozen = initial(experiment, task, mesh)
        data = stack.enter_context(contextlib.closing(batches(experiment, task)))
        checkpointer = stack.enter_context(
            checkpoints.open_checkpoints(workdir / "checkpoints", experiment.keep, clean=True)
        )
        position = checkpoints.Position(data.get_state(), checksum(frozen), seconds=0.0)
        state, position = resumed(checkpointer, state, position)
        data.set_state(position.data)
        if is_writer():
            log.truncate(workdir / "metrics.jsonl", int(state.step))

        state, outcome = _run(experiment, task, workdir, mesh, state, frozen, data, checkpointer, position)
        if outcome.stopped in ("finished", "budget"):
            if experiment.sheet_every:
                write_sheet(experiment, task, state, frozen, workdir)
            export(task, state, frozen, workdir)
        rows = log.read(workdir / "metrics.jsonl")
        if rows and is_writer():
            log.plot(workdir / "loss.png", rows, experiment.name)
        last = rows[-max(1, experiment.log_every) :]
        return dataclasses.replace(outcome, loss=float(np.mean([row["loss"] for row in last])) if last else np.nan)


def _run(
    experiment: Experiment,
    task: Task,
    workdir: Path,
    mesh: Mesh,
    state: State,
    frozen: FlatParams,
    data: grain.DatasetIterator,
    checkpointer: ocp.training.Checkpointer,
    position: checkpoints.Position,
) -> tuple[State, Outcome]:
    """Steps until a reason to stop, which the outcome names (its loss is still to be filled in)."""
    run_step = step_function(experiment, task, state)
    validate = validation(experiment, task, mesh)
    step = int(state.step)
    began = time.monotonic()

    def seconds() -> float:
        return position.seconds + time.monotonic() - began

    bar = tqdm(
        total=experiment.steps, initial=step, desc=experiment.name, unit="step", dynamic_ncols=True,
        mininterval=0.5 if sys.stderr.isatty() else 20, disable=not is_writer(),
    )  # fmt: skip
    with contextlib.ExitStack() as stack:
        signals = stack.enter_context(stop_signals())
        stack.enter_context(bar)
        events = None
        if experiment.tensorboard and is_writer():
            events = stack.enter_context(contextlib.closing(log.Events(workdir / "tensorboard", step)))
        meter = log.Meter(functools.partial(_flops, task, state, frozen))
        unlogged, before = [], {}

        def save(state: State, data_state: dict) -> None:
            at = dataclasses.replace(position, data=data_state, seconds=seconds())
            checkpoints.save(checkpointer, state, at)

        while True:
            stopped = reason_to_stop(experiment, step, seconds, signals)
            saves = stopped or due(step, experiment.save_every)
            # Logged before a save too, so that the file has every step up to the checkpoint, and none that is not
            # finite.
            if unlogged and (saves or due(step, experiment.log_every)):
                jax.block_until_ready(unlogged[-1])
                machine = meter.report()
                try:
                    rows = log.write(workdir / "metrics.jsonl", unlogged, machine)
                except log.Diverged as error:
                    save(before_divergence(state), before[error.step])
                    tell_of(error, workdir, before[error.step], experiment.seed)
                    raise
                if events is not None:
                    events.write(rows)
                loss = np.mean([row["loss"] for row in rows])
                speed = experiment.batch_size / machine["step_seconds"]
                wait = machine["data_wait_seconds"] / machine["step_seconds"]
                bar.set_postfix_str(f"{speed:.1f} samples/s, loss {loss:.4g}, data {wait:.0%}", False)
                unlogged, before = [], {}
            bar.update(step - bar.n)
            if saves:
                save(state, data.get_state())
            if stopped:
                return state, Outcome(step, stopped, np.nan, seconds())
            if due(step, experiment.sheet_every):
                write_sheet(experiment, task, state, frozen, workdir)

            before[step + 1] = data.get_state()
            asked = time.monotonic()
            batch = sharding.shard_batch(next(data), mesh)
            meter.step(batch, time.monotonic() - asked)
            state, metrics = run_step(state, frozen, batch)
            step += 1
            # Kept on the device: to fetch them now would be to wait for the step.
            unlogged.append({"step": step, **metrics})
            if validate is not None and due(step, experiment.validate_every):
                unlogged[-1] |= validate(state, frozen)


def _flops(task: Task, state: State, frozen: FlatParams, batch: Batch) -> int:
    """The model's operations in a step on a batch of this form."""

    def gradient(params: FlatParams, frozen: FlatParams, batch: Batch, key: jax.Array) -> FlatParams:
        return jax.grad(lambda params: task.loss(combine(params, frozen), batch, key)[0])(params)

    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), (state.params, frozen, batch))
    return model_flops(gradient, *shapes, jax.random.key(0))


def tell_of(error: log.Diverged, workdir: Path, data_state: dict, seed: int) -> None:
    """Writes down which batch it was, and adds to the error where to find that and the state before it."""
    if is_writer():
        keys = {"step": error.step, "seed": seed, "data": data_state}
        with atomic_path(workdir / "diverged.json") as temporary:
            temporary.write_text(json.dumps(dict(error.row) | keys, indent=1) + "\n", encoding="utf-8")
    error.args = (
        f"{error}; the state before it is checkpoint {error.step - 1}, its random key and the place of its batch "
        f"in the data stand in {workdir / 'diverged.json'}. The same command takes that step again. A lower "
        "learning_rate, a longer warmup or a smaller clip_norm may help",
    )


def initial(experiment: Experiment, task: Task, mesh: Mesh) -> tuple[State, FlatParams]:
    """(state before the first step, frozen parameters), placed on the mesh.

    Raises InputError for a mesh over which a large parameter, or every parameter, cannot be cut.
    """
    place = placement(experiment, task, mesh)
    params = task.init(jax.random.key(experiment.seed), place)
    trainable, frozen = partition(params, task.trainable, hold=experiment.hold, thaw=experiment.thaw)
    if experiment.init_from is not None:
        trainable = taken_over(trainable, experiment.init_from)
    trainable, frozen = (sharding.shard_parameters(part, place) for part in (trainable, frozen))
    sharding.check_tensor_axis([*trainable.values(), *frozen.values()], mesh)
    return make_state(experiment, trainable, mesh), frozen


def placement(experiment: Experiment, task: Task, mesh: Mesh) -> sharding.Placement:
    """Where the parameters of a run lie, and what in."""

    def frozen(path: str) -> bool:
        return not learns(path, task.trainable, hold=experiment.hold, thaw=experiment.thaw)

    return sharding.Placement(mesh, frozen=frozen, frozen_dtype=experiment.frozen_dtype)


def taken_over(trainable: FlatParams, folder: str) -> FlatParams:
    """`trainable`, with the average of what another run has learnt where path and shape are the same.

    Raises InputError if that is nowhere.
    """
    learnt = checkpoints.load_ema(Path(folder))
    same = {path for path in trainable if path in learnt and learnt[path].shape == trainable[path].shape}
    if not same:
        raise InputError(f"init_from {folder} has no parameter of the same path and shape as a trainable one here")
    return {path: jnp.asarray(learnt[path]) if path in same else leaf for path, leaf in trainable.items()}


def resumed(
    checkpointer: ocp.training.Checkpointer, state: State, position: checkpoints.Position
) -> tuple[State, checkpoints.Position]:
    """The newest checkpoint's state and position, or else the ones given.

    Raises InputError if it was trained around other frozen networks: it would silently not be the same run.
    """
    restored = checkpoints.restore(checkpointer, state)
    if restored is None:
        return state, position
    if restored[1].frozen != position.frozen:
        raise InputError(f"the frozen networks are not those that {checkpointer.directory.parent} was trained with")
    return restored


def batches(experiment: Experiment, task: Task) -> grain.DatasetIterator:
    """The task's batches, read ahead; each host has its own part of the examples."""
    part, parts = jax.process_index(), jax.process_count()
    dataset = task.batches(Feed(experiment.seed, experiment.batch_size // parts, part, parts))
    # A grain buffer counts batches; 0 threads read in the loop itself.
    options = grain.ReadOptions(num_threads=experiment.threads, prefetch_buffer_size=2 * experiment.threads)
    return iter(dataset.to_iter_dataset(options))


def reason_to_stop(experiment: Experiment, step: int, seconds: Callable[[], float], signals: list[str]) -> str:
    """The word for `Outcome.stopped`, or "" to go on."""
    if step >= experiment.steps:
        return "finished"
    over = experiment.max_minutes is not None and seconds() >= 60 * experiment.max_minutes
    code = 1 if over else {"SIGINT": 2, "SIGTERM": 3}[signals[0]] if signals else 0
    if jax.process_count() > 1:
        # Hosts must stop at the same step, so they ask each other, but seldom, as it waits for the devices.
        from jax.experimental.multihost_utils import process_allgather

        code = int(process_allgather(np.int32(code)).max()) if due(step, max(1, experiment.log_every)) else 0
    return ("", "budget", "SIGINT", "SIGTERM")[code]


def due(step: int, every: int) -> bool:
    """Whether `step` is one of every `every`; 0 is never."""
    return every > 0 and step > 0 and step % every == 0
