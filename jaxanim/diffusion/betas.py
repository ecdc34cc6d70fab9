"""Discrete-time diffusion (Ho et al. 2020): the noise added at each of a thousand timesteps, as betas.

alphas_cumprod[t] is the product of (1 - beta) up to and including t; signal = sqrt(alphas_cumprod[t]) and noise =
sqrt(1 - alphas_cumprod[t]).
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from jaxanim.diffusion.process import Walk, check_prediction_type
from jaxanim.errors import InputError
from jaxanim.stored import register_config

SCHEDULES = ("linear", "scaled_linear", "squaredcos_cap_v2")
SPACINGS = ("leading", "trailing", "linspace")


@register_config
@dataclasses.dataclass(frozen=True)
class Betas:
    """A noise process by its betas, with the field names of diffusers; the defaults are Stable Diffusion 1.5's.

    MagicAnimate's released sampler differs in `beta_schedule="linear"`: t = 961 ... 1 at 25 steps.

    Attributes:
      beta_schedule: "linear" (Ho et al. 2020; MagicAnimate), "scaled_linear" (linear in sqrt(beta): Stable
        Diffusion) or "squaredcos_cap_v2" (Nichol and Dhariwal 2021, which ignores `beta_start` and `beta_end`).
      prediction_type: what the network returns, see `jaxanim.diffusion.process.target`.
      spacing: where a sampler's steps lie, see `timesteps`.
      steps_offset: added to every timestep by "leading", ignored by the others.
      set_alpha_to_one: below timestep 0 lies alphas_cumprod 1, or else that of timestep 0.
      rescale_betas_zero_snr: the last x_t is pure noise (Lin et al. 2023, Alg. 1).
    """

    beta_schedule: str = "scaled_linear"
    beta_start: float = 0.00085
    beta_end: float = 0.012
    num_train_timesteps: int = 1000
    prediction_type: str = "epsilon"
    spacing: str = "leading"
    steps_offset: int = 1
    set_alpha_to_one: bool = True
    rescale_betas_zero_snr: bool = False

    def __post_init__(self):
        for name, known in (("beta_schedule", SCHEDULES), ("spacing", SPACINGS)):
            if (value := getattr(self, name)) not in known:
                raise InputError(f"{name} is {value!r}: it must be one of {', '.join(known)}")
        check_prediction_type(self.prediction_type)

    @functools.cached_property
    def alphas_cumprod(self) -> Float[np.ndarray, " timesteps"]:
        """In float64; roots are taken before they are rounded."""
        count = self.num_train_timesteps
        if self.beta_schedule == "linear":
            betas = np.linspace(self.beta_start, self.beta_end, count)
        elif self.beta_schedule == "scaled_linear":
            betas = np.linspace(self.beta_start**0.5, self.beta_end**0.5, count) ** 2
        else:
            moments = np.arange(count + 1) / count
            alpha_bar = np.cos((moments + 0.008) / 1.008 * np.pi / 2) ** 2
            betas = np.minimum(1 - alpha_bar[1:] / alpha_bar[:-1], 0.999)
        alphas_cumprod = np.cumprod(1.0 - betas)
        if self.rescale_betas_zero_snr:
            signal = np.sqrt(alphas_cumprod)
            alphas_cumprod = ((signal - signal[-1]) * signal[0] / (signal[0] - signal[-1])) ** 2
        return alphas_cumprod

    def levels(self, t: Int[Array, "*shape"]) -> tuple[Float[Array, "*shape"], Float[Array, "*shape"]]:
        """(signal, noise) at timesteps t, float32."""
        tables = np.sqrt(self.alphas_cumprod), np.sqrt(1.0 - self.alphas_cumprod)
        signal, noise = (jnp.asarray(table, jnp.float32)[t] for table in tables)
        return signal, noise

    def draw(self, key: Key[Array, ""], count: int) -> Int[Array, " {count}"]:
        """Timesteps to train at, all alike."""
        return jax.random.randint(key, (count,), 0, self.num_train_timesteps)

    def walk(self, steps: int) -> Walk:
        """From noise to the sample by Song et al. 2021, Eq. 12, with diffusers' choices: each step goes to the
        timestep num_train_timesteps // steps below; past the clean end see `set_alpha_to_one`."""
        ts = self.timesteps(steps)
        below = ts - self.num_train_timesteps // steps
        end = 1.0 if self.set_alpha_to_one else self.alphas_cumprod[0]
        alpha = self.alphas_cumprod[ts]
        alpha_next = np.where(below >= 0, self.alphas_cumprod[np.maximum(below, 0)], end)
        levels = np.sqrt(alpha), np.sqrt(1 - alpha), np.sqrt(alpha_next), np.sqrt(1 - alpha_next)
        return Walk(np.arange(steps, dtype=np.int32), ts, *levels)

    def timesteps(self, steps: int) -> Int[np.ndarray, " steps"]:
        """The timesteps to denoise at, descending, by diffusers' rules (Lin et al. 2023, Table 2).

        "leading": multiples of T // steps, plus `steps_offset`; "trailing": counted down from T - 1; "linspace":
        evenly from T - 1 to 0. Raises InputError for a number of steps that does not fit.
        """
        total = self.num_train_timesteps
        if not 1 <= steps <= total:
            raise InputError(f"steps is {steps}: it must be between 1 and the schedule's {total} timesteps")
        if self.spacing == "leading":
            ts = np.arange(steps)[::-1] * (total // steps) + self.steps_offset
        elif self.spacing == "trailing":
            ts = np.round(np.arange(total, 0, -total / steps)).astype(np.int64) - 1
        else:
            ts = np.round(np.linspace(0, total - 1, steps))[::-1].astype(np.int64)
        if ts[0] >= total or ts[-1] < 0:
            raise InputError(
                f"steps is {steps} with steps_offset {self.steps_offset}: the timesteps run from {ts[-1]} to "
                f"{ts[0]}, outside 0 to {total - 1}; use fewer steps or another offset"
            )
        return ts.astype(np.int32)
