"""The appearance encoder: a UNet copy whose attention features describe the reference image."""

import dataclasses

import flax.linen as nn
from einops import rearrange
from jaxtyping import Array, Float, Num

from jaxanim.models.parameters import copy_part, shapes_of
from jaxanim.models.readers import reader_sites, stored_by_block
from jaxanim.models.unet_blocks import decode, encode, mid, time_embedding
from jaxanim.models.unet_config import UNetConfig
from jaxanim.nn.layers import Conv

__all__ = ["AppearanceEncoder", "UNetConfig", "encoder_params_from_unet", "keys_and_values"]


class AppearanceEncoder(nn.Module):
    """Appearance encoder (MagicAnimate Sec. 3.2, MagicPose Sec. 4.2): the image UNet, up to its last stored
    feature.

    Call with the reference's clean latents (a video of one frame), the sampler's timesteps and the text.
    `config` is the image UNet's; its `readers` says which blocks store. With `truncated` the last transformer
    of the last up block ends at its norm1, as in MagicAnimate's checkpoint; without it, as in MagicPose's,
    that transformer is whole. Nothing follows it in either.

    Returns the reference tuple: norm1's output [batch, tokens, channels] of each storing block, in the order
    of `jaxanim.models.readers.reader_sites`, for the UNet's `reference`.
    """

    config: UNetConfig
    truncated: bool = True

    @nn.compact
    def __call__(
        self,
        sample: Float[Array, "batch 1 height width in_channels"],
        timesteps: Num[Array, " batch"],
        text: Float[Array, "batch text_tokens text_channels"],
    ) -> tuple[Float[Array, "..."], ...]:
        config = dataclasses.replace(self.config, motion=None, pool_frames=False)
        dtypes = {"dtype": config.dtype, "param_dtype": config.param_dtype}
        stored = stored_by_block(config, None)
        temb = time_embedding(config, timesteps)
        x = Conv(config.block_out_channels[0], (3, 3), padding=1, **dtypes, name="conv_in")(sample)
        x, skips, taken = encode(config, x, temb, text, stored)
        x, more = mid(config, x, temb, text, stored)
        _, last = decode(config, x, skips, temb, text, stored, truncated=self.truncated)
        taken |= more | last
        features = (taken[site.block][f"attentions_{site.index}"]["norm1"] for site in reader_sites(config))
        return tuple(rearrange(feature, "b 1 t c -> b t c") for feature in features)


def encoder_params_from_unet(unet_params: dict, config: UNetConfig, truncated: bool = True) -> dict:
    """First parameters of the appearance encoder: the base UNet's, less what the encoder has not."""
    encoder = AppearanceEncoder(config, truncated)
    tree = shapes_of(encoder, *config.example_inputs())
    return copy_part(tree, unet_params)


def keys_and_values(
    params: dict, config: UNetConfig, features: tuple[Float[Array, "..."], ...]
) -> tuple[tuple[Float[Array, "..."], Float[Array, "..."]], ...]:
    """K_2 and V_2 of MagicPose's Eq. 3, projected by the appearance encoder's own attention.

    Args:
      params: of an encoder without truncation, whose every storing block has an attention.
      features: what it returned.

    Returns:
      (keys, values), each [batch, tokens, channels], for every reader.
    """
    pairs = []
    for site, feature in zip(reader_sites(config), features, strict=True):
        attention = params[site.block][f"attentions_{site.index}"]["transformer_blocks_0"]["attn1"]
        keys, values = (feature @ attention[name]["kernel"].astype(feature.dtype) for name in ("to_k", "to_v"))
        pairs.append((keys, values))
    return tuple(pairs)
