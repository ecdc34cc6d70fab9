"""UniPC (Zhao et al. 2023) of order 2 with B(h) = e^h - 1 ("bh2"), predicting x_0: Wan's own sampler."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from jaxanim.diffusion.process import Walk
from jaxanim.errors import InputError


class History(NamedTuple):
    """The sample and the estimates of x_0 that the last two steps left: x, x0, and x0 one step earlier."""

    x: Float[Array, "*shape"]
    x0: Float[Array, "*shape"]
    earlier: Float[Array, "*shape"]


@dataclass(frozen=True)
class UniPC:
    """A step first corrects x by the estimate made at it, then predicts the next; each network call serves both.

    With lambda = log(signal / noise), h its growth over a step and r h the way back to the estimate before, a step
    from x with estimates m_0 (there) and m_1 (one earlier) is

        x_next = next_noise / noise x - next_signal (e^-h - 1) (m_0 + sum_k rho_k D_k),   D_1 = (m_1 - m_0) / r,

    where the corrector (Eqs. 6 and 9) also has D_2 = m_next - m_0. The first and the last step are of order 1.
    """

    def plan(self, walk: Walk) -> Walk:
        """Weights of (x, x0, earlier, new x0) to correct by [steps, 4], of (x, x0, earlier) to predict [steps, 3].

        Raises InputError where a step starts without signal or without noise: lambda is infinite there.
        """
        if not (np.all(walk.signal > 0) and np.all(walk.noise > 0)):
            raise InputError(
                "UniPC needs signal and noise at the start of each step; of Flow's rules take 'diffusers' or "
                "'official', which begin a little below pure noise"
            )
        steps = len(walk.index)
        with np.errstate(divide="ignore"):
            growth = np.log(walk.signal) - np.log(walk.noise)
            growth = np.append(growth, np.log(walk.next_signal[-1]) - np.log(walk.next_noise[-1]))
        correct, predict = np.zeros((steps, 4)), np.zeros((steps, 3))
        for i in range(steps):
            h = growth[i + 1] - growth[i]
            scale = -walk.next_signal[i] * np.expm1(-h)
            keep = walk.next_noise[i] / walk.noise[i]
            before = (growth[i - 1] - growth[i]) / h if i > 0 and np.isfinite(h) else None

            along = 0.0 if before is None or i == steps - 1 else 0.5 / before
            predict[i] = keep, scale * (1 - along), scale * along
            if i < steps - 1:
                back, new = corrector(h, before)
                correct[i + 1] = keep, scale * (1 - back - new), scale * back, scale * new
        return walk._replace(own=(correct, predict))

    def init(self, x: Float[Array, "*shape"], key: Key[Array, ""] | None) -> History:
        """Nothing has been estimated yet."""
        zeros = jnp.zeros_like(x)
        return History(x, zeros, zeros)

    def step(
        self,
        step: Walk,
        x: Float[Array, "*shape"],
        x0: Float[Array, "*shape"],
        eps: Float[Array, "*shape"],
        past: History,
    ) -> tuple[Float[Array, "*shape"], History]:
        """x predicted at the next noise level, and the history."""
        correct, predict = step.own
        corrected = correct[0] * past.x + correct[1] * past.x0 + correct[2] * past.earlier + correct[3] * x0
        x = jax.lax.select(step.index == 0, x, corrected.astype(x.dtype))
        x_next = predict[0] * x + predict[1] * x0 + predict[2] * past.x0
        return x_next, History(x, x0.astype(x.dtype), past.x0)


def corrector(h: float, before: float | None) -> tuple[float, float]:
    """Weights (of m_1, of m_next) in units of their distance from m_0; without a step before, of order 1.

    For order 2 they solve sum_k rho_k r_k^(n-1) = b_n for n = 1, 2 with r = (before, 1); b_n is n! times what
    Taylor's polynomial of order n leaves of e^-h, over (-h)^n (e^-h - 1) (Eq. 11).
    """
    if before is None:
        return 0.0, 0.5
    hh = -h
    first = np.expm1(hh) / hh - 1
    b = np.array([first, 2 * (first / hh - 0.5)]) / np.expm1(hh)
    rho = np.linalg.solve(np.array([[1.0, 1.0], [before, 1.0]]), b)
    return rho[0] / before, rho[1]
