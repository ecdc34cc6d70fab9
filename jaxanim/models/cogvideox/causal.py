"""Convolutions that look back in time, for videos that come in chunks: what a chunk needs of the one before it is a
carry, [batch, 2, height, width, channels] for each convolution."""

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jaxanim.nn.conv import conv_by_taps
from jaxanim.nn.layers import Conv, Module

Frames = Float[Array, "batch frames height width channels"]
Past = tuple[Float[Array, "_batch _history _height _width _channels"], ...]
"""The last input frames of each convolution, in the order in which they run."""


class History:
    """Hands each convolution of a network its past, in the order in which they run, and gathers the new one.

    With `past` None nothing came before: the first frame is taken to have stood still.
    """

    def __init__(self, past: Past | None):
        self._past = None if past is None else iter(past)
        self._new: list[Array] = []

    def join(self, x: Frames, frames: int) -> Float[Array, "batch joined height width channels"]:
        """x with the `frames` frames before it."""
        before = jnp.repeat(x[:, :1], frames, axis=1) if self._past is None else next(self._past)
        joined = jnp.concatenate([before, x], axis=1)
        self._new.append(joined[:, -frames:])
        return joined

    @property
    def new(self) -> Past:
        """What the next chunk's convolutions need."""
        return tuple(self._new)


class CausalConv(Module):
    """A convolution over a frame, the two before it and the pixels around, zeros beyond the picture."""

    features: int
    dtype: DTypeLike = jnp.float32
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Frames, history: History) -> Float[Array, "batch frames height width features"]:
        conv = Conv(
            self.features, (3, 3, 3), padding=((0, 0), (1, 1), (1, 1)), conv_general_dilated=by_taps, name="conv",
            dtype=self.dtype, param_dtype=self.param_dtype,
        )  # fmt: skip
        return conv(history.join(x, 2))


def by_taps(
    x: Frames, kernel: Float[Array, "3 3 3 channels features"], strides, padding, **options
) -> Float[Array, "batch later rows columns features"]:
    """`conv_by_taps` as `nn.Conv` calls it."""
    return conv_by_taps(x, kernel)
