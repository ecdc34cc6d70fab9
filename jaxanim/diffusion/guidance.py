"""Guidance: sharpening a prediction by what a condition changes in it."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def classifier_free(
    uncond: Float[Array, "*shape"], cond: Float[Array, "*shape"], scale: float | Float[Array, ""]
) -> Float[Array, "*shape"]:
    """uncond + scale * (cond - uncond): classifier-free guidance (Ho and Salimans 2022, Eq. 6, where scale =
    1 + w).

    Scale 1 is the conditional prediction, 0 the unconditional one."""
    return uncond + scale * (cond - uncond)


def one_by_one(*branches: Callable[[], Float[Array, "*shape"]]) -> Float[Array, "branches *shape"]:
    """The results of calls of equal shape, computed in turn: memory is that of the largest, never of several.

    The compiler may run independent calls of one program at the same time; in a loop it cannot.
    """
    return jax.lax.map(lambda i: jax.lax.switch(i, branches), jnp.arange(len(branches)))
