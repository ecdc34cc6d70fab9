"""Attention in plain array operations that XLA compiles for any backend; it holds all scores in memory."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from einops import rearrange
from jaxtyping import Array, Bool

from jaxanim.attention.kernel import FEATURES, Kernel, Request


def run(request: Request):
    """softmax(scale Q K^T + bias) V with scores, softmax and sums in float32; supports every feature."""
    # Heads beside the batch first: on CPU the two products are then plain batched matrix products (see the
    # benchmark in tests/bench: up to 6 times as fast as contracting in the [batch, tokens, heads] layout).
    q, k, v = (rearrange(x, "b t h d -> b h t d") for x in (request.q, request.k, request.v))
    accumulate = jnp.promote_types(q.dtype, jnp.float32)
    scores = jnp.einsum("bhqd,bhkd->bhqk", q, k, preferred_element_type=accumulate) * request.scale
    if request.bias is not None:
        scores = scores + request.bias.astype(accumulate)
    mask = _visible(request)
    if mask is not None:
        scores = jnp.where(mask, scores, -jnp.inf)

    top = jax.lax.stop_gradient(scores.max(-1, keepdims=True))
    top = jnp.where(jnp.isneginf(top), 0.0, top)  # a query that sees nothing gets weights of 0, not NaN
    weights = jnp.exp(scores - top)
    total = weights.sum(-1, keepdims=True)
    seen = total > 0
    total = jnp.where(seen, total, 1.0)
    out = jnp.einsum("bhqk,bhkd->bhqd", weights.astype(v.dtype), v, preferred_element_type=accumulate) / total
    out = rearrange(out.astype(q.dtype), "b h t d -> b t h d")
    if not request.return_lse:
        return out, None
    lse = jnp.where(seen, top + jnp.log(total), -jnp.inf)
    return out, rearrange(lse, "b h t 1 -> b t h")


def _visible(request: Request) -> Bool[Array, "batch 1 #q_tokens kv_tokens"] | None:
    mask = None
    if request.q_segment_ids is not None:
        mask = (request.q_segment_ids[:, :, None] == request.kv_segment_ids[:, None, :])[:, None]
    if request.kv_lengths is not None:
        present = (jnp.arange(request.kv_tokens) < request.kv_lengths[:, None])[:, None, None, :]
        mask = present if mask is None else mask & present
    return mask


KERNEL = Kernel("xla", run, frozenset(FEATURES), cuts_itself=True)
