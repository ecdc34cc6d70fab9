"""Spatial transformer of Stable Diffusion's UNet; it hands out what an appearance encoder stores."""

import flax.linen as nn
import jax.numpy as jnp
from einops import rearrange
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jaxanim.nn.attention import CrossAttention, SelfAttention, Stored
from jaxanim.nn.conv import conv1x1
from jaxanim.nn.feedforward import FeedForward
from jaxanim.nn.layers import Conv, LayerNorm
from jaxanim.nn.norm import GroupNorm

Video = Float[Array, "batch frames height width channels"]
LAYER_NORM_EPSILON = 1e-5


def layer_norm(layer: nn.Module, name: str) -> LayerNorm:
    """PyTorch's LayerNorm, for the compact method of `layer`."""
    return LayerNorm(LAYER_NORM_EPSILON, layer.dtype, layer.param_dtype, use_fast_variance=False, name=name)


class BasicTransformerBlock(nn.Module):
    """norm1, attn1 (self), norm2, attn2 (text), norm3, ff; each a residual branch.

    Returns the tokens and norm1's output, which is what a reader block of another network takes as `stored`.
    With `only_norm1` nothing exists after norm1 (MagicAnimate's truncated encoder); the tokens pass through.
    """

    heads: int
    only_norm1: bool = False
    kernel: str = "auto"
    dtype: DTypeLike = jnp.float32
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch frames tokens channels"],
        text: Float[Array, "batch text_tokens text_channels"],
        stored: Stored | None = None,
    ) -> tuple[Float[Array, "batch frames tokens channels"], Float[Array, "batch frames tokens channels"]]:
        dtypes = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        normed = layer_norm(self, "norm1")(x)
        if self.only_norm1:
            return x, normed
        x = x + SelfAttention(self.heads, self.kernel, **dtypes, name="attn1")(normed, stored)
        x = x + CrossAttention(self.heads, self.kernel, **dtypes, name="attn2")(layer_norm(self, "norm2")(x), text)
        return x + FeedForward(**dtypes, name="ff")(layer_norm(self, "norm3")(x)), normed


class Transformer2D(nn.Module):
    """GroupNorm, 1x1 convolution, transformer block over each frame's positions, 1x1 convolution; residual.

    Returns the video and the block's norm1 output [batch, frames, tokens, channels].
    """

    heads: int
    groups: int = 32
    only_norm1: bool = False
    kernel: str = "auto"
    dtype: DTypeLike = jnp.float32
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: Video,
        text: Float[Array, "batch text_tokens text_channels"],
        stored: Stored | None = None,
    ) -> tuple[Video, Float[Array, "batch frames tokens channels"]]:
        dtypes = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        channels, width = x.shape[-1], x.shape[-2]
        h = GroupNorm(self.groups, epsilon=1e-6, **dtypes, name="norm")(x)
        h = Conv(channels, (1, 1), conv_general_dilated=conv1x1, **dtypes, name="proj_in")(h)
        h = rearrange(h, "b f h w c -> b f (h w) c")
        block = BasicTransformerBlock(
            self.heads, self.only_norm1, self.kernel, **dtypes, name="transformer_blocks_0"
        )
        h, normed = block(h, text, stored)
        if self.only_norm1:
            return x, normed
        h = rearrange(h, "b f (h w) c -> b f h w c", w=width)
        proj_out = Conv(channels, (1, 1), conv_general_dilated=conv1x1, **dtypes, name="proj_out")
        return x + proj_out(h), normed
