"""Configs of the Stable Diffusion 1.5 family: UNet, motion modules, ControlNet. Defaults are SD1.5's."""

from dataclasses import dataclass, replace

import jax
from jax.typing import DTypeLike

from jaxanim.errors import InputError
from jaxanim.models.network import Network, example
from jaxanim.nn.stack import check_remat
from jaxanim.stored import register_config

DOWN_BLOCKS = ("CrossAttnDownBlock2D", "DownBlock2D")
UP_BLOCKS = ("CrossAttnUpBlock2D", "UpBlock2D")


@register_config
@dataclass(frozen=True)
class MotionConfig:
    """Motion modules of AnimateDiff (Guo et al. 2023) and MagicAnimate (Sec. 3.1).

    Attributes:
      heads: attention heads.
      layers_per_block: transformer blocks in one module.
      max_frames: length of the position encoding, so the longest window.
      in_mid: one more module in the mid block (AnimateDiff v2).
      norm_num_groups: groups of the module's GroupNorm.
      pool_frames: statistics of that GroupNorm over all frames; the released AnimateDiff and MagicAnimate
        take them per frame, diffusers over all frames.
    """

    heads: int = 8
    layers_per_block: int = 1
    max_frames: int = 24
    in_mid: bool = False
    norm_num_groups: int = 32
    pool_frames: bool = False


ANIMATEDIFF_V1 = MotionConfig(max_frames=24)
ANIMATEDIFF_V2 = MotionConfig(max_frames=32, in_mid=True)
ANIMATEDIFF_V3 = MotionConfig(max_frames=32)
MAGICANIMATE = MotionConfig(max_frames=24)


@dataclass(frozen=True)
class EncoderConfig:
    """What UNet and ControlNet share: the down half and the mid block. Names as in diffusers.

    Attributes:
      motion: motion modules after each ResNet (and attention); None for the image network.
      pool_frames: GroupNorm of the ResNets (and conv_norm_out) over all frames of the window: AnimateDiff v1
        and MagicAnimate. AnimateDiff v2, v3 and every image network normalise per frame.
      attention_kernel: kernel asked of `jaxanim.attention` ("auto" chooses).
      dtype, param_dtype: of computation and of parameters.
      remat: what a training step keeps of each block (`jaxanim.nn.stack.REMAT`); True is "full", False "none".
    """

    in_channels: int = 4
    block_out_channels: tuple[int, ...] = (320, 640, 1280, 1280)
    layers_per_block: int = 2
    cross_attention_dim: int = 768
    num_attention_heads: int = 8
    down_block_types: tuple[str, ...] = (
        "CrossAttnDownBlock2D",
        "CrossAttnDownBlock2D",
        "CrossAttnDownBlock2D",
        "DownBlock2D",
    )
    norm_num_groups: int = 32
    norm_eps: float = 1e-5
    motion: MotionConfig | None = None
    pool_frames: bool = False
    attention_kernel: str = "auto"
    dtype: DTypeLike = "float32"
    param_dtype: DTypeLike = "float32"
    remat: bool | str = False

    def __post_init__(self):
        _check_types("down_block_types", self.down_block_types, DOWN_BLOCKS, len(self.block_out_channels))
        if isinstance(self.remat, str):
            check_remat(self.remat)
        for width in self.block_out_channels:
            for name in ("norm_num_groups", "num_attention_heads"):
                if width % getattr(self, name):
                    raise InputError(
                        f"{name} is {getattr(self, name)}; it should divide every width in "
                        f"block_out_channels {self.block_out_channels}"
                    )

    def example_inputs(self) -> tuple[jax.ShapeDtypeStruct, ...]:
        """Shapes of a small sample, timesteps and text."""
        side = 2 ** (len(self.block_out_channels) - 1)
        return example(1, 1, side, side, self.in_channels), example(1), example(1, 1, self.cross_attention_dim)


@register_config
@dataclass(frozen=True)
class UNetConfig(EncoderConfig):
    """Stable Diffusion's UNet.

    Attributes:
      readers: transformer blocks that store or read reference features: "mid_up" (MagicAnimate, 10 of 16) or
        "all" (MagicPose).
    """

    out_channels: int = 4
    up_block_types: tuple[str, ...] = (
        "UpBlock2D",
        "CrossAttnUpBlock2D",
        "CrossAttnUpBlock2D",
        "CrossAttnUpBlock2D",
    )
    readers: str = "mid_up"

    def __post_init__(self):
        super().__post_init__()
        _check_types("up_block_types", self.up_block_types, UP_BLOCKS, len(self.block_out_channels))
        if self.readers not in ("mid_up", "all"):
            raise InputError(f"readers is {self.readers!r}; it should be 'mid_up' or 'all'")

    def network(self, role: str) -> Network:
        """See `jaxanim.models.network.NetworkConfig`."""
        from jaxanim.models.appearance import AppearanceEncoder
        from jaxanim.models.motion import split_motion
        from jaxanim.models.unet import UNet

        inputs = self.example_inputs()
        if role in ("appearance_encoder", "appearance_model"):  # MagicAnimate's ends with its last reader
            return Network(AppearanceEncoder(self, truncated=role == "appearance_encoder"), inputs)
        if role == "motion":  # the motion modules, and nothing else of the UNet
            return Network(UNet(self), inputs, lambda params: split_motion(params)[1])
        return Network(UNet(self), inputs)


def image_form(unet: UNetConfig) -> UNetConfig:
    """The image model of a video UNet: no temporal layers, every frame normalised by itself."""
    return replace(unet, motion=None, pool_frames=False)


@register_config
@dataclass(frozen=True)
class ControlNetConfig(EncoderConfig):
    """ControlNet (Zhang et al. 2023) for a UNet of the same encoder fields.

    Attributes:
      conditioning_channels: channels of the condition image.
      conditioning_embedding_out_channels: widths of the condition's embedding; each step to the next halves
        the resolution, so four widths bring pixels to latents of an eighth.
    """

    conditioning_channels: int = 3
    conditioning_embedding_out_channels: tuple[int, ...] = (16, 32, 96, 256)

    def network(self, role: str) -> Network:
        """See `jaxanim.models.network.NetworkConfig`."""
        from jaxanim.models.controlnet import ControlNet

        inputs = self.example_inputs()
        side = inputs[0].shape[2] * 2 ** (len(self.conditioning_embedding_out_channels) - 1)
        return Network(ControlNet(self), (*inputs, example(1, 1, side, side, self.conditioning_channels)))


def _check_types(name: str, types: tuple[str, ...], known: tuple[str, ...], count: int) -> None:
    if len(types) != count or any(t not in known for t in types):
        raise InputError(f"{name} is {types}; it should be {count} (one per block_out_channels) out of {known}")
