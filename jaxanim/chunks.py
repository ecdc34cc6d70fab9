"""Trading speed for memory: a batched function applied to a few entries of its batch at a time."""

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
from einops import rearrange

from jaxanim.errors import InputError

Tree = TypeVar("Tree")
Out = TypeVar("Out")


def map_chunks(fn: Callable[[Tree], Out], batch: Tree, at_once: int | None = None) -> Out:
    """`fn(batch)`, computed for at most `at_once` entries at a time, one chunk after another (None: all
    together).

    Every array in the tree `batch`, and in what `fn` returns, has the entries along its first axis, and `fn`
    treats each entry by itself. All chunks have one size, the smallest that needs no further chunk: where it
    does not divide the number of entries, the last entry is computed more than once, which costs less than
    compiling `fn` again for a shorter chunk. Raises InputError where `at_once` is below 1.
    """
    if at_once is not None and at_once < 1:
        raise InputError(f"at_once is {at_once}: give the number of entries to compute together, 1 or more")
    entries = jax.tree.leaves(batch)[0].shape[0]
    if at_once is None or at_once >= entries:
        return fn(batch)
    chunks = -(-entries // at_once)
    size = -(-entries // chunks)
    index = jnp.minimum(jnp.arange(chunks * size), entries - 1)
    chunked = jax.tree.map(lambda x: rearrange(x[index], "(chunks size) ... -> chunks size ...", size=size), batch)
    out = jax.lax.map(fn, chunked)
    return jax.tree.map(lambda y: rearrange(y, "chunks size ... -> (chunks size) ...")[:entries], out)
