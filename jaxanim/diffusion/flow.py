"""Rectified flow (Liu et al. 2023): x moves on the straight line from the clean sample to the noise."""

import dataclasses
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, Num

from jaxanim.diffusion.process import Walk, check_prediction_type
from jaxanim.errors import InputError
from jaxanim.stored import register_config

Level = TypeVar("Level")


@register_config
@dataclasses.dataclass(frozen=True)
class Flow:
    """x_t = (1 - s) x_0 + s eps with noise level s = t / num_train_timesteps; t may lie between two integers.

    Attributes:
      shift: how much more steps (and training times) lie at high noise, see `shifted`; 1 spaces them evenly.
      prediction_type: what the network returns: the velocity eps - x_0.
    """

    shift: float = 5.0
    num_train_timesteps: int = 1000
    prediction_type: str = "flow_prediction"

    def __post_init__(self):
        if not 0 < self.shift < float("inf"):
            raise InputError(f"shift is {self.shift}: it must be greater than 0")
        check_prediction_type(self.prediction_type)

    def shifted(self, s: Level) -> Level:
        """shift s / (1 + (shift - 1) s), which leaves 0 and 1 in place (Esser et al. 2024, Eq. 23)."""
        return self.shift * s / (1 + (self.shift - 1) * s)

    def levels(self, t: Num[Array, "*shape"]) -> tuple[Float[Array, "*shape"], Float[Array, "*shape"]]:
        """(signal, noise) at times t, float32."""
        s = t.astype(jnp.float32) / self.num_train_timesteps
        return 1 - s, s

    def draw(self, key: Key[Array, ""], count: int) -> Float[Array, " {count}"]:
        """Times to train at: uniform, then `shifted`."""
        return self.num_train_timesteps * self.shifted(jax.random.uniform(key, (count,)))

    def walk(self, steps: int) -> Walk:
        """From s = 1 to s = 0, even steps `shifted`: t is num_train_timesteps at first and no integer after."""
        if steps < 1:
            raise InputError(f"steps is {steps}: it must be 1 or more")
        s = self.shifted(np.linspace(1, 0, steps + 1))
        start, end = s[:-1], s[1:]
        index = np.arange(steps, dtype=np.int32)
        return Walk(index, self.num_train_timesteps * start, 1 - start, start, 1 - end, end)
