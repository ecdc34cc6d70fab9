"""The one loop that runs any solver over any noise process, as one compiled program.

What a step needs to know is worked out beforehand in float64 for all steps; a step is then a few products.
"""

import operator
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float, Key

from jaxanim.diffusion.ddim import DDIM
from jaxanim.diffusion.preview import Report
from jaxanim.diffusion.process import Process, Walk, x0_eps
from jaxanim.errors import InputError

Denoise = Callable[[Float[Array, "*shape"], Walk], Float[Array, "*shape"]]
"""(x, step) -> what the process's network predicts; `step.t` and `step.index` are scalars."""


@runtime_checkable
class Solver(Protocol):
    """How x gets from one noise level to the next; a frozen dataclass, since programs are compiled for it."""

    def plan(self, walk: Walk) -> Walk:
        """The steps to take of a process's walk, with the solver's `own` coefficients, in float64."""
        ...

    def init(self, x: Float[Array, "*shape"], key: Key[Array, ""] | None) -> Any:
        """What is carried from step to step at first: earlier estimates of a multistep method, a key, or None."""
        ...

    def step(
        self,
        step: Walk,
        x: Float[Array, "*shape"],
        x0: Float[Array, "*shape"],
        eps: Float[Array, "*shape"],
        carry: Any,
    ) -> tuple[Float[Array, "*shape"], Any]:
        """(x at the next noise level, carry), from the estimates of x_0 and eps at this one."""
        ...


def sample(
    denoise: Denoise,
    process: Process,
    x_T: Float[Array, "*shape"],
    *,
    steps: int,
    solver: Solver = DDIM(),
    between: Callable[[Float[Array, "*shape"], Walk], Float[Array, "*shape"]] | None = None,
    key: Key[Array, ""] | None = None,
    report: Report | None = None,
    steps_per_report: int = 1,
    only: slice = slice(None),
    trajectory: bool = False,
    unroll: bool = False,
) -> Float[Array, "..."]:
    """x at the end of a solver's walk from x_T.

    Args:
      denoise: (x, step) -> what `process.prediction_type` says. Pass `jax.tree_util.Partial(fn, params, ...)` for a
        network: its arrays are then arguments of the compiled program rather than constants inside it, and the
        program is compiled once for every call with the same `fn` and shapes.
      between: (x, step) -> x after each step, for what a system re-imposes; x is then at the step's next levels.
        A `Partial`, as `denoise`.
      key: random key of a solver that draws noise.
      report: called as report(steps done, steps in all, the last estimate of x_0). All steps are one `lax.scan`;
        with `report` each stretch of `steps_per_report` steps is one.
      only: the steps of the walk to take, for a system that looks at x in between; x_T is then x where they begin.
        A solver's history begins anew.
      trajectory: return x_T and x after each step, [steps + 1, ...].
      unroll: a Python loop in place of the scan, whose gradient takes a CPU a fraction of the time.

    Raises InputError for impossible numbers, and where x_0 or eps cannot be told from what the network predicts:
    the noise at a step that starts without signal, or the sample at one that starts without noise.
    """
    if steps_per_report < 1:
        raise InputError(f"steps_per_report is {steps_per_report}: it must be 1 or more")
    table = jax.tree.map(operator.itemgetter(only), solver.plan(process.walk(steps)))
    table = jax.tree.map(lambda a: a.astype(np.float32) if a.dtype == np.float64 else a, table)
    _check_levels(process.prediction_type, table)
    run = partial(
        _run,
        _partial(denoise),
        None if between is None else _partial(between),
        prediction_type=process.prediction_type,
        solver=solver,
        unroll=unroll,
    )
    count = len(table.index)
    size = steps_per_report if report is not None else max(count, 1)
    state, passed = (x_T, solver.init(x_T, key), x_T), []
    for start in range(0, count, size):
        end = min(start + size, count)
        state, seen = run(jax.tree.map(operator.itemgetter(slice(start, end)), table), state, trajectory=trajectory)
        passed.append(seen)
        if report is not None:
            jax.block_until_ready(state)
            report(end, count, state[2])
    return jnp.concatenate([x_T[None], *passed]) if trajectory else state[0]


@partial(jax.jit, static_argnames=("prediction_type", "solver", "trajectory", "unroll"))
def _run(denoise, between, table, state, *, prediction_type, solver, trajectory, unroll):
    """The steps of `table` from a state (x, carry, x0) on."""

    def body(state, step):
        x, carry, _ = state
        x0, eps = x0_eps(prediction_type, denoise(x, step), x, step.signal, step.noise)
        x_next, carry = solver.step(step, x, x0, eps, carry)
        x_next = x_next.astype(x.dtype)
        if between is not None:
            x_next = between(x_next, step)
        return (x_next, carry, x0.astype(x.dtype)), x_next if trajectory else None

    if not unroll:
        return jax.lax.scan(body, state, table)
    passed = []
    for i in range(len(table.index)):
        state, x = body(state, jax.tree.map(operator.itemgetter(i), table))
        passed.append(x)
    return state, jnp.stack(passed) if trajectory else None


def _partial(fn: Callable) -> Partial:
    return fn if isinstance(fn, Partial) else Partial(fn)


def _check_levels(prediction_type: str, table: Walk) -> None:
    if prediction_type == "epsilon" and not np.all(table.signal):
        raise InputError(
            "prediction_type is 'epsilon' with a schedule of zero terminal SNR: the first step has no signal "
            "to recover from the noise; use 'v_prediction' or 'sample', or a spacing that leaves it out"
        )
    if prediction_type == "sample" and not np.all(table.noise):
        raise InputError(
            "prediction_type is 'sample' and a step starts where x_0 and x_t are the same, so that no noise can be "
            "told; inversion needs set_alpha_to_one=False"
        )
