"""Sinusoidal embeddings of timesteps and of frame positions."""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Num

from jaxanim.nn.layers import Dense


def timestep_embedding(
    t: Num[Array, " batch"], dim: int, flip_sin_to_cos: bool = True, freq_shift: float = 0.0
) -> Float[Array, "batch {dim}"]:
    """Sinusoids of the timestep (Ho et al. 2020), in float32.

    Frequencies are 10000^(-i / (dim/2 - freq_shift)); `flip_sin_to_cos` puts the cosines first, as
    Stable Diffusion does.
    """
    if dim % 2:
        raise ValueError(f"dim must be even, got {dim}")
    half = dim // 2
    frequencies = np.exp(-np.log(10000.0) * np.arange(half) / (half - freq_shift))
    angles = t.astype(jnp.float32)[:, None] * jnp.asarray(frequencies, jnp.float32)
    parts = (jnp.cos(angles), jnp.sin(angles)) if flip_sin_to_cos else (jnp.sin(angles), jnp.cos(angles))
    return jnp.concatenate(parts, axis=-1)


def sinusoidal_positions(length: int, channels: int) -> np.ndarray:
    """Position encoding [length, channels] of Vaswani et al. 2017 (Sec. 3.5): sine on even channels,
    cosine on odd ones, float32."""
    angles = np.arange(length)[:, None] * np.exp(-np.log(10000.0) * np.arange(0, channels, 2) / channels)
    table = np.empty((length, channels), np.float32)
    table[:, 0::2] = np.sin(angles)
    table[:, 1::2] = np.cos(angles)
    return table


class TimestepEmbedding(nn.Module):
    """Two-layer perceptron on a sinusoidal embedding: linear_1, SiLU, linear_2."""

    features: int
    dtype: DTypeLike = jnp.float32
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "batch dim"]) -> Float[Array, "batch features"]:
        x = Dense(self.features, dtype=self.dtype, param_dtype=self.param_dtype, name="linear_1")(x)
        x = nn.silu(x)
        return Dense(self.features, dtype=self.dtype, param_dtype=self.param_dtype, name="linear_2")(x)
