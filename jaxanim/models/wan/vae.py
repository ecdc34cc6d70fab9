"""Wan2.2's causal autoencoder between video and latents (Wan Team 2025, Sec. 4.1; the shortcuts are 2.2's).

Every layer sees the present and the past alone (`jaxanim.models.wan.causal`). Parameter names are diffusers'.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from einops import rearrange
from jaxtyping import Array, Float

from jaxanim.attention import attention
from jaxanim.mesh import constrain_batch
from jaxanim.models.wan.causal import (
    CausalConv,
    Chain,
    Piece,
    PixelNorm,
    PointConv,
    average_down,
    duplicate_up,
)
from jaxanim.models.wan.vae_config import WanVAEConfig
from jaxanim.nn.conv import conv1x1, conv3x3, doubled_conv3x3
from jaxanim.nn.layers import Conv

Kept = dict[str, Any]
LOGVAR_RANGE = (-30.0, 20.0)


class _Layer(nn.Module):
    """A module that reads its sizes from the config, and makes the layers that all share."""

    config: WanVAEConfig

    @property
    def dtypes(self) -> dict:
        return {"dtype": self.config.dtype, "param_dtype": self.config.param_dtype}

    def conv(self, features: int, name: str) -> CausalConv:
        return CausalConv(features, name=name, **self.dtypes)

    def norm(self, name: str, axes: int = 3) -> PixelNorm:
        return PixelNorm(axes, name=name, **self.dtypes)


class ResidualBlock(_Layer):
    """Two convolutions behind norm and SiLU, and a 1x1x1 shortcut where the width changes."""

    features: int

    @nn.compact
    def __call__(
        self, x: Piece, past: Kept | None
    ) -> tuple[Float[Array, "batch frames height width features"], Kept]:
        chain, shortcut = Chain(past), x
        if x.shape[-1] != self.features:
            shortcut = PointConv(self.features, name="conv_shortcut", **self.dtypes)(x)
        x = chain(self.conv(self.features, "conv1"), nn.silu(self.norm("norm1")(x)))
        x = chain(self.conv(self.features, "conv2"), nn.silu(self.norm("norm2")(x)))
        return constrain_batch(x + shortcut, frames=False), chain.kept


class FrameAttention(_Layer):
    """Self-attention with one head among the pixels of a frame, with its residual connection."""

    @nn.compact
    def __call__(self, x: Piece) -> Piece:
        batch, _, height, _, channels = x.shape

        def conv(features: int, name: str) -> Conv:
            return Conv(features, (1, 1), conv_general_dilated=conv1x1, name=name, **self.dtypes)

        qkv = conv(3 * channels, "to_qkv")(self.norm("norm", axes=2)(x))
        q, k, v = jnp.split(rearrange(qkv, "b f h w c -> (b f) (h w) 1 c"), 3, axis=-1)
        out = attention(q, k, v, kernel=self.config.attention_kernel)
        return x + conv(channels, "proj")(rearrange(out, "(b f) (h w) 1 c -> b f h w c", b=batch, h=height))


class MidBlock(_Layer):
    """Two residual blocks with attention within each frame between them."""

    @nn.compact
    def __call__(self, x: Piece, past: Kept | None) -> tuple[Piece, Kept]:
        chain, channels = Chain(past), x.shape[-1]
        x = chain(ResidualBlock(self.config, channels, name="resnets_0"), x)
        x = FrameAttention(self.config, name="attentions_0")(x)
        return chain(ResidualBlock(self.config, channels, name="resnets_1"), x), chain.kept


class Downsample(_Layer):
    """Half of height and width; with `frames`, then half of the frames, of which the first passes as it is."""

    frames: bool

    @nn.compact
    def __call__(self, x: Piece, past: Kept | None) -> tuple[Float[Array, "batch f h w channels"], Kept]:
        chain, channels = Chain(past), x.shape[-1]
        around = ((0, 1), (0, 1))
        x = Conv(channels, (3, 3), (2, 2), around, conv_general_dilated=conv3x3, name="resample_1", **self.dtypes)(
            x
        )
        if self.frames:
            x = chain(CausalConv(channels, (3, 1, 1), stride=2, name="time_conv", **self.dtypes), x)
        return x, chain.kept


class Upsample(_Layer):
    """Twice the frames with `frames`, but for the video's first, which no frame made later sees; then twice the
    height and width."""

    frames: bool

    @nn.compact
    def __call__(self, x: Piece, past: Kept | None) -> tuple[Float[Array, "batch f h w channels"], Kept]:
        chain, channels = Chain(past), x.shape[-1]
        if self.frames:
            single, rest = (x[:, :1], x[:, 1:]) if past is None else (x[:, :0], x)
            rest = chain(CausalConv(2 * channels, (3, 1, 1), name="time_conv", **self.dtypes), rest)
            rest = rearrange(rest, "b f h w (two c) -> b (f two) h w c", two=2)
            x = jnp.concatenate([single, rest], axis=1)
        x = Conv(
            channels, (3, 3), padding=1, conv_general_dilated=doubled_conv3x3, name="resample_1", **self.dtypes
        )(x)
        return x, chain.kept


class DownBlock(_Layer):
    """One resolution of the encoder, with a shortcut of averages around it."""

    features: int
    down: bool
    frames: bool

    @nn.compact
    def __call__(self, x: Piece, past: Kept | None) -> tuple[Float[Array, "batch f h w features"], Kept]:
        chain = Chain(past)
        side, frames = 1 + self.down, 1 + self.frames
        shortcut = average_down(x, self.features, frames, side, first=past is None)
        for i in range(self.config.num_res_blocks):
            x = chain(ResidualBlock(self.config, self.features, name=f"resnets_{i}"), x)
        if self.down:
            x = chain(Downsample(self.config, self.frames, name="downsampler"), x)
        return x + shortcut, chain.kept


class UpBlock(_Layer):
    """One resolution of the decoder, with a shortcut of copies around it where it ends in doubling."""

    features: int
    up: bool
    frames: bool

    @nn.compact
    def __call__(self, x: Piece, past: Kept | None) -> tuple[Float[Array, "batch f h w features"], Kept]:
        chain, before = Chain(past), x
        for i in range(self.config.num_res_blocks + 1):
            x = chain(ResidualBlock(self.config, self.features, name=f"resnets_{i}"), x)
        if not self.up:
            return x, chain.kept
        x = chain(Upsample(self.config, self.frames, name="upsampler"), x)
        return x + duplicate_up(before, self.features, 1 + self.frames, 2, first=past is None), chain.kept


def encoder_cut(config: WanVAEConfig) -> int:
    """How many of the encoder's blocks are its head: all but the last two, one at least."""
    return max(len(config.dim_mult) - 2, min(1, len(config.temporal_downsample)))


class Encoder(_Layer):
    """Patches of pixels to the (unquantised) moments of the posterior.

    With `part` "head" it ends before, and with "tail" it begins with, block number `encoder_cut`: every layer of
    the head is local (`jaxanim.models.wan.tiles`).
    """

    @nn.compact
    def __call__(
        self, x: Piece, past: Kept | None, part: str = "whole"
    ) -> tuple[Float[Array, "batch f h w moments"], Kept]:
        c, chain, cut = self.config, Chain(past), encoder_cut(self.config)
        if part != "tail":
            x = chain(self.conv(c.base_dim * c.dim_mult[0], "conv_in"), x)
        for i, multiple in enumerate(c.dim_mult):
            down = i < len(c.temporal_downsample)
            if part == "whole" or (i < cut) == (part == "head"):
                block = DownBlock(
                    c, c.base_dim * multiple, down, down and c.temporal_downsample[i], name=f"down_blocks_{i}"
                )
                x = chain(block, x)
        if part == "head":
            return x, chain.kept
        x = chain(MidBlock(c, name="mid_block"), x)
        return chain(self.conv(2 * c.z_dim, "conv_out"), nn.silu(self.norm("norm_out")(x))), chain.kept


class Decoder(_Layer):
    """Latents to patches of pixels.

    With `part` "head" it ends after, and with "tail" it begins behind, the first block: every layer of the tail is
    local.
    """

    @nn.compact
    def __call__(
        self, x: Piece, past: Kept | None, part: str = "whole"
    ) -> tuple[Float[Array, "batch f h w patch"], Kept]:
        c, chain = self.config, Chain(past)
        if part != "tail":
            x = chain(self.conv(c.decoder_base_dim * c.dim_mult[-1], "conv_in"), x)
            x = chain(MidBlock(c, name="mid_block"), x)
        doubles_frames = c.temporal_downsample[::-1]
        for i, multiple in enumerate(reversed(c.dim_mult)):
            up = i < len(doubles_frames)
            if part == "whole" or (i < 1) == (part == "head"):
                block = UpBlock(
                    c, c.decoder_base_dim * multiple, up, up and doubles_frames[i], name=f"up_blocks_{i}"
                )
                x = chain(block, x)
        if part == "head":
            return x, chain.kept
        patch = c.in_channels * c.patch_size**2
        return chain(self.conv(patch, "conv_out"), nn.silu(self.norm("norm_out")(x))), chain.kept


class WanVAE(_Layer):
    """The autoencoder, a piece of video at a time, without the latents' mean and deviation.

    `past` is what the call before it returned, None for the first piece (`jaxanim.models.wan.causal`).
    `jaxanim.models.wan.video` goes through a whole video.
    """

    def setup(self) -> None:
        c = self.config
        self.encoder = Encoder(c)
        self.decoder = Decoder(c)
        self.quant_conv = PointConv(2 * c.z_dim, **self.dtypes)
        self.post_quant_conv = PointConv(c.z_dim, **self.dtypes)

    def encode(
        self, pixels: Float[Array, "batch frames height width in"], past: Kept | None = None
    ) -> tuple[tuple[Float[Array, "batch f h w latent"], Float[Array, "batch f h w latent"]], Kept]:
        """((mean, log-variance clamped to [-30, 20]) of the posterior of pixels in [-1, 1], kept)."""
        return self._moments(*self.encoder(self._patches(pixels), past))

    def encode_head(
        self, pixels: Float[Array, "batch frames height width in"], past: Kept | None = None
    ) -> tuple[Float[Array, "batch f y x c"], Kept]:
        """The first part of `encode`, up to the feature map that `encode_tail` goes on with."""
        return self.encoder(self._patches(pixels), past, "head")

    def encode_tail(
        self, x: Float[Array, "batch f y x c"], past: Kept | None = None
    ) -> tuple[tuple[Float[Array, "batch g h w latent"], Float[Array, "batch g h w latent"]], Kept]:
        """The second part of `encode`."""
        return self._moments(*self.encoder(x, past, "tail"))

    def decode(
        self, latents: Float[Array, "batch f h w latent"], past: Kept | None = None
    ) -> tuple[Float[Array, "batch frames height width out"], Kept]:
        """(pixels clipped to [-1, 1], kept)."""
        return self._pixels(*self.decoder(self.post_quant_conv(latents), past))

    def decode_head(
        self, latents: Float[Array, "batch f h w latent"], past: Kept | None = None
    ) -> tuple[Float[Array, "batch g y x c"], Kept]:
        """The first part of `decode`, up to the feature map that `decode_tail` goes on with."""
        return self.decoder(self.post_quant_conv(latents), past, "head")

    def decode_tail(
        self, x: Float[Array, "batch f y x c"], past: Kept | None = None
    ) -> tuple[Float[Array, "batch frames height width out"], Kept]:
        """The second part of `decode`."""
        return self._pixels(*self.decoder(x, past, "tail"))

    def _patches(self, pixels: Piece) -> Float[Array, "batch frames h w patch"]:
        p = self.config.patch_size
        # PyTorch's order: the column within the patch before the row
        return rearrange(pixels, "b f (h i) (w j) c -> b f h w (c j i)", i=p, j=p)

    def _pixels(self, x: Piece, kept: Kept) -> tuple[Float[Array, "batch frames h w in"], Kept]:
        p = self.config.patch_size
        return jnp.clip(rearrange(x, "b f h w (c j i) -> b f (h i) (w j) c", i=p, j=p), -1, 1), kept

    def _moments(self, x: Array, kept: Kept) -> tuple[tuple[Piece, Piece], Kept]:
        mean, logvar = jnp.split(self.quant_conv(x), 2, axis=-1)
        return (mean, jnp.clip(logvar, *LOGVAR_RANGE)), kept

    def __call__(
        self, pixels: Float[Array, "batch frames height width in"]
    ) -> Float[Array, "batch frames height width in"]:
        """Reconstruction through the posterior's mean; `init` uses it to reach every parameter."""
        return self.decode(self.encode(pixels)[0][0])[0]
