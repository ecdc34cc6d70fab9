"""DDIM inversion: the sampler's walk backwards, from a clean latent to the noise it would have come from."""

from dataclasses import dataclass

import jax
from jaxtyping import Array, Float

from jaxanim.diffusion.process import Walk


@dataclass(frozen=True)
class Inversion:
    """Step k ends at the noise level where the sampler's step k from its end begins.

    The network is asked at the level a step ends on, the one where the sampler asked it (as diffusers does). DDIM
    from where it arrives retraces it as far as the network's answer changes little between neighbouring steps.
    """

    def plan(self, walk: Walk) -> Walk:
        """The walk reversed, counted from the clean end."""
        back = jax.tree.map(lambda column: column[::-1], walk)
        return Walk(walk.index, back.t, back.next_signal, back.next_noise, back.signal, back.noise)

    def init(self, x: Float[Array, "*shape"], key: object) -> None:
        """Nothing is carried."""

    def step(
        self,
        step: Walk,
        x: Float[Array, "*shape"],
        x0: Float[Array, "*shape"],
        eps: Float[Array, "*shape"],
        carry: None,
    ) -> tuple[Float[Array, "*shape"], None]:
        """x at the next, higher noise level (Song et al. 2021, Eq. 12 with sigma 0)."""
        return step.next_signal * x0 + step.next_noise * eps, None
