"""Group normalisation of videos, per frame or pooled over the frames of a window."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from einops import rearrange, reduce, repeat
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jaxanim.nn.layers import Module


class GroupNorm(Module):
    """Group normalisation (Wu & He 2018, Eqs. 1-6) of a channels-last video.

    Attributes:
      groups: number of channel groups; must divide the channels.
      epsilon: added to the variance.
      pool_frames: False takes mean and variance per frame (an image network run on frames);
        True takes them over all frames of the window (AnimateDiff v1 and MagicAnimate ResNets).

    Where only a part of a picture is at hand (`jaxanim.models.vae_tiles`), `statistics` gives the whole's mean and
    variance, both [images, channels].
    """

    groups: int = 32
    epsilon: float = 1e-5
    pool_frames: bool = False
    dtype: DTypeLike = jnp.float32
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch frames height width channels"],
        statistics: tuple[Float[Array, "images channels"], Float[Array, "images channels"]] | None = None,
    ) -> Float[Array, "batch frames height width channels"]:
        channels = x.shape[-1]
        if channels % self.groups:
            raise ValueError(f"groups must divide the channels, got groups={self.groups}, channels={channels}")
        scale = self.param("scale", nn.initializers.ones, (channels,), self.param_dtype)
        bias = self.param("bias", nn.initializers.zeros, (channels,), self.param_dtype)
        pattern = "b f h w c -> b (f h w) c" if self.pool_frames else "b f h w c -> (b f) (h w) c"
        tokens = rearrange(x, pattern).astype(jnp.promote_types(x.dtype, jnp.float32))
        # Tokens first, channels of a group after: the long reduction then runs along contiguous channels.
        mean = group_mean(jnp.mean(tokens, axis=1), self.groups) if statistics is None else statistics[0]
        centred = tokens - mean[:, None]
        if statistics is None:
            variance = group_mean(jnp.mean(jnp.square(centred), axis=1), self.groups)
        else:
            variance = statistics[1]
        y = centred * (jax.lax.rsqrt(variance + self.epsilon) * scale)[:, None] + bias
        return y.reshape(x.shape).astype(self.dtype)


def group_mean(per_channel: Float[Array, "n channels"], groups: int) -> Float[Array, "n channels"]:
    """Mean over the channels of each group, written back to every channel of the group."""
    mean = reduce(per_channel, "n (g c) -> n g", "mean", g=groups)
    return repeat(mean, "n g -> n (g c)", c=per_channel.shape[-1] // groups)
