"""A block of Wan's transformer: self-attention over the whole video, attention to the text, feed-forward.

Parameter names are diffusers', in which norm2 stands before the text and norm3 before the feed-forward layer; the
official names have these two the other way round.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from einops import rearrange
from jaxtyping import Array, Float, PyTree

from jaxanim.attention import attention
from jaxanim.models.wan.config import WanConfig
from jaxanim.nn.feedforward import GELUFeedForward
from jaxanim.nn.layers import Dense, LayerNorm, Module, RMSNorm
from jaxanim.nn.rotary import Rotary, rotate

Tokens = Float[Array, "batch frames tokens channels"]
Heads = Float[Array, "*batch n heads head_dim"]
Joint = Float[Array, "batch all_tokens heads head_dim"]
Grid = tuple[int, int, int]


class WanAttention(Module):
    """The four projections of an attention, with RMS norms of queries and keys over all heads together."""

    config: WanConfig

    def setup(self) -> None:
        c = self.config
        dtypes = {"dtype": c.dtype, "param_dtype": c.param_dtype}
        self.to_q, self.to_k, self.to_v, self.to_out_0 = (Dense(c.width, **dtypes) for _ in range(4))
        self.norm_q, self.norm_k = (RMSNorm(c.eps, **dtypes) for _ in range(2))

    def query(self, x: Float[Array, "*batch n channels"]) -> Heads:
        """Queries of tokens, normed."""
        return self._heads(self.norm_q(self.to_q(x)))

    def key(self, x: Float[Array, "*batch n channels"]) -> Heads:
        """Keys of tokens, normed."""
        return self._heads(self.norm_k(self.to_k(x)))

    def value(self, x: Float[Array, "*batch n channels"]) -> Heads:
        """Values of tokens."""
        return self._heads(self.to_v(x))

    def output(self, out: Heads) -> Float[Array, "*batch n width"]:
        """What attention gave, heads joined and projected."""
        return self.to_out_0(rearrange(out, "... h d -> ... (h d)"))

    def __call__(
        self, x: Float[Array, "batch tokens channels"], context: Float[Array, "batch kv_tokens kv_channels"]
    ) -> Float[Array, "batch tokens width"]:
        """Attention of every token to all of the context."""
        q, k, v = self.query(x), self.key(context), self.value(context)
        return self.output(attention(q, k, v, kernel=self.config.attention_kernel))

    def _heads(self, x: Float[Array, "*batch n width"]) -> Heads:
        return rearrange(x, "... (h d) -> ... h d", h=self.config.num_attention_heads)


PartAttention = Callable[
    [WanAttention, Float[Array, "batch tokens channels"], PyTree, Grid], Float[Array, "batch tokens channels"]
]
"""(layer, tokens after norm4, parts, (frames, height, width) of the tokens) -> what is added to the tokens."""


class WanBlock(Module):
    """A block; the time shifts, scales and gates all branches but the text's (Peebles and Xie 2023, Sec. 3.2).

    `part` and `grid` (tokens along frames, height and width) serve the part attention alone.

    Returns the tokens, and queries and keys of the self-attention after norms and rotary embedding.
    """

    config: WanConfig
    part: PartAttention | None = None
    grid: Grid | None = None

    @nn.compact
    def __call__(
        self,
        x: Tokens,
        modulation: Float[Array, "batch #frames 6 channels"],
        text: Float[Array, "batch text_tokens channels"],
        table: Rotary,
        parts: Any = None,
    ) -> tuple[Tokens, tuple[Joint, Joint]]:
        c = self.config
        frames = x.shape[1]
        own = self.param("scale_shift_table", nn.initializers.normal(c.width**-0.5), (1, 6, c.width), c.param_dtype)
        # [batch, frames, 1, channels] each: a frame's tokens have one time
        shift, scale, gate, ff_shift, ff_scale, ff_gate = jnp.split(
            own.astype(jnp.float32)[:, None] + modulation, 6, axis=2
        )

        attn1 = WanAttention(c, name="attn1")
        h = _flat(plain_norm(c, "norm1")(x) * (1 + scale) + shift).astype(c.dtype)
        q, k = rotate(attn1.query(h), table), rotate(attn1.key(h), table)
        out = attn1.output(attention(q, k, attn1.value(h), kernel=c.attention_kernel))
        x = (x + _framed(out, frames) * gate).astype(c.dtype)

        x = x + _framed(WanAttention(c, name="attn2")(_flat(affine_norm(c, "norm2")(x)), text), frames)
        if c.part_attention and (parts is not None or self.is_initializing()):
            layer, h = WanAttention(c, name="cross_attn_instance"), _flat(affine_norm(c, "norm4")(x))
            out = layer(h, h) if self.is_initializing() else self.part(layer, h, parts, self.grid)
            x = x + _framed(out, frames)

        h = (plain_norm(c, "norm3")(x) * (1 + ff_scale) + ff_shift).astype(c.dtype)
        h = GELUFeedForward(c.ffn_dim, c.dtype, c.param_dtype, name="ffn")(h)
        return (x + h * ff_gate).astype(c.dtype), (q, k)


def plain_norm(c: WanConfig, name: str) -> LayerNorm:
    """LayerNorm without parameters, in float32."""
    return LayerNorm(c.eps, jnp.float32, use_bias=False, use_scale=False, use_fast_variance=False, name=name)


def affine_norm(c: WanConfig, name: str) -> LayerNorm:
    """LayerNorm with scale and bias."""
    return LayerNorm(c.eps, c.dtype, c.param_dtype, use_fast_variance=False, name=name)


def _flat(x: Tokens) -> Float[Array, "batch all_tokens channels"]:
    return rearrange(x, "b f t c -> b (f t) c")


def _framed(x: Float[Array, "batch all_tokens channels"], frames: int) -> Tokens:
    return rearrange(x, "b (f t) c -> b f t c", f=frames)
