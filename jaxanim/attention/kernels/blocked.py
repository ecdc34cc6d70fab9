"""Attention by blocks with an online softmax: memory linear in the sequence length, and fastest on CPU.

The forward pass is Milakov and Gimelshein, "Online normalizer calculation for softmax" (2018), the backward
pass that of Dao et al., "FlashAttention" (2022), Algorithm 4: the scores are computed again, block by block,
from the saved logsumexp.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from einops import rearrange, repeat
from jax import lax
from jaxtyping import Array, Float, Int

from jaxanim.attention.kernel import Kernel, Request

# (queries, keys) in a block, chosen on a 2-core CPU at 64 to 4096 tokens; tests/bench/bench_attention.py times it.
# A CPU's forward pass has as many scores at once as fill its cache, of one head or of several: with fewer, its time
# goes into waking the other cores.
FORWARD_BLOCK = (128, 4096)
BACKWARD_BLOCK = (256, 1024)
CPU_FORWARD_BLOCK = (512, 4096)
CPU_SCORES = 2**20


class Mask(NamedTuple):
    """What one head may see: each part is None where it does not restrict anything."""

    q_ids: Int[Array, "*heads q_tokens"] | None
    kv_ids: Int[Array, "*heads kv_tokens"] | None
    kv_length: Int[Array, "*heads"] | None


def run(request: Request):
    """Every (batch entry, head) pair is one independent problem of [tokens, head_dim] matrices."""
    batch, _, heads, _ = request.q.shape
    q, k, v = (rearrange(x, "b t h d -> (b h) t d") for x in (request.q, request.k, request.v))
    ids = (request.q_segment_ids, request.kv_segment_ids, request.kv_lengths)
    mask = Mask(*(None if x is None else repeat(x, "b ... -> (b h) ...", h=heads) for x in ids))
    out, lse = _heads(q, k, v, mask, request.scale, request.backend == "cpu")
    out = rearrange(out, "(b h) t d -> b t h d", b=batch)
    return out, rearrange(lse, "(b h) t -> b t h", b=batch) if request.return_lse else None


@functools.partial(jax.custom_vjp, nondiff_argnums=(4, 5))
def _heads(q, k, v, mask, scale, on_cpu):
    """q [n, q_tokens, d], k, v [n, kv_tokens, d] to out [n, q_tokens, d], lse [n, q_tokens].

    A few of the n after another keep a CPU's blocks in its cache; an accelerator wants them all at once.
    """
    if not on_cpu:
        return jax.vmap(lambda *args: _forward(*args, scale, FORWARD_BLOCK))(q, k, v, mask)
    rows, keys = (_block_size(x.shape[1], most) for x, most in zip((q, k), CPU_FORWARD_BLOCK, strict=True))
    rows = max(1, min(rows, CPU_SCORES // keys))
    at_once = max(1, CPU_SCORES // (rows * keys))
    at_once = max(n for n in range(1, min(at_once, q.shape[0]) + 1) if q.shape[0] % n == 0)
    return lax.map(lambda args: _forward(*args, scale, (rows, keys)), (q, k, v, mask), batch_size=at_once)


def _heads_forward(q, k, v, mask, scale, on_cpu):
    out, lse = _heads(q, k, v, mask, scale, on_cpu)
    return (out, lse), (q, k, v, mask, out, lse)


def _heads_backward(scale, on_cpu, saved, cotangents):
    q, k, v, mask, out, lse = saved
    d_out, d_lse = cotangents
    # d(score) = p (d_out . v - delta): the gradient of the logsumexp is p itself, so it joins delta. Where
    # that is -inf its cotangent means nothing, and may be NaN.
    delta = jnp.sum(out.astype(lse.dtype) * d_out, -1) - jnp.where(jnp.isneginf(lse), 0.0, d_lse)
    each = lax.map if on_cpu else lambda fn, problems: jax.vmap(fn)(problems)
    dq, dk, dv = each(lambda args: _backward(*args, scale), (q, k, v, mask, d_out, lse, delta))
    return dq, dk, dv, None


_heads.defvjp(_heads_forward, _heads_backward)


def _forward(
    q: Float[Array, "q_tokens d"],
    k: Float[Array, "kv_tokens d"],
    v: Float[Array, "kv_tokens d"],
    mask: Mask,
    scale: float,
    block: tuple[int, int],
):
    """One head: (out [q_tokens, d], lse [q_tokens]); `block` is the most queries and keys in a block."""
    q_tokens, accumulate = q.shape[0], jnp.promote_types(q.dtype, jnp.float32)
    queries, keys = _blocks((q, mask.q_ids), block[0]), _key_blocks(k, v, mask, block[1])
    kv_length = k.shape[0] if mask.kv_length is None else mask.kv_length

    def one_query_block(block):
        q_block, q_ids = block

        def add_keys(carry, key_block):
            top, total, weighted = carry
            scores = _dot("qd,kd->qk", q_block, key_block.k) * scale
            scores = _hide(scores, q_ids, key_block, kv_length, key_axis=1)
            new_top = jnp.maximum(top, scores.max(-1))
            base = _finite(new_top)
            weights, rescale = jnp.exp(scores - base[:, None]), jnp.exp(top - base)
            total = total * rescale + weights.sum(-1)
            weighted = weighted * rescale[:, None] + _dot("qk,kd->qd", weights.astype(v.dtype), key_block.v)
            return (new_top, total, weighted), None

        rows = q_block.shape[0]
        start = (
            jnp.full(rows, -jnp.inf, accumulate),
            jnp.zeros(rows, accumulate),
            jnp.zeros(q_block.shape, accumulate),
        )
        (top, total, weighted), _ = _scan(add_keys, start, keys)
        seen = total > 0
        total = jnp.where(seen, total, 1.0)
        return (weighted / total[:, None]).astype(q.dtype), jnp.where(seen, top + jnp.log(total), -jnp.inf)

    out, lse = lax.map(one_query_block, queries)
    return _joined(out, q_tokens), _joined(lse, q_tokens)


def _backward(q, k, v, mask: Mask, d_out, lse, delta, scale: float):
    """One head: (dq, dk, dv).

    All scores are held transposed, [keys, queries]: every large product is then of the form that a CPU's
    matrix routine takes without copying its operands (1.5 to 2 times as fast as the untransposed form).
    """
    q_tokens, kv_tokens = q.shape[0], k.shape[0]
    queries = _blocks((q, mask.q_ids, d_out, _finite(lse), delta), BACKWARD_BLOCK[0])
    keys = _key_blocks(k, v, mask, BACKWARD_BLOCK[1])
    kv_length = kv_tokens if mask.kv_length is None else mask.kv_length

    def one_query_block(carry, block):
        q_block, q_ids, d_out_block, lse_block, delta_block = block

        def one_key_block(dq_transposed, key_block):
            scores = _dot("kd,qd->kq", key_block.k, q_block) * scale
            scores = _hide(scores, q_ids, key_block, kv_length, key_axis=0)
            p = jnp.exp(scores - lse_block)
            ds = p * (_dot("kd,qd->kq", key_block.v, d_out_block) - delta_block) * scale
            p, ds = p.astype(q.dtype), ds.astype(q.dtype)
            dq_transposed = dq_transposed + _dot("dk,kq->dq", key_block.k.T, ds)
            return dq_transposed, (_dot("kq,qd->kd", ds, q_block), _dot("kq,qd->kd", p, d_out_block))

        dq_transposed, (dk, dv) = _scan(one_key_block, jnp.zeros(q_block.shape[::-1], lse.dtype), keys)
        return (carry[0] + dk, carry[1] + dv), dq_transposed.T

    zeros = jnp.zeros(keys.k.shape, lse.dtype)
    (dk, dv), dq = _scan(one_query_block, (zeros, zeros), queries)
    joined = (_joined(dq, q_tokens), _joined(dk, kv_tokens), _joined(dv, kv_tokens))
    return tuple(grad.astype(x.dtype) for grad, x in zip(joined, (q, k, v), strict=True))


class KeyBlock(NamedTuple):
    """Keys with what decides who may see them; the arrays of all blocks are stacked for `lax.scan`.

    `positions` are places in the sequence, those of padding past every length; None where all keys are there.
    """

    k: Float[Array, "*blocks kv_block d"]
    v: Float[Array, "*blocks kv_block d"]
    ids: Int[Array, "*blocks kv_block"] | None
    positions: Int[Array, "*blocks kv_block"] | None


def _key_blocks(k, v, mask: Mask, size: int) -> KeyBlock:
    tokens = k.shape[0]
    blocks = KeyBlock(*_blocks((k, v, mask.kv_ids), size), positions=None)
    padded = tokens % _block_size(tokens, size) != 0
    if not padded and mask.kv_length is None:
        return blocks
    positions = _blocks((jnp.arange(tokens),), size, fill=jnp.iinfo(jnp.int32).max)
    return blocks._replace(positions=positions[0])


def _hide(scores, q_ids, keys: KeyBlock, kv_length, *, key_axis: int):
    """Scores of -inf where the query may not see the key; `key_axis` of the scores runs over keys."""
    along_keys = functools.partial(jnp.expand_dims, axis=1 - key_axis)
    if q_ids is not None:
        scores = jnp.where(along_keys(keys.ids) == jnp.expand_dims(q_ids, key_axis), scores, -jnp.inf)
    if keys.positions is not None:
        scores = jnp.where(along_keys(keys.positions) < kv_length, scores, -jnp.inf)
    return scores


def _scan(step, carry, blocks):
    """`lax.scan` over the blocks; with a single block, the step itself, which XLA fuses better."""
    if jax.tree.leaves(blocks)[0].shape[0] > 1:
        return lax.scan(step, carry, blocks)
    carry, out = step(carry, jax.tree.map(lambda x: x[0], blocks))
    return carry, jax.tree.map(lambda x: x[None], out)


def _block_size(tokens: int, most: int) -> int:
    """The smallest block for which as few blocks of at most `most` tokens are needed: least padding."""
    return -(-tokens // -(-tokens // most))


def _blocks(arrays, most: int, fill=0):
    """Each [tokens, ...] array as [blocks, block, ...], padded with `fill`; None stays None."""

    def split(x):
        size = _block_size(x.shape[0], most)
        padding = [(0, -x.shape[0] % size)] + [(0, 0)] * (x.ndim - 1)
        return rearrange(jnp.pad(x, padding, constant_values=fill), "(n t) ... -> n t ...", t=size)

    return tuple(None if x is None else split(x) for x in arrays)


def _joined(blocks, tokens: int):
    return rearrange(blocks, "n t ... -> (n t) ...")[:tokens]


def _finite(lse):
    """0 in place of -inf, so that exp(-inf - it) is 0 and not NaN."""
    return jnp.where(jnp.isneginf(lse), 0.0, lse)


def _dot(pattern, a, b):
    return jnp.einsum(pattern, a, b, preferred_element_type=jnp.promote_types(a.dtype, jnp.float32))


KERNEL = Kernel("blocked", run, frozenset({"segment_ids", "kv_lengths", "return_lse"}))
