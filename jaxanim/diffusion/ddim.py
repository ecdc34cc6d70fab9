"""DDIM sampling (Song et al. 2021) as one compiled loop.

What a step needs to know of the schedule is worked out beforehand in float64 for all steps (`ddim_steps`); a
step is then the same few products for sampling, for stochastic sampling (eta > 0) and, with another table,
for inversion.
"""

import operator
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, Key

from jaxanim.diffusion.schedule import Schedule, check_prediction_type, x0_eps_at
from jaxanim.errors import InputError

Denoise = Callable[[Float[Array, "*shape"], Int[Array, ""]], Float[Array, "*shape"]]


class DDIMSteps(NamedTuple):
    """The steps of a walk from noise level to noise level, in order: arrays [steps], or scalars for one step.

    `index` counts the steps, `t` is the timestep the network is told. x starts a step as signal x_0 +
    noise_level eps and leaves it as next_signal x_0 + next_noise_level eps + sigma z with fresh noise z.
    """

    index: Int[ArrayLike, "*steps"]
    t: Int[ArrayLike, "*steps"]
    signal: Float[ArrayLike, "*steps"]
    noise_level: Float[ArrayLike, "*steps"]
    next_signal: Float[ArrayLike, "*steps"]
    next_noise_level: Float[ArrayLike, "*steps"]
    sigma: Float[ArrayLike, "*steps"]


def timesteps(
    schedule: Schedule, steps: int, spacing: str = "leading", steps_offset: int = 1
) -> Int[np.ndarray, " steps"]:
    """The timesteps to denoise at, descending, by diffusers' rules (Lin et al. 2023, Table 2).

    "leading": multiples of T // steps, plus `steps_offset` (which the other two ignore); "trailing": counted
    down from T - 1; "linspace": evenly from T - 1 to 0. Raises InputError for another name or a number of
    steps that does not fit the schedule.
    """
    total = schedule.num_train_timesteps
    if not 1 <= steps <= total:
        raise InputError(f"steps is {steps}: it must be between 1 and the schedule's {total} timesteps")
    if spacing == "leading":
        ts = np.arange(steps)[::-1] * (total // steps) + steps_offset
    elif spacing == "trailing":
        ts = np.round(np.arange(total, 0, -total / steps)).astype(np.int64) - 1
    elif spacing == "linspace":
        ts = np.round(np.linspace(0, total - 1, steps))[::-1].astype(np.int64)
    else:
        raise InputError(f"spacing is {spacing!r}: it must be 'leading', 'trailing' or 'linspace'")
    if ts[0] >= total or ts[-1] < 0:
        raise InputError(
            f"steps is {steps} with steps_offset {steps_offset}: the timesteps run from {ts[-1]} to {ts[0]}, "
            f"outside 0 to {total - 1}; use fewer steps or another offset"
        )
    return ts.astype(np.int32)


def ddim_steps(
    schedule: Schedule,
    steps: int,
    *,
    spacing: str = "leading",
    steps_offset: int = 1,
    set_alpha_to_one: bool = True,
    eta: float = 0.0,
) -> DDIMSteps:
    """The sampling walk of Song et al. 2021, Eqs. 12 and 16, with diffusers' choices: each step goes to the
    timestep T // steps below, and below timestep 0 lies alphas_cumprod 1 (`set_alpha_to_one`) or that of
    timestep 0."""
    ts = timesteps(schedule, steps, spacing, steps_offset)
    alpha = schedule.alphas_cumprod[ts]
    alpha_next = alpha_below(schedule, ts - schedule.num_train_timesteps // steps, set_alpha_to_one)
    sigma = eta * np.sqrt((1 - alpha_next) / (1 - alpha) * (1 - alpha / alpha_next))
    return make_steps(ts, alpha, alpha_next, sigma)


def alpha_below(schedule: Schedule, ts: Int[np.ndarray, " steps"], set_alpha_to_one: bool) -> np.ndarray:
    """alphas_cumprod at ts, and past the clean end of the schedule (ts < 0) 1 or that of timestep 0."""
    end = 1.0 if set_alpha_to_one else schedule.alphas_cumprod[0]
    return np.where(ts >= 0, schedule.alphas_cumprod[np.maximum(ts, 0)], end)


def make_steps(ts: np.ndarray, alpha: np.ndarray, alpha_next: np.ndarray, sigma: np.ndarray) -> DDIMSteps:
    """The table of a walk: network timesteps, alphas_cumprod before and after each step, and fresh noise, in
    float64."""
    # Rounding may leave a tiny negative number where all of the remaining noise is fresh.
    next_noise_level = np.sqrt(np.maximum(1 - alpha_next - sigma**2, 0.0))
    floats = np.sqrt(alpha), np.sqrt(1 - alpha), np.sqrt(alpha_next), next_noise_level, sigma
    index = np.arange(len(ts), dtype=np.int32)
    return DDIMSteps(index, ts.astype(np.int32), *(x.astype(np.float32) for x in floats))


def ddim_step(
    step: DDIMSteps,
    model_output: Float[Array, "*shape"],
    x_t: Float[Array, "*shape"],
    *,
    prediction_type: str = "epsilon",
    clip_sample: bool = False,
    clip_sample_range: float = 1.0,
    noise: Float[Array, "*shape"] | None = None,
) -> Float[Array, "*shape"]:
    """x after one step (Song et al. 2021, Eq. 12). `step` holds the scalars of this step; `noise` is the
    fresh noise of a step whose sigma is not zero. `clip_sample` clips the predicted x_0 to
    +-`clip_sample_range`."""
    x0, eps = x0_eps_at(prediction_type, model_output, x_t, step.signal, step.noise_level)
    if clip_sample:
        x0 = jnp.clip(x0, -clip_sample_range, clip_sample_range)
    x = step.next_signal * x0 + step.next_noise_level * eps
    return x if noise is None else x + step.sigma * noise


def sample(
    denoise: Denoise,
    schedule: Schedule,
    x_T: Float[Array, "*shape"],
    *,
    steps: int = 25,
    spacing: str = "leading",
    steps_offset: int = 1,
    set_alpha_to_one: bool = True,
    prediction_type: str = "epsilon",
    clip_sample: bool = False,
    clip_sample_range: float = 1.0,
    eta: float = 0.0,
    key: Key[Array, ""] | None = None,
    report: Callable[[int, int], None] | None = None,
    steps_per_report: int = 1,
) -> Float[Array, "*shape"]:
    """x_0 by DDIM from x_T; the defaults are MagicAnimate's sampler, given its linear schedule.

    `denoise(x_t, t)` returns what `prediction_type` says; t is an int32 scalar. Pass
    `jax.tree_util.Partial(fn, params, ...)` for a network: its arrays are then arguments of the compiled
    program rather than constants inside it, and the program is compiled once for every call with the same
    `fn` and shapes. All steps are one `lax.scan`; with `report`, which is called as report(steps done, steps
    in all), each stretch of `steps_per_report` steps is one. Fresh noise for eta > 0 comes from `key`.

    Raises InputError for impossible numbers, where eta > 0 has no key, or where the network predicts noise at
    a step that starts without signal.
    """
    check_prediction_type(prediction_type)
    if eta > 0 and key is None:
        raise InputError(f"eta is {eta}: sampling with fresh noise needs a key")
    if steps_per_report < 1:
        raise InputError(f"steps_per_report is {steps_per_report}: it must be 1 or more")
    table = ddim_steps(
        schedule,
        steps,
        spacing=spacing,
        steps_offset=steps_offset,
        set_alpha_to_one=set_alpha_to_one,
        eta=eta,
    )
    if prediction_type == "epsilon" and table.signal[0] == 0:
        raise InputError(
            "prediction_type is 'epsilon' with a schedule of zero terminal SNR: the first step has no signal "
            "to recover from the noise; use 'v_prediction' or 'sample', or a spacing that leaves it out"
        )
    run = partial(
        _run,
        denoise if isinstance(denoise, Partial) else Partial(denoise),
        key=key if eta > 0 else None,
        prediction_type=prediction_type,
        clip_sample_range=clip_sample_range if clip_sample else None,
    )
    if report is None:
        return run(table, x_T)
    x = x_T
    for start in range(0, steps, steps_per_report):
        stretch = slice(start, min(start + steps_per_report, steps))
        x = jax.block_until_ready(run(jax.tree.map(operator.itemgetter(stretch), table), x))
        report(stretch.stop, steps)
    return x


@partial(jax.jit, static_argnames=("prediction_type", "clip_sample_range"))
def _run(denoise, table, x, *, key, prediction_type, clip_sample_range):
    """The steps of `table` from x on, as one scan."""

    def body(x, step):
        noise = None if key is None else jax.random.normal(jax.random.fold_in(key, step.index), x.shape, x.dtype)
        clip = {} if clip_sample_range is None else {"clip_sample": True, "clip_sample_range": clip_sample_range}
        x_next = ddim_step(step, denoise(x, step.t), x, prediction_type=prediction_type, noise=noise, **clip)
        return x_next.astype(x.dtype), None

    return jax.lax.scan(body, x, table)[0]
