"""Who attends to whom: spatial, cross, temporal and hybrid attention over videos, each over any kernel.

Queries are [batch, frames, tokens, heads, head_dim], tokens being the h*w positions of a feature map.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from einops import rearrange, repeat
from jaxtyping import Array, Float

from jaxanim.attention.contract import attention, choose_kernel
from jaxanim.attention.kernels import KERNELS
from jaxanim.attention.merge import merge
from jaxanim.errors import InputError

CONCATENATE_TOKENS = 1024
"""`hybrid` concatenates keys from so many tokens a frame on."""

Video = Float[Array, "batch frames tokens heads head_dim"]
Keys = Float[Array, "batch frames kv_tokens heads head_dim"]
Text = Float[Array, "batch text_tokens heads head_dim"]

Reference = Float[Array, "ref_batch ref_tokens heads head_dim"]


def spatial(q: Video, k: Keys, v: Keys, *, kernel: str = "auto") -> Video:
    """Attention within each frame: of its tokens to its own keys."""
    q_, k_, v_ = (rearrange(x, "b f t h d -> (b f) t h d") for x in (q, k, v))
    out = attention(q_, k_, v_, kernel=kernel)
    return rearrange(out, "(b f) t h d -> b f t h d", b=q.shape[0])


def temporal(q: Video, k: Video, v: Video, *, kernel: str = "auto") -> Video:
    """Attention of each position along the frames (AnimateDiff's motion module)."""
    q_, k_, v_ = (rearrange(x, "b f t h d -> (b t) f h d") for x in (q, k, v))
    out = attention(q_, k_, v_, kernel=kernel)
    return rearrange(out, "(b t) f h d -> b f t h d", b=q.shape[0])


def cross(q: Video, k: Text, v: Text, *, kernel: str = "auto") -> Video:
    """Attention of every frame of an entry to the entry's text.

    The queries of all frames are folded into one long query, so the text is projected once per entry.
    """
    out = attention(rearrange(q, "b f t h d -> b (f t) h d"), k, v, kernel=kernel)
    return rearrange(out, "b (f t) h d -> b f t h d", f=q.shape[1])


def hybrid(q: Video, k: Video, v: Video, k_ref: Reference, v_ref: Reference, *, kernel: str = "auto") -> Video:
    """MagicAnimate Eq. 2: softmax(Q [K, K_ref]^T / sqrt(d)) [V, V_ref], for each frame.

    The references belong to the last ref_batch entries (the batch is [uncond, cond]); the entries before them
    attend to themselves only. All frames of an entry share one reference, so the caller projects its K and V
    once per image. `hybrid_merged` and `hybrid_concatenated` are two ways to the same numbers; the faster is
    taken.

    Raises InputError when ref_batch is larger than batch.
    """
    plain = q.shape[0] - k_ref.shape[0]
    if plain < 0:
        raise InputError(f"k_ref has {k_ref.shape[0]} entries; it should have at most q's {q.shape[0]}")
    form = hybrid_form(q, k_ref, kernel)
    guided = form(q[plain:], k[plain:], v[plain:], k_ref, v_ref, kernel=kernel)
    if plain == 0:
        return guided
    return jnp.concatenate([spatial(q[:plain], k[:plain], v[:plain], kernel=kernel), guided])


def hybrid_form(q, k_ref, kernel: str):
    """`hybrid_merged` for short sequences, `hybrid_concatenated` for long ones and kernels without logsumexp.

    Measured on CPU (tests/bench/bench_attention.py, processor time): at 256 tokens a frame the merged form is
    1.35 times as fast forward and as fast with the backward pass; at 1024 the concatenated one is 1.1 times
    as fast in both.
    """
    batch, frames, tokens, heads, head_dim = q.shape
    one_frame = jax.ShapeDtypeStruct((batch * frames, tokens, heads, head_dim), q.dtype)
    all_keys = jax.ShapeDtypeStruct((batch * frames, tokens + k_ref.shape[1], heads, head_dim), q.dtype)
    name = choose_kernel(one_frame, all_keys, kernel=kernel)
    merges = tokens < CONCATENATE_TOKENS and "return_lse" in KERNELS[name].supports
    return hybrid_merged if merges else hybrid_concatenated


def hybrid_merged(
    q: Video, k: Video, v: Video, k_ref: Reference, v_ref: Reference, *, kernel: str = "auto"
) -> Video:
    """Each frame with itself, all frames as one long query with the reference, and `merge`; copies no key."""
    batch, frames = q.shape[:2]
    q_, k_, v_ = (rearrange(x, "b f t h d -> (b f) t h d") for x in (q, k, v))
    own, own_lse = attention(q_, k_, v_, kernel=kernel, return_lse=True)
    long_query = rearrange(q, "b f t h d -> b (f t) h d")
    ref, ref_lse = attention(long_query, k_ref, v_ref, kernel=kernel, return_lse=True)
    ref = rearrange(ref, "b (f t) h d -> (b f) t h d", f=frames)
    ref_lse = rearrange(ref_lse, "b (f t) h -> (b f) t h", f=frames)
    return rearrange(merge(own, own_lse, ref, ref_lse), "(b f) t h d -> b f t h d", b=batch)


def hybrid_concatenated(
    q: Video, k: Video, v: Video, k_ref: Reference, v_ref: Reference, *, kernel: str = "auto"
) -> Video:
    """One attention of each frame to its own keys and a copy of the reference's; needs no logsumexp."""
    frames = q.shape[1]
    k, v = (
        jnp.concatenate([own, repeat(ref, "b t h d -> b f t h d", f=frames)], axis=2)
        for own, ref in ((k, k_ref), (v, v_ref))
    )
    return spatial(q, k, v, kernel=kernel)
