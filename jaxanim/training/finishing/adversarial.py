"""Two networks that learn against each other, in one loss of one step."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

Pixels = Float[Array, "n height width 3"]
Judge = Callable[[PyTree, Pixels], Float[Array, "n rows columns"]]
"""Logits for patches of pictures, from a discriminator's parameters and the pictures."""


def hinge(true: Float[Array, "..."], false: Float[Array, "..."]) -> Float[Array, ""]:
    """What the discriminator minimises: E max(0, 1 - D(x)) + E max(0, 1 + D(x_hat)), halved (Esser et al. 2021)."""
    return 0.5 * (jnp.mean(jax.nn.relu(1 - true)) + jnp.mean(jax.nn.relu(1 + false)))


def adversarial_loss(
    judge: Judge,
    params: PyTree,
    decoded: Pixels,
    pixels: Pixels,
    reconstruction: Callable[[Pixels], Float[Array, ""]],
    weight: float,
) -> tuple[Float[Array, ""], dict[str, Array]]:
    """`reconstruction` and a patch discriminator's opinion, as Stable Diffusion's autoencoder learns from both
    (Rombach et al. 2022, Sec. 3.1; Esser et al. 2021, Eqs. 6 and 7).

    The opinion is scaled so that its gradient has `weight` times the norm of the reconstruction's, both at the
    decoded pixels rather than at the decoder's last layer. The gradient of the sum with respect to `params` is that
    of the discriminator's own loss alone, and that with respect to `decoded` has nothing of it.

    Args:
      judge: the discriminator.
      params: of the discriminator.
      decoded: what the decoder made of the latents of `pixels`.
      reconstruction: loss of `decoded`.

    Returns:
      The sum, and metrics: the discriminator's loss and how it judges the decoded pixels in the mean.
    """

    def opinion(decoded: Pixels) -> Float[Array, ""]:
        return -jnp.mean(judge(jax.lax.stop_gradient(params), decoded))

    fixed = jax.lax.stop_gradient(decoded)
    norms = [jnp.linalg.norm(jax.grad(f)(fixed)) for f in (reconstruction, opinion)]
    scale = weight * norms[0] / jnp.maximum(norms[1], 1e-12)
    false = judge(params, fixed)
    discriminator = hinge(judge(params, pixels), false)
    total = reconstruction(decoded) + jax.lax.stop_gradient(scale) * opinion(decoded) + discriminator
    return total, {"discriminator": discriminator, "judged": jnp.mean(false)}
