"""Attention over the union of two disjoint sets of keys, from the attention over each."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def merge(
    out_a: Float[Array, "batch q_tokens heads head_dim"],
    lse_a: Float[Array, "batch q_tokens heads"],
    out_b: Float[Array, "batch q_tokens heads head_dim"],
    lse_b: Float[Array, "batch q_tokens heads"],
) -> Float[Array, "batch q_tokens heads head_dim"]:
    """What attention over the keys of a and b together would have returned.

    With S_a, S_b the sums of exp(score), whose logarithms lse_a, lse_b `attention` returns on request:
    out = (S_a out_a + S_b out_b) / (S_a + S_b) = out_a + sigmoid(lse_b - lse_a) (out_b - out_a).
    Where a query saw no key in either set (both lse -inf, both outputs 0) the result is 0.
    """
    nothing_seen = jnp.isneginf(lse_a) & jnp.isneginf(lse_b)
    share_b = jax.nn.sigmoid(jnp.where(nothing_seen, 0.0, lse_b - lse_a))[..., None]
    merged = out_a + share_b * (out_b.astype(jnp.float32) - out_a)
    return merged.astype(out_a.dtype)
