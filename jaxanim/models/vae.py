"""The autoencoder between pixels and latents: AutoencoderKL of Stable Diffusion 1.5 (Rombach et al. 2022,
Sec. 3.1).

Frames are independent of each other: every layer works on one frame at a time, so a video is a batch of
images. Parameter names are those of diffusers' AutoencoderKL with `.N.` written `_N`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from einops import rearrange
from flax import linen as nn
from jaxtyping import Array, Float

from jaxanim.attention import attention
from jaxanim.chunks import map_chunks
from jaxanim.errors import InputError
from jaxanim.models.network import Network, example
from jaxanim.models.vae_tiles import run_in_tiles
from jaxanim.nn.conv import conv1x1
from jaxanim.nn.layers import Conv, Dense
from jaxanim.nn.norm import GroupNorm
from jaxanim.nn.resnet import Downsample, ResnetBlock, Upsample
from jaxanim.stored import register_config

EPSILON = 1e-6
LOGVAR_RANGE = (-30.0, 20.0)


@register_config
@dataclass(frozen=True)
class VAEConfig:
    """Sizes of the autoencoder, with diffusers' field names; the defaults are Stable Diffusion 1.5's
    (83,653,863 parameters). `latent_channels` counts the channels of a latent, `scaling_factor` brings
    latents to unit variance."""

    in_channels: int = 3
    out_channels: int = 3
    latent_channels: int = 4
    block_out_channels: tuple[int, ...] = (128, 256, 512, 512)
    layers_per_block: int = 2
    norm_num_groups: int = 32
    scaling_factor: float = 0.18215
    mid_block_add_attention: bool = True
    attention_kernel: str = "auto"
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @property
    def downscale(self) -> int:
        """Pixels per latent cell along each side."""
        return 2 ** (len(self.block_out_channels) - 1)

    def network(self, role: str) -> Network:
        """See `jaxanim.models.network.NetworkConfig`."""
        return Network(VAE(self), (example(1, 1, self.downscale, self.downscale, self.in_channels),))


class _Layer(nn.Module):
    """A module that reads its sizes from the config, and makes the layers shared by encoder and decoder."""

    config: VAEConfig

    @property
    def dtypes(self) -> dict:
        return {"dtype": self.config.dtype, "param_dtype": self.config.param_dtype}

    def conv(self, features: int, size: int, name: str) -> Conv:
        return Conv(features, (size, size), padding=size // 2, name=name, **self.dtypes)

    def resnet(self, features: int, name: str) -> ResnetBlock:
        return ResnetBlock(features, groups=self.config.norm_num_groups, epsilon=EPSILON, name=name, **self.dtypes)

    def norm(self, name: str) -> GroupNorm:
        return GroupNorm(groups=self.config.norm_num_groups, epsilon=EPSILON, name=name, **self.dtypes)


class MidAttention(_Layer):
    """Self-attention with one head among the pixels of a frame, with its residual connection."""

    @nn.compact
    def __call__(self, x: Float[Array, "b f h w c"]) -> Float[Array, "b f h w c"]:
        batch, _, height, _, channels = x.shape
        tokens = rearrange(self.norm("group_norm")(x), "b f h w c -> (b f) (h w) 1 c")

        def dense(name: str) -> Dense:
            return Dense(channels, name=name, **self.dtypes)

        q, k, v = (dense(name)(tokens) for name in ("to_q", "to_k", "to_v"))
        out = dense("to_out_0")(attention(q, k, v, kernel=self.config.attention_kernel))
        return x + rearrange(out, "(b f) (h w) 1 c -> b f h w c", b=batch, h=height)


class MidBlock(_Layer):
    """Two residual blocks, with self-attention between them."""

    @nn.compact
    def __call__(self, x: Float[Array, "b f h w c"]) -> Float[Array, "b f h w c"]:
        x = self.resnet(x.shape[-1], "resnets_0")(x)
        if self.config.mid_block_add_attention:
            x = MidAttention(self.config, name="attentions_0")(x)
        return self.resnet(x.shape[-1], "resnets_1")(x)


class DownBlock(_Layer):
    """One resolution of the encoder."""

    features: int
    downsample: bool

    @nn.compact
    def __call__(self, x: Float[Array, "b f h w c_in"]) -> Float[Array, "b f h_out w_out c"]:
        for i in range(self.config.layers_per_block):
            x = self.resnet(self.features, f"resnets_{i}")(x)
        if self.downsample:
            x = Downsample(padding=((0, 1), (0, 1)), **self.dtypes, name="downsamplers_0")(x)
        return x


class UpBlock(_Layer):
    """One resolution of the decoder: residual blocks, then doubling; either may be left out."""

    features: int
    resnets: bool
    upsample: bool

    @nn.compact
    def __call__(self, x: Float[Array, "b f h w c_in"]) -> Float[Array, "b f h_out w_out c"]:
        for i in range(self.config.layers_per_block + 1 if self.resnets else 0):
            x = self.resnet(self.features, f"resnets_{i}")(x)
        return Upsample(**self.dtypes, name="upsamplers_0")(x) if self.upsample else x


class Encoder(_Layer):
    """Pixels to the (unquantised) moments of the posterior."""

    @nn.compact
    def __call__(self, pixels: Float[Array, "b f height width in"]) -> Float[Array, "b f h w moments"]:
        c = self.config
        last = len(c.block_out_channels) - 1
        x = self.conv(c.block_out_channels[0], 3, "conv_in")(pixels)
        for i, features in enumerate(c.block_out_channels):
            x = DownBlock(c, features, downsample=i < last, name=f"down_blocks_{i}")(x)
        x = MidBlock(c, name="mid_block")(x)
        x = nn.silu(self.norm("conv_norm_out")(x))
        return self.conv(2 * c.latent_channels, 3, "conv_out")(x)


class Decoder(_Layer):
    """Latents to pixels.

    With `part` "head" it ends before, and with "tail" it begins with, the doubling that leads into the last two
    resolutions: there most of the memory goes, and every layer but GroupNorm is local.
    """

    @nn.compact
    def __call__(self, x: Float[Array, "b f h w c_in"], part: str = "whole") -> Float[Array, "b f y x c_out"]:
        c = self.config
        last = len(c.block_out_channels) - 1
        cut = first_of_tail(c)
        if part != "tail":
            x = self.conv(c.block_out_channels[-1], 3, "conv_in")(x)
            x = MidBlock(c, name="mid_block")(x)
        for i, features in enumerate(reversed(c.block_out_channels)):
            resnets = part == "whole" or (i > cut if part == "tail" else i <= cut)
            upsample = i < last and (part == "whole" or (i >= cut if part == "tail" else i < cut))
            if resnets or upsample:
                x = UpBlock(c, features, resnets, upsample, name=f"up_blocks_{i}")(x)
        if part == "head":
            return x
        x = nn.silu(self.norm("conv_norm_out")(x))
        return self.conv(c.out_channels, 3, "conv_out")(x)


def first_of_tail(config: VAEConfig) -> int:
    """The up block whose doubling begins the decoder's tail."""
    return max(len(config.block_out_channels) - 3, 0)


class VAE(_Layer):
    """AutoencoderKL. `encode` and `decode` work without the scaling factor: see `to_latents` and
    `to_pixels`."""

    def setup(self) -> None:
        c = self.config
        self.encoder = Encoder(c)
        self.decoder = Decoder(c)
        self.quant_conv = Conv(2 * c.latent_channels, (1, 1), conv_general_dilated=conv1x1, **self.dtypes)
        self.post_quant_conv = Conv(c.latent_channels, (1, 1), conv_general_dilated=conv1x1, **self.dtypes)

    def encode(
        self, pixels: Float[Array, "b f height width in"]
    ) -> tuple[Float[Array, "b f h w latent"], Float[Array, "b f h w latent"]]:
        """Mean and log-variance (clamped to [-30, 20]) of the posterior of pixels in [-1, 1].

        Raises InputError where height or width is no multiple of `config.downscale`.
        """
        height, width = pixels.shape[2:4]
        if height % self.config.downscale or width % self.config.downscale:
            raise InputError(
                f"pixels are {width}x{height} (width x height): both must be multiples of "
                f"{self.config.downscale}, the number of pixels along a latent's side"
            )
        mean, logvar = jnp.split(self.quant_conv(self.encoder(pixels)), 2, axis=-1)
        return mean, jnp.clip(logvar, *LOGVAR_RANGE)

    def decode(self, latents: Float[Array, "b f h w latent"]) -> Float[Array, "b f height width out"]:
        """Pixels, about [-1, 1] but not clipped, of latents."""
        return self.decoder(self.post_quant_conv(latents))

    def decode_head(self, latents: Float[Array, "b f h w latent"]) -> Float[Array, "b f y x c"]:
        """The first part of `decode`, up to the feature map that `decode_tail` goes on with."""
        return self.decoder(self.post_quant_conv(latents), "head")

    def decode_tail(self, x: Float[Array, "b f y x c"]) -> Float[Array, "b f height width out"]:
        """The second part of `decode`."""
        return self.decoder(x, "tail")

    def __call__(self, pixels: Float[Array, "b f height width in"]) -> Float[Array, "b f height width out"]:
        """Reconstruction through the posterior's mean; `init` uses it to reach every parameter."""
        return self.decode(self.encode(pixels)[0])


@partial(jax.jit, static_argnames=("config", "frames_at_once"))
def to_latents(
    params: dict,
    config: VAEConfig,
    pixels: Float[Array, "b f height width in"],
    *,
    key: jax.Array | None = None,
    frames_at_once: int | None = None,
) -> Float[Array, "b f h w latent"]:
    """Scaled latents of pixels in [-1, 1]: the posterior's mean, or a draw from the posterior where `key` is
    given, times `scaling_factor`. `frames_at_once` bounds memory: so many frames are encoded together
    (default: all)."""

    def encode(video):
        return VAE(config).apply({"params": params}, video, method="encode")

    mean, logvar = _per_frame(encode, pixels, frames_at_once)
    latents = mean if key is None else sample_posterior(key, mean, logvar)
    return latents * config.scaling_factor


@partial(jax.jit, static_argnames=("config", "frames_at_once", "tile"))
def to_pixels(
    params: dict,
    config: VAEConfig,
    latents: Float[Array, "b f h w latent"],
    *,
    frames_at_once: int | None = None,
    tile: int | None = None,
) -> Float[Array, "b f height width out"]:
    """Pixels (about [-1, 1], not clipped) of scaled latents.

    `frames_at_once` is as in `to_latents`. With `tile`, frames are decoded one by one in tiles of about so many
    pixels a side, in less memory, several times the time, and with the same result (`jaxanim.models.vae_tiles`).
    Raises InputError for tiles of less than one pixel.
    """
    if tile is not None and tile < 1:
        raise InputError(f"tile is {tile}: give the side of a tile in pixels, or None to decode without tiles")

    def decode(video):
        if tile is not None and max(video.shape[2:4]) * config.downscale > tile:
            return _decode_in_tiles(params, config, video, tile)
        return VAE(config).apply({"params": params}, video, method="decode")

    return _per_frame(decode, latents / config.scaling_factor, frames_at_once if tile is None else 1)


def _decode_in_tiles(params: dict, config: VAEConfig, latents: Float[Array, "1 1 h w latent"], tile: int):
    vae, cut, blocks = VAE(config), first_of_tail(config), len(config.block_out_channels)
    layers = config.layers_per_block + 1
    norms = [("decoder", f"up_blocks_{i}", f"resnets_{j}", f"norm{k}")
             for i in range(cut + 1, blocks) for j in range(layers) for k in (1, 2)]  # fmt: skip
    margin = 1  # of conv_out; then, backwards, two convolutions in each residual block and one after each doubling
    for _ in range(cut + 1, blocks):
        margin = -(-(margin + 2 * layers + 1) // 2)

    def tail(statistics, x):
        inputs = {}

        def normalise(call, args, kwargs, context):
            if not isinstance(context.module, GroupNorm) or context.method_name != "__call__":
                return call(*args, **kwargs)
            path = context.module.path
            (inputs[path],) = args
            return call(*args, statistics=statistics.get(path))

        with nn.intercept_methods(normalise):
            return vae.apply({"params": params}, x, method="decode_tail"), inputs

    x = vae.apply({"params": params}, latents, method="decode_head")
    return run_in_tiles(
        tail,
        x,
        [*norms, ("decoder", "conv_norm_out")],
        config.norm_num_groups,
        most=max(1, tile >> (blocks - 1 - cut)),
        margin=margin,
    )


def sample_posterior(
    key: jax.Array, mean: Float[Array, "*shape"], logvar: Float[Array, "*shape"]
) -> Float[Array, "*shape"]:
    """A draw from the Gaussian of this mean and log-variance."""
    return mean + jnp.exp(0.5 * logvar) * jax.random.normal(key, mean.shape, mean.dtype)


def kl_divergence(mean: Float[Array, "b *rest"], logvar: Float[Array, "b *rest"]) -> Float[Array, " b"]:
    """KL divergence (nats, summed over everything but the first axis) from the posterior to a unit
    Gaussian."""
    terms = 0.5 * (mean**2 + jnp.exp(logvar) - 1.0 - logvar)
    return jnp.sum(terms, axis=range(1, terms.ndim))


def _per_frame(fn: Callable, video: Float[Array, "b f *rest"], frames_at_once: int | None):
    """fn (of a video, to an array or a tuple of arrays) with at most so many frames in one call."""
    frames = rearrange(video, "b f ... -> (b f) 1 ...")
    out = map_chunks(fn, frames, frames_at_once)
    return jax.tree.map(lambda y: rearrange(y, "(b f) 1 ... -> b f ...", b=video.shape[0]), out)
