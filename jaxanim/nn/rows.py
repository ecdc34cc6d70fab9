"""Rows that differ in number: what is the same for several conditions is computed once for all of them.

The rows of a network's batch are blocks, one for each condition (each branch of guidance). An input that all
conditions share, such as the noisy sample, has one block alone, and so has everything that depends on nothing else.
Where it meets something that differs from condition to condition, it repeats.
"""

import jax.numpy as jnp
from jaxtyping import Array

from jaxanim.errors import InputError


def same_rows(*arrays: Array) -> tuple[Array, ...]:
    """Arrays with as many rows along their first axis as the one with most; the others' blocks repeat.

    Raises InputError where a number of rows does not divide the largest.
    """
    most = max(x.shape[0] for x in arrays)
    if any(most % x.shape[0] for x in arrays):
        rows = ", ".join(str(x.shape[0]) for x in arrays)
        raise InputError(f"batches of {rows} rows meet; each should divide the largest")
    return tuple(x if x.shape[0] == most else _repeat(x, most // x.shape[0]) for x in arrays)


def add(x: Array, y: Array) -> Array:
    """x + y, the one with fewer rows repeated."""
    x, y = same_rows(x, y)
    return x + y


def _repeat(x: Array, times: int) -> Array:
    return jnp.tile(x, (times,) + (1,) * (x.ndim - 1))
