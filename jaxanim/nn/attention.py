"""Multi-head attention layers: diffusers' projections around the patterns of `jaxanim.attention`."""

import flax.linen as nn
import jax.numpy as jnp
from einops import rearrange
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jaxanim.attention.patterns import cross, hybrid, spatial, temporal
from jaxanim.nn.layers import Dense

Tokens = Float[Array, "batch frames tokens channels"]
Features = Float[Array, "ref_batch ref_tokens channels"]
Stored = Features | tuple[Features, Features]
"""What a reader block is given of a reference: hidden states, or the keys and values made of them elsewhere."""


class SelfAttention(nn.Module):
    """Self-attention within each frame, which may also read stored reference features.

    Hidden states go through this layer's own `to_k` and `to_v`, once per image (MagicAnimate Eq. 2, see
    `hybrid`); a pair is taken as keys and values that another network has projected (MagicPose Eq. 3, as the
    paper words it). What is stored belongs to the last `ref_batch` entries.
    """

    heads: int
    kernel: str = "auto"
    dtype: DTypeLike = jnp.float32
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Tokens, stored: Stored | None = None) -> Tokens:
        channels = x.shape[-1]
        to_q, to_k, to_v = (_projection(self, name, channels) for name in ("to_q", "to_k", "to_v"))
        q, k, v = (_split_heads(to(x), self.heads) for to in (to_q, to_k, to_v))
        if stored is None:
            out = spatial(q, k, v, kernel=self.kernel)
        else:
            projected = stored if isinstance(stored, tuple) else (to_k(stored), to_v(stored))
            k_ref, v_ref = (_split_heads(part.astype(x.dtype), self.heads) for part in projected)
            out = hybrid(q, k, v, k_ref, v_ref, kernel=self.kernel)
        return _output(self, out)


class CrossAttention(nn.Module):
    """Attention of every frame to the entry's text, whose keys and values are projected once per entry."""

    heads: int
    kernel: str = "auto"
    dtype: DTypeLike = jnp.float32
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Tokens, text: Float[Array, "batch text_tokens text_channels"]) -> Tokens:
        channels = x.shape[-1]
        q = _split_heads(_projection(self, "to_q", channels)(x), self.heads)
        k, v = (_split_heads(_projection(self, name, channels)(text), self.heads) for name in ("to_k", "to_v"))
        return _output(self, cross(q, k, v, kernel=self.kernel))


class TemporalAttention(nn.Module):
    """Self-attention of each position along the frames."""

    heads: int
    kernel: str = "auto"
    dtype: DTypeLike = jnp.float32
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Tokens) -> Tokens:
        channels = x.shape[-1]
        q, k, v = (
            _split_heads(_projection(self, name, channels)(x), self.heads) for name in ("to_q", "to_k", "to_v")
        )
        return _output(self, temporal(q, k, v, kernel=self.kernel))


def _projection(layer: nn.Module, name: str, channels: int) -> Dense:
    return Dense(channels, use_bias=False, dtype=layer.dtype, param_dtype=layer.param_dtype, name=name)


def _split_heads(x: Array, heads: int) -> Array:
    return rearrange(x, "... (h d) -> ... h d", h=heads)


def _output(layer: nn.Module, out: Float[Array, "batch frames tokens heads head_dim"]) -> Tokens:
    out = rearrange(out, "b f t h d -> b f t (h d)")
    return Dense(out.shape[-1], dtype=layer.dtype, param_dtype=layer.param_dtype, name="to_out_0")(out)
