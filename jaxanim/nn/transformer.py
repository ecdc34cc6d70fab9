"""Spatial transformer of Stable Diffusion's UNet; it hands out what an appearance encoder stores."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from einops import rearrange
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jaxanim.attention.patterns import Patterns, Site
from jaxanim.mesh import constrain_batch
from jaxanim.nn.attention import CrossAttention, Out, SelfAttention, Stored, Tokens
from jaxanim.nn.conv import conv1x1
from jaxanim.nn.feedforward import FeedForward
from jaxanim.nn.layers import Conv, LayerNorm
from jaxanim.nn.norm import GroupNorm
from jaxanim.nn.rows import add

LAYER_NORM_EPSILON = 1e-5
Text = Float[Array, "text_batch *frames text_tokens text_channels"]


def layer_norm(layer: nn.Module, name: str) -> LayerNorm:
    """PyTorch's LayerNorm, for the compact method of `layer`."""
    return LayerNorm(LAYER_NORM_EPSILON, layer.dtype, layer.param_dtype, use_fast_variance=False, name=name)


class BasicTransformerBlock(nn.Module):
    """norm1, attn1 (self), norm2, attn2 (text), norm3, ff; each a residual branch.

    Returns the tokens and, by layer's name, norm1's output, which is what a reader block of another network takes
    as `stored`, and what else the patterns of attn1 and attn2 had to say.
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
        x: Tokens,
        text: Text,
        stored: Stored | None = None,
        patterns: Patterns = Patterns(),
        site: Site | None = None,
    ) -> tuple[Out, dict[str, Any]]:
        dtypes = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        taken = {"norm1": layer_norm(self, "norm1")(x)}
        if self.only_norm1:
            return x, taken
        attn1 = SelfAttention(self.heads, self.kernel, **dtypes, name="attn1")
        out, taken["attn1"] = attn1(taken["norm1"], stored, patterns, site)
        x = add(x, out)
        attn2 = CrossAttention(self.heads, self.kernel, **dtypes, name="attn2")
        out, taken["attn2"] = attn2(layer_norm(self, "norm2")(x), text, patterns, site)
        x = add(x, out)
        return x + FeedForward(**dtypes, name="ff")(layer_norm(self, "norm3")(x)), taken


class Transformer2D(nn.Module):
    """GroupNorm, 1x1 convolution, transformer block over each frame's positions, 1x1 convolution; residual.

    Returns the video and what the block hands out.
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
        x: Float[Array, "batch frames height width channels"],
        text: Text,
        stored: Stored | None = None,
        patterns: Patterns = Patterns(),
        site: Site | None = None,
    ) -> tuple[Float[Array, "out_batch frames height width channels"], dict[str, Any]]:
        dtypes = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        channels, width = x.shape[-1], x.shape[-2]
        h = GroupNorm(self.groups, epsilon=1e-6, **dtypes, name="norm")(x)
        h = Conv(channels, (1, 1), conv_general_dilated=conv1x1, **dtypes, name="proj_in")(h)
        h = rearrange(h, "b f h w c -> b f (h w) c")
        block = BasicTransformerBlock(
            self.heads, self.only_norm1, self.kernel, **dtypes, name="transformer_blocks_0"
        )
        h, taken = block(h, text, stored, patterns, site)
        if self.only_norm1:
            return x, taken
        h = rearrange(h, "b f (h w) c -> b f h w c", w=width)
        proj_out = Conv(channels, (1, 1), conv_general_dilated=conv1x1, **dtypes, name="proj_out")
        return constrain_batch(add(x, proj_out(h))), taken
