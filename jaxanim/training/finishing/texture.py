"""A loss that asks for the right texture, wherever exactly its stripes and dots lie."""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

PATCH = 8
EPSILON = 1e-3


def texture_loss(
    decoded: Float[Array, "n height width c"],
    pixels: Float[Array, "n height width c"],
    weights: Float[Array, "n height width"],
) -> Float[Array, ""]:
    """Mean square difference of the local contrast of two pictures, see `contrast`.

    The square error of pixels is least for the mean of all the places where a thin stripe may lie: for no stripe.
    Contrast is the same wherever in its patch the stripe is drawn. Statistics of filters over a region describe
    texture since Heeger and Bergen (1995); the filters here are the differences of neighbours.

    Args:
      weights: how much each pixel counts.
    """
    counts = _patches(weights[:, :-1, :-1, None])
    return jnp.mean(counts * jnp.square(contrast(decoded) - contrast(pixels)))


def contrast(pixels: Float[Array, "n height width c"]) -> Float[Array, "n rows columns features"]:
    """Root mean square of the differences to the right and the lower neighbour, over patches of 8 x 8 pixels that
    overlap by half."""
    right = pixels[:, :-1, 1:] - pixels[:, :-1, :-1]
    lower = pixels[:, 1:, :-1] - pixels[:, :-1, :-1]
    square = jnp.square(jnp.concatenate([right, lower], -1))
    return jnp.sqrt(_patches(square) + EPSILON**2)


def _patches(x: Float[Array, "n height width c"]) -> Float[Array, "n rows columns c"]:
    """The mean of each patch."""
    return nn.avg_pool(x, (PATCH, PATCH), (PATCH // 2, PATCH // 2))
