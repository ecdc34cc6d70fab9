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
RULES = ("diffsynth", "diffusers", "official")


@register_config
@dataclasses.dataclass(frozen=True)
class Flow:
    """x_t = (1 - s) x_0 + s eps with noise level s = t / num_train_timesteps; t may lie between two integers.

    Attributes:
      shift: how much more steps (and training times) lie at high noise, see `shifted`; 1 spaces them evenly.
      prediction_type: what the network returns: the velocity eps - x_0.
      rule: whose steps a sampler takes, see `walk`.
    """

    shift: float = 5.0
    num_train_timesteps: int = 1000
    prediction_type: str = "flow_prediction"
    rule: str = "diffsynth"

    def __post_init__(self):
        if not 0 < self.shift < float("inf"):
            raise InputError(f"shift is {self.shift}: it must be greater than 0")
        check_prediction_type(self.prediction_type)
        if self.rule not in RULES:
            raise InputError(f"rule is {self.rule!r}: it must be one of {', '.join(RULES)}")

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
        """Steps to s = 0, evenly spaced and then `shifted`; three rules are in use.

        "diffsynth" (and so PoseAnything) begins at s = 1 and tells the network t = num_train_timesteps s as it is.
        "diffusers" spaces from 1 to 1 / num_train_timesteps, begins 1e-6 below 1, and "official" (Wan's own) from
        1 - 1 / num_train_timesteps to 0; both go to 0 from their last level but one, and tell t rounded down.
        """
        if steps < 1:
            raise InputError(f"steps is {steps}: it must be 1 or more")
        least = 1 / self.num_train_timesteps
        ends = {"diffsynth": (1, 0), "diffusers": (1, least), "official": (1 - least, 0)}[self.rule]
        s = self.shifted(np.linspace(*ends, steps + 1))
        s[-1] = 0
        t = self.num_train_timesteps * s[:-1]
        if self.rule != "diffsynth":
            s[0] -= 1e-6 if self.rule == "diffusers" else 0
            t = np.trunc(self.num_train_timesteps * s[:-1])
            # Both store levels in float32, and 1 - s of the first is known no better than that.
            s = s.astype(np.float32).astype(np.float64)
        start, end = s[:-1], s[1:]
        index = np.arange(steps, dtype=np.int32)
        return Walk(index, t, 1 - start, start, 1 - end, end)
