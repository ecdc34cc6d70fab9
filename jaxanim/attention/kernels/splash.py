"""JAX's splash attention, a Pallas flash attention for TPU: linear memory, forward and backward.

It takes sequences in blocks of multiples of 128, so both sequences are padded and the padding hidden by
segment ids.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from einops import rearrange
from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_kernel as splash
from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_mask as masks
from jaxtyping import Array

from jaxanim.attention.kernel import Kernel, Request

LANES = 128
BLOCKS = (1024, 512, 384, 256, 128)
HEAD_DIM_LIMIT = 256
SMALLEST = jnp.iinfo(jnp.int32).min
PADDED_QUERY, HIDDEN_KEY = SMALLEST, SMALLEST + 1  # unequal, so padding never attends to padding
UNSEEN = -1e30  # a score far below any real one and far above the kernel's own mask value


def limits(request: Request) -> str | None:
    """TPU only; dtypes and head sizes as compiled ahead of time for v5e and v6e (test_splash_tpu.py)."""
    head_dim = request.q.shape[-1]
    if request.backend != "tpu":
        return f"it runs on 'tpu' and the backend is {request.backend!r}"
    if head_dim % 8 or head_dim > HEAD_DIM_LIMIT:
        return f"q's head_dim is {head_dim}; it should be a multiple of 8 and at most {HEAD_DIM_LIMIT}"
    if request.q.dtype not in (jnp.float32, jnp.bfloat16):
        return f"q's dtype is {request.q.dtype}; it should be float32 or bfloat16"
    return None


def run(request: Request, *, interpret: bool = False):
    """`interpret` runs the kernel step by step in JAX on any backend: for tests."""
    heads = request.q.shape[2]
    q, k, v = (rearrange(_padded(x), "b t h d -> b h t d") for x in (request.q, request.k, request.v))
    kernel = splash.make_splash_mha(
        masks.MultiHeadMask([masks.FullMask((q.shape[2], k.shape[2]))] * heads),
        block_sizes=block_sizes(q.shape[2], k.shape[2]),
        head_shards=1,
        q_seq_shards=1,
        interpret=interpret,
    )
    # One more score per head that has no value and is far below any real one: it changes nothing, except for
    # a query that may see no key, where it takes all the weight and leaves 0 (the kernel alone averages all
    # values).
    sinks = jnp.full(heads, UNSEEN, jnp.float32)
    attend = functools.partial(kernel, sinks=sinks)
    ids = _segment_ids(request)
    q = (q * request.scale).astype(q.dtype)
    if ids is None:
        out = jax.vmap(attend)(q, k, v)
    else:
        out = jax.vmap(attend)(q, k, v, ids)
    return rearrange(out, "b h t d -> b t h d")[:, : request.q_tokens], None


def block_sizes(q_tokens: int, kv_tokens: int) -> splash.BlockSizes:
    """The largest blocks that divide the padded sequences."""
    q_block, kv_block = (next(block for block in BLOCKS if tokens % block == 0) for tokens in (q_tokens, kv_tokens))
    return splash.BlockSizes(
        block_q=q_block,
        block_kv=kv_block,
        block_kv_compute=kv_block,
        block_q_dkv=q_block,
        block_kv_dkv=kv_block,
        block_kv_dkv_compute=kv_block,
        block_q_dq=q_block,
        block_kv_dq=kv_block,
    )


def _segment_ids(request: Request) -> splash.SegmentIds | None:
    """Segment ids that also hide the padding and the keys past `kv_lengths`; None where nothing is hidden."""
    batch = request.q.shape[0]
    padded = request.q_tokens % LANES or request.kv_tokens % LANES
    if not padded and request.kv_lengths is None and request.q_segment_ids is None:
        return None
    q_ids, kv_ids = request.q_segment_ids, request.kv_segment_ids
    if q_ids is None:
        q_ids, kv_ids = jnp.zeros((batch, request.q_tokens), int), jnp.zeros((batch, request.kv_tokens), int)
    if request.kv_lengths is not None:
        present = jnp.arange(request.kv_tokens) < request.kv_lengths[:, None]
        kv_ids = jnp.where(present, kv_ids, HIDDEN_KEY)
    q_ids, kv_ids = _padded(q_ids, PADDED_QUERY), _padded(kv_ids, HIDDEN_KEY)
    return splash.SegmentIds(q_ids.astype(jnp.int32), kv_ids.astype(jnp.int32))


def _padded(x: Array, fill: int = 0) -> Array:
    """[batch, tokens, ...] with tokens padded to a multiple of 128."""
    return jnp.pad(x, [(0, 0), (0, -x.shape[1] % LANES)] + [(0, 0)] * (x.ndim - 2), constant_values=fill)


KERNEL = Kernel("splash", run, frozenset({"segment_ids", "kv_lengths"}), limits)
