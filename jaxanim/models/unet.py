"""Stable Diffusion 1.5's UNet, for images and (with motion modules) videos."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Num

from jaxanim.errors import InputError
from jaxanim.models.readers import Stored, stored_by_block
from jaxanim.models.unet_blocks import decode, encode, mid, time_embedding
from jaxanim.models.unet_config import MotionConfig, UNetConfig
from jaxanim.nn.layers import Conv
from jaxanim.nn.norm import GroupNorm

__all__ = ["MotionConfig", "UNet", "UNetConfig"]


class UNet(nn.Module):
    """Denoising UNet (Rombach et al. 2022) over [batch, frames, height, width, channels] latents.

    Call with
      sample: noisy latents; height and width of any size (see Upsample).
      timesteps: one per entry.
      text: text features, shared by an entry's frames.
      down_residuals, mid_residual: a ControlNet's; added to the skip connections and to the mid block's
        output. Their batch may be a divisor of the sample's: they then repeat, once per guidance branch.
      reference: an appearance encoder's features [ref_batch, tokens, channels], in the order of
        `jaxanim.models.readers.reader_sites`, or pairs of keys and values that it projected itself; they
        belong to the last ref_batch entries, and the entries before them use plain self-attention (the batch
        is [uncond, cond]).
      with_plain: also predict without the reference, [plain, with reference] stacked on the batch axis, as
        guidance needs. The down blocks, which read no reference, are computed once for both, and so is what the
        up blocks' first convolutions make of the skip connections.

    Returns the prediction [batch, frames, height, width, out_channels] (twice the batch with `with_plain`).
    Raises InputError for residuals or references that do not fit the network.
    """

    config: UNetConfig

    @nn.compact
    def __call__(
        self,
        sample: Float[Array, "batch frames height width in_channels"],
        timesteps: Num[Array, " batch"],
        text: Float[Array, "batch text_tokens text_channels"],
        *,
        down_residuals: tuple[Float[Array, "..."], ...] | None = None,
        mid_residual: Float[Array, "..."] | None = None,
        reference: tuple[Stored, ...] | None = None,
        with_plain: bool = False,
    ) -> Float[Array, "out_batch frames height width out_channels"]:
        config = self.config
        dtypes = {"dtype": config.dtype, "param_dtype": config.param_dtype}
        stored = stored_by_block(config, reference)
        temb = time_embedding(config, timesteps)
        x = Conv(config.block_out_channels[0], (3, 3), padding=1, **dtypes, name="conv_in")(sample)
        x, skips, _ = encode(config, x, temb, text, stored)
        if down_residuals is not None:
            if len(down_residuals) != len(skips):
                raise InputError(f"down_residuals has {len(down_residuals)} entries; it should have {len(skips)}")
            skips = [_add(skip, r, "down_residuals") for skip, r in zip(skips, down_residuals, strict=True)]
        if with_plain:
            if reference is None or config.readers != "mid_up":
                raise InputError("with_plain needs a reference that the mid and up blocks alone read")
            x, temb, text = (jnp.concatenate([h, h]) for h in (x, temb, text))
        x, _ = mid(config, x, temb, text, stored)
        if mid_residual is not None:
            x = _add(x, mid_residual, "mid_residual")
        x, _ = decode(config, x, skips, temb, text, stored, branches=2 if with_plain else 1)
        norm = GroupNorm(
            config.norm_num_groups, config.norm_eps, config.pool_frames, **dtypes, name="conv_norm_out"
        )
        return Conv(config.out_channels, (3, 3), padding=1, **dtypes, name="conv_out")(nn.silu(norm(x)))


def _add(x: Float[Array, "..."], residual: Float[Array, "..."], name: str) -> Float[Array, "..."]:
    """x plus the residual, repeated along the batch where x has several guidance branches."""
    if x.shape[1:] != residual.shape[1:] or x.shape[0] % residual.shape[0]:
        raise InputError(f"{name} has a residual of shape {residual.shape}; it should fit a feature of {x.shape}")
    return x + jnp.tile(residual, (x.shape[0] // residual.shape[0], 1, 1, 1, 1))
