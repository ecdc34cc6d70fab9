"""Feed-forward layers of transformer blocks: gated (Stable Diffusion) and plain (Wan, CogVideoX)."""

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jaxanim.nn.layers import Dense


class GEGLU(nn.Module):
    """value * GELU(gate) with the exact GELU (Shazeer 2020, Eq. 6); value and gate from one projection."""

    features: int
    dtype: DTypeLike = jnp.float32
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "*batch channels"]) -> Float[Array, "*batch features"]:
        x = Dense(2 * self.features, dtype=self.dtype, param_dtype=self.param_dtype, name="proj")(x)
        value, gate = jnp.split(x, 2, axis=-1)
        return value * nn.gelu(gate, approximate=False)


class FeedForward(nn.Module):
    """GEGLU to `expansion` times the width, then a projection back (`net_0`, `net_2`)."""

    expansion: int = 4
    dtype: DTypeLike = jnp.float32
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "*batch channels"]) -> Float[Array, "*batch channels"]:
        channels = x.shape[-1]
        hidden = GEGLU(self.expansion * channels, self.dtype, self.param_dtype, name="net_0")(x)
        return Dense(channels, dtype=self.dtype, param_dtype=self.param_dtype, name="net_2")(hidden)


class GELU(nn.Module):
    """A projection, then GELU in its tanh form (Hendrycks and Gimpel 2016, Sec. 2)."""

    features: int
    dtype: DTypeLike = jnp.float32
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "*batch channels"]) -> Float[Array, "*batch features"]:
        x = Dense(self.features, dtype=self.dtype, param_dtype=self.param_dtype, name="proj")(x)
        return nn.gelu(x, approximate=True)


class GELUFeedForward(nn.Module):
    """GELU to a width of `features`, then a projection back (`net_0`, `net_2`)."""

    features: int
    dtype: DTypeLike = jnp.float32
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "*batch channels"]) -> Float[Array, "*batch channels"]:
        hidden = GELU(self.features, self.dtype, self.param_dtype, name="net_0")(x)
        return Dense(x.shape[-1], dtype=self.dtype, param_dtype=self.param_dtype, name="net_2")(hidden)
