"""Blocks of the Stable Diffusion UNet, in image and in video form.

Every block returns what its layers hand out beside the video, in a dict keyed as their parameters are: norm1's
output in each transformer block, and what the patterns of the attentions had to say.
"""

from typing import Any

import flax.linen as nn
from jaxtyping import Array, Float, Num

from jaxanim.attention.patterns import Patterns, Site
from jaxanim.backend import counting
from jaxanim.models.motion import MotionModule
from jaxanim.models.unet_config import EncoderConfig, UNetConfig
from jaxanim.nn.attention import Stored
from jaxanim.nn.embedding import TimestepEmbedding, timestep_embedding
from jaxanim.nn.resnet import Downsample, ResnetBlock, Upsample
from jaxanim.nn.stack import REMAT
from jaxanim.nn.transformer import Text, Transformer2D

Video = Float[Array, "batch frames height width channels"]
Temb = Float[Array, "temb_batch temb_channels"]
StoredHere = tuple[Stored | None, ...]
"""What each layer of a block reads of a reference; blocks differ in tokens and channels."""
Taken = dict[str, Any]


class DownBlock(nn.Module):
    """Per layer: ResNet, attention, motion module; then a downsampling unless the block is the last.

    Returns the video, its skip connections, and what its layers hand out.
    """

    config: EncoderConfig
    channels: int
    index: int
    attention: bool
    downsample: bool

    @nn.compact
    def __call__(
        self, x: Float[Array, "..."], temb: Temb, text: Text, stored: StoredHere, patterns: Patterns
    ) -> tuple[Float[Array, "..."], list, Taken]:
        skips, taken = [], {}
        for i in range(self.config.layers_per_block):
            site = Site("down", self.index, i, x.shape[2:4])
            x = _resnet(self.config, self.channels, i)(x, temb)
            if self.attention:
                transformer = _transformer(self.config, i)
                x, taken[transformer.name] = transformer(x, text, stored[i], patterns, site)
            x = _motion(self.config, i, x, patterns, site, taken)
            skips.append(x)
        if self.downsample:
            x = Downsample(**_dtypes(self.config), name="downsamplers_0")(x)
            skips.append(x)
        return x, skips, taken


class MidBlock(nn.Module):
    """ResNet, attention, motion module (AnimateDiff v2), ResNet. Returns the video and what its layers hand out."""

    config: EncoderConfig

    @nn.compact
    def __call__(
        self, x: Video, temb: Temb, text: Text, stored: StoredHere, patterns: Patterns
    ) -> tuple[Float[Array, "..."], Taken]:
        taken, site = {}, Site("mid", 0, 0, x.shape[2:4])
        x = _resnet(self.config, x.shape[-1], 0)(x, temb)
        transformer = _transformer(self.config, 0)
        x, taken[transformer.name] = transformer(x, text, stored[0], patterns, site)
        if self.config.motion is not None and self.config.motion.in_mid:
            x = _motion(self.config, 0, x, patterns, site, taken)
        return _resnet(self.config, x.shape[-1], 1)(x, temb), taken


class UpBlock(nn.Module):
    """Per layer: ResNet of x and a skip connection, attention, motion module; then an upsampling to `size` (height,
    width) unless that is None.

    With `truncated` the last transformer ends at norm1, as in MagicAnimate's appearance encoder.
    Returns the video and what its layers hand out.
    """

    config: EncoderConfig
    channels: int
    index: int
    attention: bool
    size: tuple[int, int] | None
    truncated: bool = False

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "..."],
        skips: list,
        temb: Temb,
        text: Text,
        stored: StoredHere,
        patterns: Patterns,
    ) -> tuple[Float[Array, "..."], Taken]:
        taken: Taken = {}
        layers = self.config.layers_per_block + 1
        for i in range(layers):
            site = Site("up", self.index, i, x.shape[2:4])
            x = _resnet(self.config, self.channels, i)(x, temb, skips[-1 - i])
            if self.attention:
                transformer = _transformer(self.config, i, only_norm1=self.truncated and i == layers - 1)
                x, taken[transformer.name] = transformer(x, text, stored[i], patterns, site)
            x = _motion(self.config, i, x, patterns, site, taken)
        if self.size is not None:
            x = Upsample(**_dtypes(self.config), name="upsamplers_0")(x, self.size)
        return x, taken


def time_embedding(config: EncoderConfig, timesteps: Num[Array, " batch"]) -> Float[Array, "batch temb_channels"]:
    """Embedded timesteps, for the compact method of a UNet or ControlNet."""
    width = config.block_out_channels[0]
    return TimestepEmbedding(4 * width, **_dtypes(config), name="time_embedding")(
        timestep_embedding(timesteps, width)
    )


def rematerialised(block: type[nn.Module], config: EncoderConfig) -> type[nn.Module]:
    """The block's class, of which the backward pass finds stored what the config's `remat` names."""
    policy = REMAT[config.remat if isinstance(config.remat, str) else "full" if config.remat else "none"]
    return block if policy is None or counting() else nn.remat(block, policy=policy)


def encode(
    config: EncoderConfig,
    x: Video,
    temb: Temb,
    text: Text,
    stored: dict[str, StoredHere],
    patterns: Patterns = Patterns(),
) -> tuple[Float[Array, "..."], list, Taken]:
    """All down blocks, for the compact method of a UNet or ControlNet: x is conv_in's output.

    Returns the last block's output, the skip connections (x first) and, by block name, what the blocks hand out.
    """
    skips, taken = [x], {}
    block = rematerialised(DownBlock, config)
    last = len(config.block_out_channels) - 1
    for i, (width, kind) in enumerate(zip(config.block_out_channels, config.down_block_types, strict=True)):
        name, attention = f"down_blocks_{i}", kind == "CrossAttnDownBlock2D"
        layers = block(config, width, i, attention, i < last, name=name)
        x, more, taken[name] = layers(x, temb, text, stored[name], patterns)
        skips.extend(more)
    return x, skips, taken


def mid(
    config: EncoderConfig,
    x: Video,
    temb: Temb,
    text: Text,
    stored: dict[str, StoredHere],
    patterns: Patterns = Patterns(),
) -> tuple[Float[Array, "..."], Taken]:
    """The mid block, for the compact method of a UNet or ControlNet."""
    block = rematerialised(MidBlock, config)
    x, taken = block(config, name="mid_block")(x, temb, text, stored["mid_block"], patterns)
    return x, {"mid_block": taken}


def decode(
    config: UNetConfig,
    x: Video,
    skips: list,
    temb: Temb,
    text: Text,
    stored: dict[str, StoredHere],
    patterns: Patterns = Patterns(),
    truncated: bool = False,
) -> tuple[Float[Array, "..."], Taken]:
    """All up blocks, for the compact method of a UNet or appearance encoder.

    Returns the last block's output and, by block name, what the blocks hand out.
    """
    skips, taken = list(skips), {}
    block = rematerialised(UpBlock, config)
    widths = config.block_out_channels[::-1]
    for i, (width, kind) in enumerate(zip(widths, config.up_block_types, strict=True)):
        name, last = f"up_blocks_{i}", i == len(widths) - 1
        own = [skips.pop() for _ in range(config.layers_per_block + 1)][::-1]
        size = None if last else skips[-1].shape[2:4]
        layers = block(config, width, i, kind == "CrossAttnUpBlock2D", size, truncated and last, name=name)
        x, taken[name] = layers(x, own, temb, text, stored[name], patterns)
    return x, taken


def _dtypes(config: EncoderConfig) -> dict:
    return {"dtype": config.dtype, "param_dtype": config.param_dtype}


def _resnet(config: EncoderConfig, channels: int, i: int) -> ResnetBlock:
    return ResnetBlock(
        channels,
        config.norm_num_groups,
        config.norm_eps,
        config.pool_frames,
        **_dtypes(config),
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


def _motion(config: EncoderConfig, i: int, x: Video, patterns: Patterns, site: Site, taken: Taken) -> Video:
    """x through a motion module if there are any; what it hands out joins `taken`."""
    if config.motion is None:
        return x
    module = MotionModule(config.motion, config.attention_kernel, **_dtypes(config), name=f"motion_modules_{i}")
    x, taken[module.name] = module(x, patterns, site)
    return x
