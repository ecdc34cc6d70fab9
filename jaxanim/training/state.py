"""What changes during training, and the step that changes it."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax.sharding import Mesh, NamedSharding, PartitionSpec, Sharding
from jaxtyping import Array, Float, PyTree

from jaxanim.mesh import tracing_on
from jaxanim.training.experiment import Experiment
from jaxanim.training.optimizer import make_optimizer, update_ema
from jaxanim.training.partition import FlatParams, combine
from jaxanim.training.task import Batch, Task

Metrics = dict[str, Float[Array, ""]]


@struct.dataclass
class State:
    """Everything that a step changes. The random key of a step is derived from `step`, so none is kept.

    step: int32 scalar. params, ema: the trainable parameters by path, and their average. The leaves have no
    types here, for trees of this form also hold shapes, shardings and the like.
    """

    step: PyTree
    params: dict[str, PyTree]
    ema: dict[str, PyTree]
    optimizer: PyTree


def make_state(experiment: Experiment, params: FlatParams, mesh: Mesh) -> State:
    """The state before the first step around `params`, the trainable ones, which lie on `mesh`."""
    places = jax.tree.map(lambda leaf: leaf.sharding, state_shapes(experiment, params, mesh))
    first = _first(experiment)
    if mesh.size == 1:  # leaf by leaf: one program of them all takes long to compile
        ema, kept = jax.device_put(first(params), (places.ema, places.optimizer))
    else:
        ema, kept = jax.jit(first, out_shardings=(places.ema, places.optimizer))(params)
    return State(step=jax.device_put(jnp.int32(0), places.step), params=params, ema=ema, optimizer=kept)


def state_shapes(experiment: Experiment, params: FlatParams, mesh: Mesh) -> State:
    """The shapes of that state, and where it lies: `params` may be shapes with shardings too.

    The average and what the optimizer keeps of a parameter lie as the parameter does, the rest on every device.
    """

    def placed(path: tuple, leaf: jax.Array | jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
        of = next((params[key.key] for key in reversed(path) if getattr(key, "key", None) in params), None)
        whole: Sharding = NamedSharding(mesh, PartitionSpec())
        there = of.sharding if of is not None and of.shape == leaf.shape else whole
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=there)

    ema, kept = jax.eval_shape(_first(experiment), params)
    state = State(step=jax.eval_shape(jnp.int32, 0), params=params, ema=ema, optimizer=kept)
    return jax.tree.map_with_path(placed, state)


def _first(experiment: Experiment) -> Callable[[FlatParams], tuple[FlatParams, PyTree]]:
    """(average, optimizer's state) before the first step; a copy: a donated buffer must not be given twice."""
    optimizer = make_optimizer(experiment)
    return lambda params: (jax.tree.map(jnp.copy, params), optimizer.init(params))


def before_divergence(state: State) -> State:
    """The state that the step that was not finite began with; the step counter is below 0 since then."""
    step = jax.device_put(-1 - state.step, state.step.sharding)
    return state.replace(step=step)


def step_function(
    experiment: Experiment, task: Task, state: State
) -> Callable[[State, FlatParams, Batch], tuple[State, Metrics]]:
    """(state, frozen parameters, batch) -> (state, metrics), compiled; it reuses the state's buffers.

    A step whose loss or gradient is not finite changes nothing, and no step after it does: `before_divergence` then
    gives the state that it began with.

    The step is traced for the mesh that `state` lies on, and the new state lies where `state` does. Left to choose,
    the compiler names another place for it even on one device, and the second step is compiled all over again.
    """
    optimizer = make_optimizer(experiment)
    parts = experiment.accumulate
    mesh = getattr(state.step.sharding, "mesh", None)

    def loss(params, frozen, batch, key):
        # Parameters are frozen by position: gradients are taken of the first argument alone.
        value, metrics = task.loss(combine(params, frozen), batch, key)
        return value, {"loss": value, **metrics}

    gradient = jax.grad(loss, has_aux=True)

    def accumulated(params, frozen, batch, key):
        if parts == 1:
            return gradient(params, frozen, batch, key)
        # Every part takes every parts-th example, so that the examples of a part lie on all devices.
        cut = jax.tree.map(lambda x: x.reshape(-1, parts, *x.shape[1:]).swapaxes(0, 1), batch)
        keys = jax.random.split(key, parts)
        first = jax.tree.map(lambda x: x[0], cut)
        zeros = jax.tree.map(
            lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(gradient, params, frozen, first, key)
        )

        def add(total, part):
            return jax.tree.map(jnp.add, total, gradient(params, frozen, *part)), None

        total, _ = jax.lax.scan(add, zeros, (cut, keys))
        return jax.tree.map(lambda x: x / parts, total)

    def step(state: State, frozen: FlatParams, batch: Batch) -> tuple[State, Metrics]:
        with tracing_on(mesh):
            return on_mesh(state, frozen, batch)

    def on_mesh(state: State, frozen: FlatParams, batch: Batch) -> tuple[State, Metrics]:
        key = jax.random.fold_in(jax.random.key(experiment.seed), state.step)
        gradients, metrics = accumulated(state.params, frozen, batch, key)
        updates, optimizer_state = optimizer.update(gradients, state.optimizer, state.params)
        params = optax.apply_updates(state.params, updates)
        ema = update_ema(state.ema, params, state.step, experiment.ema_decay)
        metrics["gradient_norm"] = optax.global_norm(gradients)
        good = jnp.isfinite(metrics["loss"]) & jnp.isfinite(metrics["gradient_norm"]) & (state.step >= 0)
        after = State(step=state.step + 1, params=params, ema=ema, optimizer=optimizer_state)
        stopped = state.replace(step=jnp.where(state.step < 0, state.step, -1 - state.step))
        return jax.tree.map(lambda new, old: jnp.where(good, new, old), after, stopped), metrics

    return jax.jit(step, donate_argnums=0, out_shardings=(jax.tree.map(lambda leaf: leaf.sharding, state), None))
