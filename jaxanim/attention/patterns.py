"""Who attends to whom: spatial, cross, temporal and hybrid attention over videos, each over any kernel.

Queries are [batch, frames, tokens, heads, head_dim], tokens being the h*w positions of a feature map. `Patterns` is
what a network is given of them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

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
Text = Float[Array, "batch *frames text_tokens heads head_dim"]
Attended = Float[Array, "out_batch frames tokens heads head_dim"]
RefKeys = Float[Array, "ref_batch ref_tokens heads head_dim"]


class Site(NamedTuple):
    """Where in a UNet an attention is: `part` is "down", "mid" or "up", `block` and `layer` count from 0 as in the
    parameters' names, `size` is the feature map's (height, width)."""

    part: str
    block: int
    layer: int
    size: tuple[int, int]


class Reference(NamedTuple):
    """Keys and values of reference images, and for each block of entries whether it reads them (see `hybrid`)."""

    k: RefKeys
    v: RefKeys
    reads: tuple[bool, ...] = (True,)


def read_reference(
    site: Site | None, q: Video, k: Keys, v: Keys, reference: Reference | None, *, kernel: str = "auto"
) -> tuple[Attended, None]:
    """`spatial`, or where there is a reference `hybrid`."""
    if reference is None:
        return spatial(q, k, v, kernel=kernel), None
    return hybrid(q, k, v, reference.k, reference.v, reads=reference.reads, kernel=kernel), None


def read_text(site: Site | None, q: Video, k: Text, v: Text, *, kernel: str = "auto") -> tuple[Video, None]:
    """`cross`."""
    return cross(q, k, v, kernel=kernel), None


def along_frames(site: Site | None, q: Video, k: Video, v: Video, *, kernel: str = "auto") -> tuple[Video, None]:
    """`temporal`."""
    return temporal(q, k, v, kernel=kernel), None


Pattern = Callable[..., tuple[Attended, Any]]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Patterns:
    """Who attends to whom in a network; a pytree, so that a pattern may hold arrays.

    A pattern is called with the site, queries, keys and values, and returns the attended values and whatever else
    it has to say (arrays, or None), which a network hands out on request. A pattern with arrays of its own is a
    `jax.tree_util.Partial`.

    Attributes:
      self_attention: (site, q, k, v, reference, *, kernel); `reference` is None where none is read.
      cross_attention: (site, q, k, v, *, kernel); k and v are of the text, [batch, text_tokens, heads, head_dim],
        or with frames after the batch where each frame has a text of its own.
      temporal: (site, q, k, v, *, kernel), in motion modules.
    """

    self_attention: Pattern = read_reference
    cross_attention: Pattern = read_text
    temporal: Pattern = along_frames

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if callable(value) and not isinstance(value, jax.tree_util.Partial):
                object.__setattr__(self, field.name, jax.tree_util.Partial(value))


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
    """Attention of every frame of an entry to the entry's text, or to the frame's own where k and v have frames.

    The queries of all frames are folded into one long query, so the text is projected once per entry.
    """
    if k.ndim == q.ndim:
        return spatial(q, k, v, kernel=kernel)
    out = attention(rearrange(q, "b f t h d -> b (f t) h d"), k, v, kernel=kernel)
    return rearrange(out, "b (f t) h d -> b f t h d", f=q.shape[1])


def hybrid(
    q: Video,
    k: Video,
    v: Video,
    k_ref: RefKeys,
    v_ref: RefKeys,
    *,
    reads: tuple[bool, ...] = (True,),
    kernel: str = "auto",
) -> Attended:
    """MagicAnimate Eq. 2: softmax(Q [K, K_ref]^T / sqrt(d)) [V, V_ref], for each frame.

    The result has a block of ref_batch entries for each of `reads`, whose False means that the block attends to
    itself only: (False, True) is [uncond, cond]. q, k and v have as many, or one block that is every one's.
    All frames of an entry share one reference, so the caller projects its K and V once per image. `hybrid_merged`
    and `hybrid_concatenated` are two ways to the same numbers; the faster is taken.

    Raises InputError for another number of entries.
    """
    rows = k_ref.shape[0]
    if q.shape[0] not in (rows, rows * len(reads)):
        raise InputError(
            f"k_ref has {rows} entries and reads is {reads}; q has {q.shape[0]} entries, and should have {rows} or "
            f"{rows * len(reads)}"
        )
    blocks = []
    for i, read in enumerate(reads):
        start = i * rows if q.shape[0] > rows else 0
        own = tuple(x[start : start + rows] for x in (q, k, v))
        if read:
            blocks.append(hybrid_form(own[0], k_ref, kernel)(*own, k_ref, v_ref, kernel=kernel))
        else:
            blocks.append(spatial(*own, kernel=kernel))
    return jnp.concatenate(blocks)


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


def hybrid_merged(q: Video, k: Video, v: Video, k_ref: RefKeys, v_ref: RefKeys, *, kernel: str = "auto") -> Video:
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
    q: Video, k: Video, v: Video, k_ref: RefKeys, v_ref: RefKeys, *, kernel: str = "auto"
) -> Video:
    """One attention of each frame to its own keys and a copy of the reference's; needs no logsumexp."""
    frames = q.shape[1]
    k, v = (
        jnp.concatenate([own, repeat(ref, "b t h d -> b f t h d", f=frames)], axis=2)
        for own, ref in ((k, k_ref), (v, v_ref))
    )
    return spatial(q, k, v, kernel=kernel)
