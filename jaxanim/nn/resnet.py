"""Residual convolution block and the resampling layers between resolutions."""

import flax.linen as nn
import jax.numpy as jnp
from einops import repeat
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jaxanim.mesh import constrain_batch
from jaxanim.nn.conv import conv1x1, conv3x3, doubled_conv3x3, partly_shared
from jaxanim.nn.layers import Conv, Dense
from jaxanim.nn.norm import GroupNorm
from jaxanim.nn.rows import add, same_rows


class ResnetBlock(nn.Module):
    """Residual block of Stable Diffusion's UNet and VAE.

    x + conv2(SiLU(norm2(conv1(SiLU(norm1(x))) + time_emb_proj(SiLU(temb))))), with a 1x1 `conv_shortcut`
    on x where the width changes. Convolutions see every frame on its own; `pool_frames` decides whether
    the normalisations do (see GroupNorm).

    A `skip` connection joins x along the channels. Where it has fewer rows than x (see `jaxanim.nn.rows`), the
    first convolutions compute what they make of it once.
    """

    out_channels: int
    groups: int = 32
    epsilon: float = 1e-5
    pool_frames: bool = False
    dtype: DTypeLike = jnp.float32
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch frames height width channels"],
        temb: Float[Array, "temb_batch dim"] | None = None,
        skip: Float[Array, "skip_batch frames height width skip_channels"] | None = None,
    ) -> Float[Array, "out_batch frames height width out_channels"]:
        dtypes = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        norm = dict(groups=self.groups, epsilon=self.epsilon, pool_frames=self.pool_frames, **dtypes)
        first, shortcut = conv3x3, conv1x1
        if skip is not None:
            own, blocks = x.shape[-1], x.shape[0] // skip.shape[0]
            x = jnp.concatenate(same_rows(x, skip), axis=-1)
            if blocks > 1:
                # Normalised, the blocks differ in every group that holds a channel of their own.
                size = x.shape[-1] // self.groups
                first = partly_shared(conv3x3, -(-own // size) * size, blocks)
                shortcut = partly_shared(conv1x1, own, blocks)
        h = nn.silu(GroupNorm(**norm, name="norm1")(x))
        h = Conv(self.out_channels, (3, 3), padding=1, conv_general_dilated=first, **dtypes, name="conv1")(h)
        if temb is not None:
            shift = Dense(self.out_channels, **dtypes, name="time_emb_proj")(nn.silu(temb))
            h = add(h, shift[:, None, None, None])
        h = nn.silu(GroupNorm(**norm, name="norm2")(h))
        h = Conv(self.out_channels, (3, 3), padding=1, conv_general_dilated=conv3x3, **dtypes, name="conv2")(h)
        if x.shape[-1] != self.out_channels:
            change = Conv(self.out_channels, (1, 1), conv_general_dilated=shortcut, **dtypes, name="conv_shortcut")
            x = change(x)
        return constrain_batch(add(x, h))


class Downsample(nn.Module):
    """3x3 convolution of stride 2. `padding` is ((top, bottom), (left, right)): (1, 1) each in the UNet,
    (0, 1) each in the VAE's encoder."""

    padding: tuple[tuple[int, int], tuple[int, int]] = ((1, 1), (1, 1))
    dtype: DTypeLike = jnp.float32
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch frames height width channels"]
    ) -> Float[Array, "batch frames height_out width_out channels"]:
        return Conv(
            x.shape[-1],
            (3, 3),
            strides=2,
            padding=self.padding,
            conv_general_dilated=conv3x3,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            name="conv",
        )(x)


class Upsample(nn.Module):
    """Nearest-neighbour doubling, cut to `size` (height, width) where one is given, then a 3x3 convolution.

    The cut is nearest-neighbour interpolation to 2n - 1 pixels: it undoes a Downsample of an odd size.
    """

    dtype: DTypeLike = jnp.float32
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch frames height width channels"], size: tuple[int, int] | None = None
    ) -> Float[Array, "batch frames height_out width_out channels"]:
        dtypes = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        convolve = doubled_conv3x3
        if size not in (None, (2 * x.shape[2], 2 * x.shape[3])):
            x = repeat(x, "b f h w c -> b f (h 2) (w 2) c")[:, :, : size[0], : size[1]]
            convolve = conv3x3
        return Conv(x.shape[-1], (3, 3), padding=1, conv_general_dilated=convolve, **dtypes, name="conv")(x)
