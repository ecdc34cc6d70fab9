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
from jaxanim.mesh import constrain_tokens, context_ways, even_tokens, gather_tokens
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

    Over "context" there may be more tokens than positions in `table`, at each frame's end (`even_tokens`): nothing
    reads them.

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
        frames, tokens = x.shape[1], table.cos.shape[0] // x.shape[1]
        flat, framed = _sequence(frames)
        own = self.param("scale_shift_table", nn.initializers.normal(c.width**-0.5), (1, 6, c.width), c.param_dtype)
        # [batch, frames, 1, channels] each: a frame's tokens have one time
        shift, scale, gate, ff_shift, ff_scale, ff_gate = jnp.split(
            own.astype(jnp.float32)[:, None] + modulation, 6, axis=2
        )

        attn1 = WanAttention(c, name="attn1")
        h = (plain_norm(c, "norm1")(x) * (1 + scale) + shift).astype(c.dtype)
        h = flat(h)
        if context_ways() > 1:
            table = Rotary(
                *(flat(even_tokens(jnp.asarray(part).reshape(1, frames, tokens, -1)))[0] for part in table)
            )
        q, k, v = rotate(attn1.query(h), table), rotate(attn1.key(h), table), attn1.value(h)
        lengths = jnp.full(len(x), frames * tokens) if x.shape[2] > tokens else None
        if context_ways() > 1:
            k, v = gather_tokens(k), gather_tokens(v)
        out = attn1.output(attention(q, k, v, kernel=c.attention_kernel, kv_lengths=lengths))
        x = constrain_tokens((x + framed(out) * gate).astype(c.dtype))

        x = x + framed(WanAttention(c, name="attn2")(flat(affine_norm(c, "norm2")(x)), text))
        if c.part_attention and (parts is not None or self.is_initializing()):
            layer = WanAttention(c, name="cross_attn_instance")
            h = _flat(affine_norm(c, "norm4")(x)[:, :, :tokens])
            out = layer(h, h) if self.is_initializing() else self.part(layer, h, parts, self.grid)
            x = x + even_tokens(_framed(out, frames))

        h = (plain_norm(c, "norm3")(x) * (1 + ff_scale) + ff_shift).astype(c.dtype)
        h = GELUFeedForward(c.ffn_dim, c.dtype, c.param_dtype, name="ffn")(h)
        x = constrain_tokens((x + h * ff_gate).astype(c.dtype))
        return x, tuple(rearrange(framed(part)[:, :, :tokens], "b f t h d -> b (f t) h d") for part in (q, k))


def plain_norm(c: WanConfig, name: str) -> LayerNorm:
    """LayerNorm without parameters, in float32."""
    return LayerNorm(c.eps, jnp.float32, use_bias=False, use_scale=False, use_fast_variance=False, name=name)


def affine_norm(c: WanConfig, name: str) -> LayerNorm:
    """LayerNorm with scale and bias."""
    return LayerNorm(c.eps, c.dtype, c.param_dtype, use_fast_variance=False, name=name)


def _sequence(frames: int) -> tuple[Callable[[Array], Array], Callable[[Array], Array]]:
    """[batch, frames, tokens, ...] as one sequence [batch, all_tokens, ...], and back.

    Frame by frame; but where tokens are cut over "context", token by token, each with its frames: the sequence is
    then cut where the tokens were. All of it attends to all, in whichever order.
    """
    frames_first = context_ways() == 1

    def flat(x: Array) -> Array:
        return rearrange(x if frames_first else x.swapaxes(1, 2), "b f t ... -> b (f t) ...")

    def framed(x: Array) -> Array:
        x = x.reshape(x.shape[0], *((frames, -1) if frames_first else (-1, frames)), *x.shape[2:])
        return x if frames_first else x.swapaxes(1, 2)

    return flat, framed


def _flat(x: Tokens) -> Float[Array, "batch all_tokens channels"]:
    return rearrange(x, "b f t c -> b (f t) c")


def _framed(x: Float[Array, "batch all_tokens channels"], frames: int) -> Tokens:
    return rearrange(x, "b (f t) c -> b f t c", f=frames)
