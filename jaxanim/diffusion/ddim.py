"""DDIM (Song et al. 2021), deterministic or with fresh noise at each step."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from jaxanim.diffusion.process import Walk
from jaxanim.errors import InputError


@dataclass(frozen=True)
class DDIM:
    """x becomes next_signal x_0 + sqrt(next_noise^2 - sigma^2) eps + sigma z with fresh noise z (Eq. 12).

    Attributes:
      eta: sigma as a part of what makes the walk DDPM's (Eq. 16); 0 draws no noise and needs no key.
      clip: the estimate of x_0 is clipped to +-clip; None leaves it as it is.
    """

    eta: float = 0.0
    clip: float | None = None

    def plan(self, walk: Walk) -> Walk:
        """sqrt(next_noise^2 - sigma^2) and sigma, in float64."""
        alpha, alpha_next = walk.signal**2, walk.next_signal**2
        sigma = self.eta * np.sqrt((1 - alpha_next) / (1 - alpha) * (1 - alpha / alpha_next))
        # Rounding may leave a tiny negative number where all of the remaining noise is fresh.
        return walk._replace(own=(np.sqrt(np.maximum(walk.next_noise**2 - sigma**2, 0.0)), sigma))

    def init(self, x: Float[Array, "*shape"], key: Key[Array, ""] | None) -> Key[Array, ""] | None:
        """The carry is the key of the fresh noise; InputError where one is needed and none given."""
        if self.eta > 0 and key is None:
            raise InputError(f"eta is {self.eta}: sampling with fresh noise needs a key")
        return key if self.eta > 0 else None

    def step(
        self,
        step: Walk,
        x: Float[Array, "*shape"],
        x0: Float[Array, "*shape"],
        eps: Float[Array, "*shape"],
        key: Key[Array, ""] | None,
    ) -> tuple[Float[Array, "*shape"], Key[Array, ""] | None]:
        """x at the next noise level, and the carry."""
        direction, sigma = step.own
        if self.clip is not None:
            x0 = jnp.clip(x0, -self.clip, self.clip)
        x_next = step.next_signal * x0 + direction * eps
        if key is not None:
            x_next = x_next + sigma * jax.random.normal(jax.random.fold_in(key, step.index), x.shape, x.dtype)
        return x_next, key
