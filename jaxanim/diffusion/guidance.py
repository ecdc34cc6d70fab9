"""Guidance: sharpening an estimate by what conditions change in it."""

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxanim.errors import InputError

Condition = TypeVar("Condition")
Scale = float | Float[Array, ""]


def guided(
    predict: Callable[[tuple[Condition, ...]], Float[Array, "rows *rest"]],
    plain: Condition,
    cond: Condition | tuple[Condition, ...],
    scale: Scale | tuple[Scale, ...],
    *,
    in_turn: bool = False,
) -> Float[Array, "batch *rest"]:
    """plain + scale (cond - plain): classifier-free guidance (Ho and Salimans 2022, Eq. 6, where scale = 1 + w), in
    float32.

    Args:
      predict: the estimates under a tuple of conditions, those under one after those under the other along the
        batch. It may compute once what conditions have in common.
      plain: the condition to lead away from.
      cond: the condition to lead to. Where `scale` is a tuple it is one too, of as many conditions: plain + sum of
        scale_i (cond_i - plain), which is every sum of estimates whose weights add up to 1.
      in_turn: call `predict` for one condition after another: memory is that of the largest call alone.
    """
    conds, scales = (cond, scale) if isinstance(scale, tuple) else ((cond,), (scale,))
    if len(conds) != len(scales):
        raise InputError(f"scale has {len(scales)} numbers; it should have one for each of {len(conds)} conditions")
    conditions = (plain, *conds)
    if in_turn:
        estimates = one_by_one(*(lambda c=c: predict((c,)) for c in conditions))
    else:
        estimates = jnp.stack(jnp.split(predict(conditions), len(conditions)))
    start, *ends = estimates.astype(jnp.float32)
    out = start
    for end, factor in zip(ends, scales, strict=True):
        out = out + factor * (end - start)
    return out


def one_by_one(*branches: Callable[[], Float[Array, "*shape"]]) -> Float[Array, "branches *shape"]:
    """The results of calls of equal shape, computed in turn: memory is that of the largest, never of several.

    The compiler may run independent calls of one program at the same time; in a loop it cannot.
    """
    return jax.lax.map(lambda i: jax.lax.switch(i, branches), jnp.arange(len(branches)))
