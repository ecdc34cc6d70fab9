"""Layers that see the present and the past of a video alone, so that it can be taken piece by piece.

A causal layer is called as layer(x, past) -> (y, kept): x is a piece of the video; `past` is what the layer kept of
the pieces before, None for the first piece. What is kept goes from hand to hand and has one size, whatever the
length of the video. A first piece has 1 + n `factor` frames and any other n `factor`; the pieces' results in a row
are the whole's.
"""

import jax.numpy as jnp
from einops import rearrange, reduce, repeat
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jaxanim.mesh import constrain_batch
from jaxanim.nn.conv import conv_by_taps
from jaxanim.nn.layers import Module
from jaxanim.nn.matmul import matmul

Piece = Float[Array, "batch frames height width channels"]
Resized = Float[Array, "batch frames_out height_out width_out features"]


class Chain:
    """Runs causal layers and collects what each keeps, under its name."""

    def __init__(self, past: dict | None):
        self.past, self.kept = past, {}

    def __call__(self, layer: nn.Module, x: Piece) -> Float[Array, "batch f h w features"]:
        """The layer's result; its `kept` goes into `self.kept`."""
        y, self.kept[layer.name] = layer(x, None if self.past is None else self.past[layer.name])
        return y


class CausalConv(Module):
    """Convolution over the present frame and those before it, with zeros before the first.

    Attributes:
      stride: frames from one result to the next; with 2 the first result is the first frame itself.
    """

    features: int
    kernel_size: tuple[int, int, int] = (3, 3, 3)
    stride: int = 1
    dtype: DTypeLike = jnp.float32
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch f height width channels"], past: Piece | None
    ) -> tuple[Float[Array, "batch g height width features"], Piece]:
        taps = self.kernel_size[0]
        kernel, bias = _kernel(self, self.kernel_size, x.shape[-1])
        x = x.astype(self.dtype)
        first = past is None and self.stride > 1
        if past is None and self.stride == 1:
            past = jnp.zeros((x.shape[0], taps - 1, *x.shape[2:]), self.dtype)
        # Its channels whole over devices: see `jaxanim.nn.layers.Conv`.
        whole = constrain_batch(x if past is None else jnp.concatenate([past, x], axis=1), frames=False)
        # There may be nothing to convolve yet.
        enough = whole.shape[1] >= taps
        nothing = (x.shape[0], 0, *x.shape[2:4], self.features)
        y = conv_by_taps(whole, kernel, self.stride) + bias if enough else jnp.zeros(nothing, self.dtype)
        if first:
            y = jnp.concatenate([x[:, :1], y], axis=1)
        return y, whole[:, whole.shape[1] - (taps - self.stride) :]


class PointConv(Module):
    """A 1x1x1 convolution, which has no past."""

    features: int
    dtype: DTypeLike = jnp.float32
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Piece) -> Float[Array, "batch frames height width features"]:
        kernel, bias = _kernel(self, (1, 1, 1), x.shape[-1])
        return matmul(x.astype(self.dtype), kernel[0, 0, 0]) + bias


def _kernel(layer: CausalConv | PointConv, size: tuple[int, int, int], channels: int) -> tuple[Array, Array]:
    shape = (*size, channels, layer.features)
    kernel = layer.param("kernel", nn.initializers.lecun_normal(), shape, layer.param_dtype)
    bias = layer.param("bias", nn.initializers.zeros, (layer.features,), layer.param_dtype)
    return kernel.astype(layer.dtype), bias.astype(layer.dtype)


class PixelNorm(Module):
    """Each pixel's channels over their root mean square, times gamma: L2 normalisation times sqrt(channels).

    `axes` trailing axes of size 1 in gamma's shape are PyTorch's.
    """

    axes: int = 3
    dtype: DTypeLike = jnp.float32
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Piece) -> Piece:
        channels = x.shape[-1]
        gamma = self.param("gamma", nn.initializers.ones, (channels, *(1,) * self.axes), self.param_dtype)
        x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        length = jnp.sqrt(jnp.sum(jnp.square(x), axis=-1, keepdims=True))
        return (x / jnp.maximum(length, 1e-12) * (channels**0.5 * gamma.reshape(-1))).astype(self.dtype)


def average_down(x: Piece, features: int, frames: int, side: int, first: bool) -> Resized:
    """Means over blocks of `frames` x `side` x `side` pixels and neighbouring channels, without parameters.

    A first piece has zeros put before its first frame, which is averaged with them.
    """
    if first and frames > 1:
        x = jnp.pad(x, ((0, 0), (frames - 1, 0), (0, 0), (0, 0), (0, 0)))
    x = rearrange(x, "b (f i) (h j) (w k) c -> b f h w (c i j k)", i=frames, j=side, k=side)
    return reduce(x, "b f h w (c group) -> b f h w c", "mean", c=features)


def duplicate_up(x: Piece, features: int, frames: int, side: int, first: bool) -> Resized:
    """Each pixel `frames` x `side` x `side` times, with channels dealt out among the copies; the opposite of
    `average_down`. Of a first piece's first frame only the last copy remains."""
    times = features * frames * side * side // x.shape[-1]
    x = repeat(x, "b f h w c -> b f h w (c times)", times=times)
    x = rearrange(x, "b f h w (c i j k) -> b (f i) (h j) (w k) c", i=frames, j=side, k=side)
    return x[:, frames - 1 :] if first else x
