"""What a noise process is: a value that says how much signal and how much noise there is at each time.

Notation: x_t = signal x_0 + noise eps with eps ~ N(0, 1). `jaxanim.diffusion.betas` holds the discrete processes of
Ho et al. 2020, `jaxanim.diffusion.flow` rectified flow.
"""

from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key, Num

from jaxanim.errors import InputError

PREDICTION_TYPES = ("epsilon", "v_prediction", "sample", "flow_prediction")


class Walk(NamedTuple):
    """The steps from noise level to noise level, in order: arrays [steps] in float64, or one step's scalars.

    `index` counts the steps, `t` is the time that the network is told. x starts a step as signal x_0 + noise eps
    and leaves it as next_signal x_0 + next_noise eps. `own` is what a solver has worked out beforehand for itself:
    None or a tree of arrays [steps, ...].
    """

    index: Num[ArrayLike, "*steps"]
    t: Num[ArrayLike, "*steps"]
    signal: Float[ArrayLike, "*steps"]
    noise: Float[ArrayLike, "*steps"]
    next_signal: Float[ArrayLike, "*steps"]
    next_noise: Float[ArrayLike, "*steps"]
    own: Any = None


@runtime_checkable
class Process(Protocol):
    """A noise process, the way a sampler walks it, and what the network predicts (one of PREDICTION_TYPES)."""

    prediction_type: str

    def levels(self, t: Num[Array, "*shape"]) -> tuple[Float[Array, "*shape"], Float[Array, "*shape"]]:
        """(signal, noise) at times t, float32."""
        ...

    def walk(self, steps: int) -> Walk:
        """From pure noise to the clean sample in so many steps; InputError for a number that does not fit."""
        ...

    def draw(self, key: Key[Array, ""], count: int) -> Num[Array, " {count}"]:
        """Times to train at."""
        ...


def step_shapes(process: Process) -> Walk:
    """One step of a walk as a sampler's estimate is given it, shapes in place of numbers."""

    def shape(column: ArrayLike) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(column.shape[1:], jax.dtypes.canonicalize_dtype(column.dtype))

    return jax.tree.map(shape, process.walk(2))


def add_noise(
    process: Process, x0: Float[Array, "*shape"], eps: Float[Array, "*shape"], t: Num[Array, "..."]
) -> Float[Array, "*shape"]:
    """x_t of the forward process (Ho et al. 2020, Eq. 4); t has one or more of x0's leading axes."""
    signal, noise = _levels(process, t, x0.ndim)
    return signal * x0 + noise * eps


def target(
    process: Process, x0: Float[Array, "*shape"], eps: Float[Array, "*shape"], t: Num[Array, "..."]
) -> Float[Array, "*shape"]:
    """What the process's network learns to return, t as in `add_noise`.

    "epsilon" is the noise, "sample" the clean sample, "v_prediction" signal eps - noise x_0 (Salimans and Ho 2022,
    App. D), "flow_prediction" eps - x_0, the velocity along the line between the two (Liu et al. 2023, Eq. 1).
    """
    if process.prediction_type == "epsilon":
        return eps
    if process.prediction_type == "sample":
        return x0
    if process.prediction_type == "flow_prediction":
        return eps - x0
    signal, noise = _levels(process, t, x0.ndim)
    return signal * eps - noise * x0


def x0_eps(
    prediction_type: str,
    output: Float[Array, "*shape"],
    x: Float[Array, "*shape"],
    signal: Float[ArrayLike, "..."],
    noise: Float[ArrayLike, "..."],
) -> tuple[Float[Array, "*shape"], Float[Array, "*shape"]]:
    """(x_0, eps) that a network's output stands for at x; signal and noise are broadcast to x."""
    if prediction_type == "epsilon":
        return (x - noise * output) / signal, output
    if prediction_type == "sample":
        return output, (x - signal * output) / noise
    if prediction_type == "flow_prediction":
        return x - noise * output, x + signal * output
    return signal * x - noise * output, signal * output + noise * x


def check_prediction_type(prediction_type: str) -> None:
    """Raises InputError unless the name is one of PREDICTION_TYPES."""
    if prediction_type not in PREDICTION_TYPES:
        names = ", ".join(PREDICTION_TYPES)
        raise InputError(f"prediction_type is {prediction_type!r}: it must be one of {names}")


def _levels(process: Process, t: jax.Array, ndim: int) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
    """`levels` with trailing axes of size 1 up to `ndim` axes."""
    signal, noise = process.levels(t)
    shape = t.shape + (1,) * (ndim - t.ndim)
    return signal.reshape(shape), noise.reshape(shape)
