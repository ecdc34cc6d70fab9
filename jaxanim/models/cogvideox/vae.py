"""CogVideoX's causal video autoencoder (Yang et al. 2024, Sec. 2.1): diffusers' AutoencoderKLCogVideoX.

These are the networks for one chunk of a video; `jaxanim.models.cogvideox.chunks` runs them over a whole one.
"""

from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from einops import reduce, repeat
from jaxtyping import Array, Float

from jaxanim.mesh import constrain_batch
from jaxanim.models.cogvideox.causal import CausalConv, Frames, History, Past
from jaxanim.models.network import Network, example
from jaxanim.nn.conv import conv3x3, doubled_conv3x3
from jaxanim.nn.layers import Conv, Module
from jaxanim.nn.matmul import matmul
from jaxanim.nn.norm import GroupNorm
from jaxanim.stored import register_config

EPSILON = 1e-6


@register_config
@dataclass(frozen=True, kw_only=True)
class CogVideoXVAEConfig:
    """Sizes of the autoencoder, diffusers' field names; the defaults are CogVideoX1.5-5B-I2V's.

    Attributes:
      temporal_compression_ratio: frames of a latent frame, but for the first, which stands for one.
      scaling_factor: latents are multiplied by it for the transformer.
      invert_scale_latents: the released 1.5 image model's image latents are divided by it instead.
    """

    in_channels: int = 3
    out_channels: int = 3
    latent_channels: int = 16
    block_out_channels: tuple[int, ...] = (128, 256, 256, 512)
    layers_per_block: int = 3
    norm_num_groups: int = 32
    temporal_compression_ratio: int = 4
    scaling_factor: float = 0.7
    invert_scale_latents: bool = True
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @property
    def downscale(self) -> int:
        """Pixels per latent cell along each side."""
        return 2 ** (len(self.block_out_channels) - 1)

    @property
    def temporal_levels(self) -> int:
        """How many of the resolutions halve the number of frames too."""
        return self.temporal_compression_ratio.bit_length() - 1

    def network(self, role: str) -> Network:
        """See `jaxanim.models.network.NetworkConfig`."""
        return Network(CogVideoXVAE(self), (example(1, 1, self.downscale, self.downscale, self.in_channels),))


class VAELayer(Module):
    """A module that reads its sizes from the config, and makes the layers that both halves use."""

    config: CogVideoXVAEConfig

    @property
    def dtypes(self) -> dict:
        return {"dtype": self.config.dtype, "param_dtype": self.config.param_dtype}

    def causal(self, features: int, name: str) -> CausalConv:
        return CausalConv(features, name=name, **self.dtypes)

    def norm(self, name: str) -> GroupNorm:
        """Over all frames of the chunk."""
        return GroupNorm(self.config.norm_num_groups, EPSILON, pool_frames=True, name=name, **self.dtypes)


def interpolate(z: Float[Array, "batch latents rows columns channels"], frames: int, doublings: int) -> Frames:
    """Latents repeated to a feature map of so many frames; an odd one out in front stays alone."""
    z = repeat(z, "b f h w c -> b f (h p) (w q) c", p=2**doublings, q=2**doublings)
    alone = frames % 2 if frames > 1 else 0
    times = (frames - alone) // (z.shape[1] - alone)
    return jnp.concatenate([z[:, :alone], jnp.repeat(z[:, alone:], times, axis=1)], axis=1)


class PointConv(VAELayer):
    """A 1x1x1 convolution under the name of a causal one."""

    features: int

    @nn.compact
    def __call__(self, x: Frames) -> Float[Array, "batch frames height width features"]:
        return Conv(self.features, (1, 1, 1), conv_general_dilated=point, name="conv", **self.dtypes)(x)


def point(x: Frames, kernel: Float[Array, "1 1 1 channels features"], strides, padding, **options) -> Array:
    """1x1x1 convolution as one matrix product."""
    return matmul(x, kernel[0, 0, 0], options.get("precision"))


class SpatialNorm(VAELayer):
    """Group normalisation, scaled and shifted by the latents at the same place (Zheng et al. 2022, Eq. 5).

    Without latents it is group normalisation alone, which the encoder has.
    """

    @nn.compact
    def __call__(self, x: Frames, z: Float[Array, "batch latents rows columns latent"]) -> Frames:
        # A projection of each latent by itself: the same before it is repeated as after, and less to do.
        doublings = (x.shape[2] // z.shape[2]).bit_length() - 1
        scale, shift = (
            interpolate(PointConv(self.config, x.shape[-1], name=name)(z), x.shape[1], doublings)
            for name in ("conv_y", "conv_b")
        )
        return self.norm("norm_layer")(x) * scale + shift


class ResnetBlock(VAELayer):
    """Norm, SiLU, causal convolution, twice, with a shortcut; the decoder's norms read the latents `z`."""

    features: int

    @nn.compact
    def __call__(
        self, x: Frames, z: Float[Array, "batch latents rows columns latent"] | None, history: History
    ) -> Float[Array, "batch frames height width features"]:
        h = x
        for i in (1, 2):
            name = f"norm{i}"
            h = self.norm(name)(h) if z is None else SpatialNorm(self.config, name=name)(h, z)
            h = self.causal(self.features, f"conv{i}")(nn.silu(h), history)
        if x.shape[-1] != self.features:
            x = Conv(self.features, (1, 1, 1), conv_general_dilated=point, name="conv_shortcut", **self.dtypes)(x)
        return constrain_batch(x + h, frames=False)


class Downsample(VAELayer):
    """Half the height and width and, with `time`, the mean of every two frames but an odd one in front."""

    time: bool

    @nn.compact
    def __call__(self, x: Frames) -> Float[Array, "batch half rows columns channels"]:
        if self.time:
            alone = x.shape[1] % 2
            x = jnp.concatenate([x[:, :alone], reduce(x[:, alone:], "b (f t) h w c -> b f h w c", "mean", t=2)], 1)
        conv = Conv(
            x.shape[-1], (3, 3), strides=(2, 2), padding=((0, 1), (0, 1)), conv_general_dilated=conv3x3,
            name="conv", **self.dtypes,
        )  # fmt: skip
        return conv(x)


class Upsample(VAELayer):
    """Twice the height and width and, with `time`, every frame twice but an odd one in front."""

    time: bool

    @nn.compact
    def __call__(self, x: Frames) -> Float[Array, "batch double rows columns channels"]:
        conv = Conv(
            x.shape[-1], (3, 3), padding=1, conv_general_dilated=doubled_conv3x3, name="conv", **self.dtypes
        )
        if not self.time or x.shape[1] == 1:
            return conv(x)
        alone = x.shape[1] % 2
        # Frames are convolved by themselves: each once, then twice in a row.
        y = conv(x)
        return jnp.concatenate([y[:, :alone], jnp.repeat(y[:, alone:], 2, axis=1)], axis=1)


class Level(VAELayer):
    """The residual blocks of one resolution, and the way to the next."""

    features: int
    blocks: int
    time: bool = False
    down: bool = False
    up: bool = False

    @nn.compact
    def __call__(
        self, x: Frames, z: Float[Array, "batch latents rows columns latent"] | None, history: History
    ) -> Float[Array, "batch out_frames out_rows out_columns features"]:
        for i in range(self.blocks):
            x = ResnetBlock(self.config, self.features, name=f"resnets_{i}")(x, z, history)
        if self.down:
            x = Downsample(self.config, self.time, name="downsamplers_0")(x)
        return Upsample(self.config, self.time, name="upsamplers_0")(x) if self.up else x


class Encoder(VAELayer):
    """The posterior's mean and log-variance, on the channels, of a chunk of frames; and the past of the next."""

    @nn.compact
    def __call__(
        self, x: Frames, past: Past | None
    ) -> tuple[Float[Array, "batch latents rows columns moments"], Past]:
        c, history, last = self.config, History(past), len(self.config.block_out_channels) - 1
        x = self.causal(c.block_out_channels[0], "conv_in")(x, history)
        for i, width in enumerate(c.block_out_channels):
            level = Level(
                c, width, c.layers_per_block, time=i < c.temporal_levels, down=i < last, name=f"down_blocks_{i}"
            )
            x = level(x, None, history)
        x = Level(c, c.block_out_channels[-1], 2, name="mid_block")(x, None, history)
        x = self.causal(2 * c.latent_channels, "conv_out")(nn.silu(self.norm("norm_out")(x)), history)
        return x, history.new


class Decoder(VAELayer):
    """The frames of a chunk of latents; and the past of the next."""

    @nn.compact
    def __call__(
        self, z: Float[Array, "batch latents rows columns latent"], past: Past | None
    ) -> tuple[Frames, Past]:
        c, history, last = self.config, History(past), len(self.config.block_out_channels) - 1
        x = self.causal(c.block_out_channels[-1], "conv_in")(z, history)
        x = Level(c, c.block_out_channels[-1], 2, name="mid_block")(x, z, history)
        for i, width in enumerate(reversed(c.block_out_channels)):
            level = Level(
                c, width, c.layers_per_block + 1, time=i < c.temporal_levels, up=i < last, name=f"up_blocks_{i}"
            )
            x = level(x, z, history)
        x = nn.silu(SpatialNorm(c, name="norm_out")(x, z))
        return self.causal(c.out_channels, "conv_out")(x, history), history.new


class CogVideoXVAE(VAELayer):
    """Both halves; a call reconstructs one chunk through the posterior's mean, so that `init` reaches all."""

    def setup(self):
        self.encoder = Encoder(self.config)
        self.decoder = Decoder(self.config)

    def encode_chunk(self, x: Frames, past: Past | None) -> tuple[Array, Past]:
        """See `Encoder`."""
        return self.encoder(x, past)

    def decode_chunk(self, z: Frames, past: Past | None) -> tuple[Array, Past]:
        """See `Decoder`."""
        return self.decoder(z, past)

    def __call__(self, x: Frames) -> Array:
        moments, _ = self.encoder(x, None)
        return self.decoder(moments[..., : self.config.latent_channels], None)[0]
