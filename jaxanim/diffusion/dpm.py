"""DPM-Solver++ with fresh noise (Lu et al. 2022, "SDE-DPM-Solver++(2M)"), as CogVideoX samples."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from jaxanim.diffusion.process import Walk
from jaxanim.errors import InputError


class Carried(NamedTuple):
    """The key of the fresh noise, and the step before's estimate of x_0."""

    key: Key[Array, ""]
    x0: Float[Array, "*shape"]


@dataclass(frozen=True)
class DPM:
    """With lambda = log(signal / noise) and h its growth over a step, x becomes

        (next_noise / noise) e^-h x + next_signal (1 - e^-2h) D + next_noise sqrt(1 - e^-2h) z,

    with fresh noise z and D = x_0 + (x_0 - x_0 of the step before) h / (2 h of the step before). The first step,
    and one that ends without noise, take D = x_0. A walk may begin without signal and end without noise.
    """

    def plan(self, walk: Walk) -> Walk:
        """The factors of x, D and z, and the weight of the difference in D, in float64."""
        with np.errstate(divide="ignore", invalid="ignore"):
            start, end = np.log(walk.signal / walk.noise), np.log(walk.next_signal / walk.next_noise)
            h = end - start
            # From pure noise h is infinite, and so is the next step's `before`: the difference has no weight there.
            before = np.append(np.inf, np.diff(start))
            weight = np.where(np.isfinite(h) & np.isfinite(before), h / (2 * before), 0.0)
            kept = np.where(np.isfinite(h), walk.next_noise / walk.noise * np.exp(-h), 0.0)
        gained = -np.expm1(-2 * h)
        return walk._replace(own=(kept, walk.next_signal * gained, walk.next_noise * np.sqrt(gained), weight))

    def init(self, x: Float[Array, "*shape"], key: Key[Array, ""] | None) -> Carried:
        """InputError without a key."""
        if key is None:
            raise InputError("DPM draws fresh noise at every step: sampling with it needs a key")
        return Carried(key, jnp.zeros_like(x))

    def step(
        self,
        step: Walk,
        x: Float[Array, "*shape"],
        x0: Float[Array, "*shape"],
        eps: Float[Array, "*shape"],
        carry: Carried,
    ) -> tuple[Float[Array, "*shape"], Carried]:
        """x at the next noise level, and the carry."""
        kept, gained, fresh, weight = step.own
        estimate = x0 + weight * (x0 - carry.x0)
        z = jax.random.normal(jax.random.fold_in(carry.key, step.index), x.shape, x.dtype)
        return kept * x + gained * estimate + fresh * z, Carried(carry.key, x0.astype(x.dtype))
