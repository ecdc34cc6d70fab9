"""ControlNet: the trainable copy of a UNet's encoder that turns a condition into residuals."""

import dataclasses
import itertools

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, Num

from jaxanim.errors import InputError
from jaxanim.models.parameters import copy_part, shapes_of
from jaxanim.models.readers import no_reference
from jaxanim.models.unet_blocks import encode, mid, time_embedding
from jaxanim.models.unet_config import ControlNetConfig, EncoderConfig, UNetConfig
from jaxanim.nn.conv import conv1x1
from jaxanim.nn.layers import Conv

__all__ = ["ControlNet", "ControlNetConfig", "controlnet_config", "controlnet_params_from_unet"]


class ConditioningEmbedding(nn.Module):
    """Small convolutional network from condition pixels to features at the latents' resolution; its last
    convolution is zero at first (Zhang et al. 2023, Sec. 3.2)."""

    config: ControlNetConfig

    @nn.compact
    def __call__(
        self, cond: Float[Array, "batch frames pixel_height pixel_width cond_channels"]
    ) -> Float[Array, "batch frames height width channels"]:
        widths = self.config.conditioning_embedding_out_channels
        dtypes = {"dtype": self.config.dtype, "param_dtype": self.config.param_dtype, "padding": 1}
        x = nn.silu(Conv(widths[0], (3, 3), **dtypes, name="conv_in")(cond))
        for i, (width, wider) in enumerate(itertools.pairwise(widths)):
            x = nn.silu(Conv(width, (3, 3), **dtypes, name=f"blocks_{2 * i}")(x))
            x = nn.silu(Conv(wider, (3, 3), strides=2, **dtypes, name=f"blocks_{2 * i + 1}")(x))
        return Conv(
            self.config.block_out_channels[0],
            (3, 3),
            kernel_init=nn.initializers.zeros,
            **dtypes,
            name="conv_out",
        )(x)


class ControlNet(nn.Module):
    """ControlNet (Zhang et al. 2023), run on each frame by itself.

    Call with the UNet's sample, timesteps and text, and either `cond`, the condition's pixels in [0, 1], or
    `cond_embedding`, what `embed` made of them (once per video). `scale` multiplies every residual.

    Returns (down_residuals, mid_residual) for the UNet; zero at first, for the last convolutions are.
    Raises InputError when not exactly one of cond and cond_embedding is given, or it does not fit the sample.
    """

    config: ControlNetConfig

    def setup(self):
        self.controlnet_cond_embedding = ConditioningEmbedding(self.config)

    def embed(
        self, cond: Float[Array, "batch frames pixel_height pixel_width cond_channels"]
    ) -> Float[Array, "batch frames height width channels"]:
        """The condition's embedding, to be given to calls as `cond_embedding`."""
        return self.controlnet_cond_embedding(cond)

    @nn.compact
    def __call__(
        self,
        sample: Float[Array, "batch frames height width in_channels"],
        timesteps: Num[Array, " batch"],
        text: Float[Array, "text_batch *text_frames text_tokens text_channels"],
        cond: Float[Array, "batch frames pixel_height pixel_width cond_channels"] | None = None,
        *,
        cond_embedding: Float[Array, "..."] | None = None,
        scale: float | Float[Array, ""] = 1.0,
    ) -> tuple[tuple[Float[Array, "..."], ...], Float[Array, "..."]]:
        config = self.config
        if (cond is None) == (cond_embedding is None):
            raise InputError("ControlNet takes cond or cond_embedding: one of the two should be None")
        if cond_embedding is None:
            cond_embedding = self.embed(cond)
        dtypes = {"dtype": config.dtype, "param_dtype": config.param_dtype}
        temb = time_embedding(config, timesteps)
        x = Conv(config.block_out_channels[0], (3, 3), padding=1, **dtypes, name="conv_in")(sample)
        if x.shape != cond_embedding.shape:
            raise InputError(
                f"the condition's embedding has shape {cond_embedding.shape}; it should have {x.shape}"
            )
        nothing = no_reference(config)
        x, skips, _ = encode(config, x + cond_embedding, temb, text, nothing)
        x, _ = mid(config, x, temb, text, nothing)
        down = tuple(_zero_conv(config, f"controlnet_down_blocks_{i}", h) * scale for i, h in enumerate(skips))
        return down, _zero_conv(config, "controlnet_mid_block", x) * scale


def _zero_conv(config: ControlNetConfig, name: str, x: Float[Array, "..."]) -> Float[Array, "..."]:
    return Conv(
        x.shape[-1],
        (1, 1),
        conv_general_dilated=conv1x1,
        kernel_init=nn.initializers.zeros,
        dtype=config.dtype,
        param_dtype=config.param_dtype,
        name=name,
    )(x)


def controlnet_config(unet: UNetConfig, **changes) -> ControlNetConfig:
    """The config of a plain ControlNet (no motion modules, normalised per frame) for the UNet `unet`."""
    shared = {field.name: getattr(unet, field.name) for field in dataclasses.fields(EncoderConfig)}
    return ControlNetConfig(**shared | {"motion": None, "pool_frames": False} | changes)


def controlnet_params_from_unet(key: Key[Array, ""], unet_params: dict, config: ControlNetConfig) -> dict:
    """First parameters of a ControlNet: the UNet's encoder copied, zero convolutions and embedding fresh.

    Motion modules of the UNet are left out where the ControlNet has none.
    """
    sample, timesteps, text = config.example_inputs()
    shrink = 2 ** (len(config.conditioning_embedding_out_channels) - 1)
    height, width = (shrink * side for side in sample.shape[2:4])
    cond = jax.ShapeDtypeStruct((1, 1, height, width, config.conditioning_channels), jnp.float32)

    def fresh(key):
        params = ControlNet(config).lazy_init(key, sample, timesteps, text, cond)["params"]
        return {name: value for name, value in params.items() if name.startswith("controlnet_")}

    tree = shapes_of(ControlNet(config), sample, timesteps, text, cond)
    copied = {name: value for name, value in tree.items() if not name.startswith("controlnet_")}
    return copy_part(copied, unet_params) | jax.jit(fresh)(key)
