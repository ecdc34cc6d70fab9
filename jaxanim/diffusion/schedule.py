"""Noise schedules of discrete-time diffusion (Ho et al. 2020) and what a network may be asked to predict.

Notation: alphas_cumprod[t] is the product of (1 - beta) up to and including t, so that x_t = signal * x_0 +
noise_level * eps with signal = sqrt(alphas_cumprod[t]), noise_level = sqrt(1 - alphas_cumprod[t]).
"""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from jaxanim.errors import InputError

PREDICTION_TYPES = ("epsilon", "v_prediction", "sample")


@dataclass(frozen=True, eq=False)
class Schedule:
    """alphas_cumprod [num_train_timesteps], float64. Its roots are taken in float64 before they are
    rounded."""

    alphas_cumprod: np.ndarray

    @property
    def num_train_timesteps(self) -> int:
        return len(self.alphas_cumprod)


def make_schedule(
    beta_schedule: str = "scaled_linear",
    beta_start: float = 0.00085,
    beta_end: float = 0.012,
    num_train_timesteps: int = 1000,
    rescale_zero_terminal_snr: bool = False,
) -> Schedule:
    """The schedule of these betas, named as in diffusers: "linear" (Ho et al. 2020; MagicAnimate),
    "scaled_linear" (linear in sqrt(beta): Stable Diffusion) or "squaredcos_cap_v2" (Nichol and Dhariwal 2021,
    which ignores `beta_start` and `beta_end`). `rescale_zero_terminal_snr` makes the last x_t pure noise (Lin
    et al. 2023, Alg. 1).

    Raises InputError for another name.
    """
    count = num_train_timesteps
    if beta_schedule == "linear":
        betas = np.linspace(beta_start, beta_end, count)
    elif beta_schedule == "scaled_linear":
        betas = np.linspace(beta_start**0.5, beta_end**0.5, count) ** 2
    elif beta_schedule == "squaredcos_cap_v2":
        moments = np.arange(count + 1) / count
        alpha_bar = np.cos((moments + 0.008) / 1.008 * np.pi / 2) ** 2
        betas = np.minimum(1 - alpha_bar[1:] / alpha_bar[:-1], 0.999)
    else:
        raise InputError(
            f"beta_schedule is {beta_schedule!r}: it must be 'linear', 'scaled_linear' or 'squaredcos_cap_v2'"
        )
    alphas_cumprod = np.cumprod(1.0 - betas)
    if rescale_zero_terminal_snr:
        signal = np.sqrt(alphas_cumprod)
        alphas_cumprod = ((signal - signal[-1]) * signal[0] / (signal[0] - signal[-1])) ** 2
    return Schedule(alphas_cumprod)


def add_noise(
    schedule: Schedule, x0: Float[Array, "b *rest"], noise: Float[Array, "b *rest"], t: Int[Array, " b"]
) -> Float[Array, "b *rest"]:
    """x_t of the forward process, each batch entry at its own timestep (Ho et al. 2020, Eq. 4)."""
    signal, noise_level = levels(schedule, t, x0.ndim)
    return signal * x0 + noise_level * noise


def velocity(
    schedule: Schedule, x0: Float[Array, "b *rest"], noise: Float[Array, "b *rest"], t: Int[Array, " b"]
) -> Float[Array, "b *rest"]:
    """v = signal * eps - noise_level * x_0 (Salimans and Ho 2022, App. D)."""
    signal, noise_level = levels(schedule, t, x0.ndim)
    return signal * noise - noise_level * x0


def target(
    prediction_type: str,
    schedule: Schedule,
    x0: Float[Array, "b *rest"],
    noise: Float[Array, "b *rest"],
    t: Int[Array, " b"],
) -> Float[Array, "b *rest"]:
    """What a network of this prediction type learns to return: the noise, the velocity or the clean
    sample."""
    check_prediction_type(prediction_type)
    if prediction_type == "epsilon":
        return noise
    return x0 if prediction_type == "sample" else velocity(schedule, x0, noise, t)


def to_x0_eps(
    prediction_type: str,
    schedule: Schedule,
    model_output: Float[Array, "b *rest"],
    x_t: Float[Array, "b *rest"],
    t: Int[Array, " b"],
) -> tuple[Float[Array, "b *rest"], Float[Array, "b *rest"]]:
    """(x_0, eps) that a model output stands for, given x_t."""
    return x0_eps_at(prediction_type, model_output, x_t, *levels(schedule, t, x_t.ndim))


def x0_eps_at(
    prediction_type: str,
    model_output: Float[Array, "*shape"],
    x_t: Float[Array, "*shape"],
    signal: Float[ArrayLike, "..."],
    noise_level: Float[ArrayLike, "..."],
) -> tuple[Float[Array, "*shape"], Float[Array, "*shape"]]:
    """(x_0, eps) at a known signal and noise level, both broadcastable to x_t."""
    check_prediction_type(prediction_type)
    if prediction_type == "epsilon":
        return (x_t - noise_level * model_output) / signal, model_output
    if prediction_type == "sample":
        return model_output, (x_t - signal * model_output) / noise_level
    return signal * x_t - noise_level * model_output, signal * model_output + noise_level * x_t


def levels(
    schedule: Schedule, t: Int[Array, " b"], ndim: int
) -> tuple[Float[Array, "b ..."], Float[Array, "b ..."]]:
    """(signal, noise_level) at timesteps t, float32, with trailing axes of size 1 up to `ndim` axes."""
    shape = t.shape + (1,) * (ndim - t.ndim)
    tables = np.sqrt(schedule.alphas_cumprod), np.sqrt(1.0 - schedule.alphas_cumprod)
    signal, noise_level = (jnp.asarray(table, jnp.float32)[t].reshape(shape) for table in tables)
    return signal, noise_level


def check_prediction_type(prediction_type: str) -> None:
    """Raises InputError unless the name is one of PREDICTION_TYPES."""
    if prediction_type not in PREDICTION_TYPES:
        names = ", ".join(PREDICTION_TYPES)
        raise InputError(f"prediction_type is {prediction_type!r}: it must be one of {names}")
