"""Equal blocks one after another as one scan: their parameters lie stacked, [blocks, ...], under one name.

A program then holds one block however many run, and compiles in one block's time.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from jaxanim.backend import counting
from jaxanim.errors import InputError

Carry = TypeVar("Carry")

# What a block's backward pass finds stored; the rest is computed again from the block's input.
REMAT: dict[str, Any] = {
    "none": None,
    "dots": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
    "full": jax.checkpoint_policies.nothing_saveable,
}


STACKS = ("blocks", "transformer_blocks", "fusion_blocks", "block")
"""The names under which parameters lie stacked."""


def matrix_axes(path: str, ndim: int) -> tuple[int, ...]:
    """The axes of a parameter that are a linear map's, input axes before the output axis: none for a vector.

    `path` is its names joined by "/". The axis along which blocks are stacked is none of them.
    """
    names = path.split("/")
    axes = tuple(range(ndim))[1 if set(names) & set(STACKS) else 0 :]
    return axes if len(axes) >= 2 and names[-1] != "scale_shift_table" else ()


def check_remat(remat: str) -> None:
    """Raises InputError unless the name is one of REMAT."""
    if remat not in REMAT:
        raise InputError(f"remat is {remat!r}: it must be one of {', '.join(REMAT)}")


def stacked_params(parent: nn.Module, name: str, block: nn.Module, blocks: int, *inputs: Any) -> PyTree:
    """The parameters `name` of `parent`, in its compact method: those of `blocks` blocks, leaves [blocks, ...].

    `name` is one of STACKS. `block` is unbound (parent=None) and is called with `inputs`, of which only shapes
    count.
    """
    if name not in STACKS:
        raise ValueError(f"{name} is not in STACKS, by which an optimiser knows the axis of blocks")
    if parent.has_variable("params", name):
        return parent.get_variable("params", name)
    zeros = jax.tree.map(lambda x: jnp.zeros(jnp.shape(x), jnp.result_type(x)), inputs)

    def drawn(key: jax.Array) -> PyTree:
        return jax.vmap(lambda one: block.init(one, *zeros)["params"])(jax.random.split(key, blocks))

    return nn.Module.param(parent, name, jax.jit(drawn))


def run_blocks(
    apply: Callable[[PyTree, Carry], Carry],
    params: PyTree,
    x: Carry,
    *,
    remat: str = "none",
    keep: int | None = None,
    stop: int | None = None,
) -> tuple[Carry, Carry | None]:
    """x after all blocks, and x after the first `keep` of them (None where not asked for).

    Args:
      apply: (one block's parameters, x) -> x of the same shapes.
      params: stacked parameters, [blocks, ...].
      remat: what is stored for the backward pass: "none" (all is), "dots" (matrix products of parameters) or
        "full" (nothing but each block's input).
      stop: run only the first `stop` blocks, for a network that is not differentiated: the others' parameters are
        neither copied nor read.

    Raises InputError for a depth that the stack does not have, or an unknown `remat`.
    """
    check_remat(remat)
    blocks = jax.tree.leaves(params)[0].shape[0]
    for name, depth in (("keep", keep), ("stop", stop)):
        if depth is not None and not 1 <= depth <= blocks:
            raise InputError(f"{name} is {depth}: the network has blocks 1 to {blocks}")
    if REMAT[remat] is not None and not counting():
        apply = jax.checkpoint(apply, policy=REMAT[remat])
    index = jnp.arange(blocks)
    if stop is not None:
        x, _ = jax.lax.scan(lambda x, i: (apply(jax.tree.map(lambda p: p[i], params), x), None), x, index[:stop])
        return x, x if keep == stop else None
    if keep is None:
        return jax.lax.scan(lambda x, p: (apply(p, x), None), x, params)[0], None

    def step(carry: tuple[Carry, Carry], block: tuple[PyTree, jax.Array]):
        x, kept = carry
        p, i = block
        x = apply(p, x)
        return (x, jax.tree.map(lambda new, old: jnp.where(i == keep - 1, new, old), x, kept)), None

    return jax.lax.scan(step, (x, x), (params, index))[0]
