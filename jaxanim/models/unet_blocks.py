"""Blocks of the Stable Diffusion UNet, in image and in video form."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Num

from jaxanim.models.motion import MotionModule
from jaxanim.models.readers import Stored
from jaxanim.models.unet_config import EncoderConfig, UNetConfig
from jaxanim.nn.embedding import TimestepEmbedding, timestep_embedding
from jaxanim.nn.resnet import Downsample, ResnetBlock, Upsample
from jaxanim.nn.transformer import Transformer2D

Video = Float[Array, "batch frames height width channels"]
Temb = Float[Array, "batch temb_channels"]
Text = Float[Array, "batch text_tokens text_channels"]
Normed = Float[Array, "batch frames tokens channels"]
StoredHere = tuple[Stored | None, ...]
"""What each layer of a block reads of a reference; blocks differ in tokens and channels."""


class DownBlock(nn.Module):
    """Per layer: ResNet, attention, motion module; then a downsampling unless the block is the last.

    Returns the video, its skip connections, and the transformer blocks' norm1 outputs.
    """

    config: EncoderConfig
    channels: int
    attention: bool
    downsample: bool

    @nn.compact
    def __call__(
        self, x: Float[Array, "..."], temb: Temb, text: Text, stored: StoredHere
    ) -> tuple[Float[Array, "..."], list, list]:
        skips, normed = [], []
        for i in range(self.config.layers_per_block):
            x = _resnet(self.config, self.channels, i)(x, temb)
            if self.attention:
                x, features = _transformer(self.config, i)(x, text, stored[i])
                normed.append(features)
            x = _motion(self.config, i, x)
            skips.append(x)
        if self.downsample:
            x = Downsample(**_dtypes(self.config), name="downsamplers_0")(x)
            skips.append(x)
        return x, skips, normed


class MidBlock(nn.Module):
    """ResNet, attention, motion module (AnimateDiff v2), ResNet. Returns the video and norm1's output."""

    config: EncoderConfig

    @nn.compact
    def __call__(self, x: Video, temb: Temb, text: Text, stored: StoredHere) -> tuple[Video, list[Normed]]:
        x = _resnet(self.config, x.shape[-1], 0)(x, temb)
        x, features = _transformer(self.config, 0)(x, text, stored[0])
        if self.config.motion is not None and self.config.motion.in_mid:
            x = _motion(self.config, 0, x)
        return _resnet(self.config, x.shape[-1], 1)(x, temb), [features]


class UpBlock(nn.Module):
    """Per layer: concatenated skip connection, ResNet, attention, motion module; then an upsampling to
    `size` (height, width) unless that is None.

    With `truncated` the last transformer ends at norm1, as in MagicAnimate's appearance encoder. A batch may hold
    several guidance `branches` that share the skip connections, which then have one branch's batch.
    Returns the video and the transformer blocks' norm1 outputs.
    """

    config: EncoderConfig
    channels: int
    attention: bool
    size: tuple[int, int] | None
    truncated: bool = False
    branches: int = 1

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "..."],
        skips: list,
        temb: Temb,
        text: Text,
        stored: StoredHere,
    ) -> tuple[Float[Array, "..."], list]:
        normed = []
        layers = self.config.layers_per_block + 1
        for i in range(layers):
            own, skip = x.shape[-1], jnp.tile(skips[-1 - i], (self.branches, 1, 1, 1, 1))
            x = jnp.concatenate([x, skip], axis=-1)
            x = _resnet(self.config, self.channels, i, branches=self.branches, own=own)(x, temb)
            if self.attention:
                last = self.truncated and i == layers - 1
                x, features = _transformer(self.config, i, only_norm1=last)(x, text, stored[i])
                normed.append(features)
            x = _motion(self.config, i, x)
        if self.size is not None:
            x = Upsample(**_dtypes(self.config), name="upsamplers_0")(x, self.size)
        return x, normed


def time_embedding(config: EncoderConfig, timesteps: Num[Array, " batch"]) -> Float[Array, "batch temb_channels"]:
    """Embedded timesteps, for the compact method of a UNet or ControlNet."""
    width = config.block_out_channels[0]
    return TimestepEmbedding(4 * width, **_dtypes(config), name="time_embedding")(
        timestep_embedding(timesteps, width)
    )


def encode(
    config: EncoderConfig, x: Video, temb: Temb, text: Text, stored: dict[str, tuple]
) -> tuple[Float[Array, "..."], list, dict[str, list]]:
    """All down blocks, for the compact method of a UNet or ControlNet: x is conv_in's output.

    Returns the last block's output, the skip connections (x first) and norm1 outputs by block name.
    """
    skips, normed = [x], {}
    block = nn.remat(DownBlock) if config.remat else DownBlock
    last = len(config.block_out_channels) - 1
    for i, (width, kind) in enumerate(zip(config.block_out_channels, config.down_block_types, strict=True)):
        name, attention = f"down_blocks_{i}", kind == "CrossAttnDownBlock2D"
        x, more, normed[name] = block(config, width, attention, i < last, name=name)(x, temb, text, stored[name])
        skips.extend(more)
    return x, skips, normed


def mid(
    config: EncoderConfig, x: Video, temb: Temb, text: Text, stored: dict[str, tuple]
) -> tuple[Video, list[Normed]]:
    """The mid block, for the compact method of a UNet or ControlNet."""
    block = nn.remat(MidBlock) if config.remat else MidBlock
    return block(config, name="mid_block")(x, temb, text, stored["mid_block"])


def decode(
    config: UNetConfig,
    x: Video,
    skips: list,
    temb: Temb,
    text: Text,
    stored: dict[str, tuple],
    truncated: bool = False,
    branches: int = 1,
) -> tuple[Float[Array, "..."], dict[str, list]]:
    """All up blocks, for the compact method of a UNet or appearance encoder; `branches` as in UpBlock.

    Returns the last block's output and the norm1 outputs by block name.
    """
    skips, normed = list(skips), {}
    block = nn.remat(UpBlock) if config.remat else UpBlock
    widths = config.block_out_channels[::-1]
    for i, (width, kind) in enumerate(zip(widths, config.up_block_types, strict=True)):
        name, last = f"up_blocks_{i}", i == len(widths) - 1
        own = [skips.pop() for _ in range(config.layers_per_block + 1)][::-1]
        size = None if last else skips[-1].shape[2:4]
        layers = block(config, width, kind == "CrossAttnUpBlock2D", size, truncated and last, branches, name=name)
        x, normed[name] = layers(x, own, temb, text, stored[name])
    return x, normed


def _dtypes(config: EncoderConfig) -> dict:
    return {"dtype": config.dtype, "param_dtype": config.param_dtype}


def _resnet(config: EncoderConfig, channels: int, i: int, **shared: int) -> ResnetBlock:
    return ResnetBlock(
        channels,
        config.norm_num_groups,
        config.norm_eps,
        config.pool_frames,
        **_dtypes(config),
        **shared,
        name=f"resnets_{i}",
    )


def _transformer(config: EncoderConfig, i: int, only_norm1: bool = False) -> Transformer2D:
    return Transformer2D(
        config.num_attention_heads,
        config.norm_num_groups,
        only_norm1,
        config.attention_kernel,
        **_dtypes(config),
        name=f"attentions_{i}",
    )


def _motion(config: EncoderConfig, i: int, x: Video) -> Video:
    if config.motion is None:
        return x
    return MotionModule(config.motion, config.attention_kernel, **_dtypes(config), name=f"motion_modules_{i}")(x)
