"""Multi-head attention layers: diffusers' projections around the patterns of `jaxanim.attention`.

Each returns what its pattern does: the attended values, here projected back, and what else the pattern has to say.
"""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from einops import rearrange
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jaxanim.attention.patterns import Patterns, Reference, Site
from jaxanim.nn.layers import Dense
from jaxanim.nn.rows import same_rows

Tokens = Float[Array, "batch frames tokens channels"]
Out = Float[Array, "out_batch frames tokens channels"]
Features = Float[Array, "ref_batch ref_tokens channels"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Stored:
    """What a self-attention is given of a reference.

    Attributes:
      features: hidden states, or the keys and values made of them elsewhere.
      reads: for each block of batch rows whether it reads them, see `jaxanim.attention.patterns.hybrid`.
    """

    features: Features | tuple[Features, Features]
    reads: tuple[bool, ...] = dataclasses.field(default=(True,), metadata={"static": True})


class SelfAttention(nn.Module):
    """Self-attention, which may also read stored reference features.

    Hidden states go through this layer's own `to_k` and `to_v`, once per image (MagicAnimate Eq. 2, see
    `hybrid`); a pair is taken as keys and values that another network has projected (MagicPose Eq. 3, as the
    paper words it).
    """

    heads: int
    kernel: str = "auto"
    dtype: DTypeLike = jnp.float32
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Tokens, stored: Stored | None = None, patterns: Patterns = Patterns(), site: Site | None = None
    ) -> tuple[Out, Any]:
        channels = x.shape[-1]
        to_q, to_k, to_v = (_projection(self, name, channels) for name in ("to_q", "to_k", "to_v"))
        q, k, v = (_split_heads(to(x), self.heads) for to in (to_q, to_k, to_v))
        reference = None
        if stored is not None:
            features = stored.features
            projected = features if isinstance(features, tuple) else (to_k(features), to_v(features))
            k_ref, v_ref = (_split_heads(part.astype(x.dtype), self.heads) for part in projected)
            reference = Reference(k_ref, v_ref, stored.reads)
        out, extra = patterns.self_attention(site, q, k, v, reference, kernel=self.kernel)
        return _output(self, out), extra


class CrossAttention(nn.Module):
    """Attention of every frame to the entry's text, or its own; keys and values are projected once per text."""

    heads: int
    kernel: str = "auto"
    dtype: DTypeLike = jnp.float32
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: Tokens,
        text: Float[Array, "text_batch *frames text_tokens text_channels"],
        patterns: Patterns = Patterns(),
        site: Site | None = None,
    ) -> tuple[Out, Any]:
        channels = x.shape[-1]
        q = _split_heads(_projection(self, "to_q", channels)(x), self.heads)
        k, v = (_split_heads(_projection(self, name, channels)(text), self.heads) for name in ("to_k", "to_v"))
        out, extra = patterns.cross_attention(site, *same_rows(q, k, v), kernel=self.kernel)
        return _output(self, out), extra


class TemporalAttention(nn.Module):
    """Self-attention of each position along the frames."""

    heads: int
    kernel: str = "auto"
    dtype: DTypeLike = jnp.float32
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Tokens, patterns: Patterns = Patterns(), site: Site | None = None) -> tuple[Tokens, Any]:
        channels = x.shape[-1]
        q, k, v = (
            _split_heads(_projection(self, name, channels)(x), self.heads) for name in ("to_q", "to_k", "to_v")
        )
        out, extra = patterns.temporal(site, q, k, v, kernel=self.kernel)
        return _output(self, out), extra


def _projection(layer: nn.Module, name: str, channels: int) -> Dense:
    return Dense(channels, use_bias=False, dtype=layer.dtype, param_dtype=layer.param_dtype, name=name)


def _split_heads(x: Array, heads: int) -> Array:
    return rearrange(x, "... (h d) -> ... h d", h=heads)


def _output(layer: nn.Module, out: Float[Array, "batch frames tokens heads head_dim"]) -> Tokens:
    out = rearrange(out, "b f t h d -> b f t (h d)")
    return Dense(out.shape[-1], dtype=layer.dtype, param_dtype=layer.param_dtype, name="to_out_0")(out)
