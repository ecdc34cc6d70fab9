"""The loss on examples that nothing learns from, at the same times and noise whenever it is taken."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from jaxanim.errors import InputError
from jaxanim.mesh import tracing_on
from jaxanim.training.experiment import Experiment
from jaxanim.training.partition import FlatParams, combine
from jaxanim.training.sharding import shard_batch
from jaxanim.training.state import Metrics, State
from jaxanim.training.task import HeldOut, Task


def validation(experiment: Experiment, task: Task, mesh: Mesh) -> Callable[[State, FlatParams], Metrics] | None:
    """(state, frozen parameters) -> the loss and the further scalars of the averaged parameters, "held_out_" before
    their names: means over the task's held-out batches. None where the experiment asks for none.

    The random keys depend on nothing but the batch's number, so that runs of other seeds can be compared.

    Raises InputError if the task has no held-out examples.
    """
    if not experiment.validate_every:
        return None
    if not isinstance(task, HeldOut):
        raise InputError(f"validate_every is {experiment.validate_every}: this task holds no examples out; give 0")
    held_out = [shard_batch(batch, mesh) for batch in task.held_out(experiment.batch_size // jax.process_count())]

    @jax.jit
    def losses(params: FlatParams, frozen: FlatParams, batch, number) -> Metrics:
        key = jax.random.fold_in(jax.random.key(0), number)
        with tracing_on(mesh):
            value, metrics = task.loss(combine(params, frozen), batch, key)
        return {"loss": value, **metrics}

    def run(state: State, frozen: FlatParams) -> Metrics:
        each = [losses(state.ema, frozen, batch, number) for number, batch in enumerate(held_out)]
        return {f"held_out_{name}": jnp.mean(jnp.stack([one[name] for one in each])) for name in each[0]}

    return run
