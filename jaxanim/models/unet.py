"""Stable Diffusion 1.5's UNet, for images and (with motion modules) videos."""

from typing import Any

import flax.linen as nn
from jaxtyping import Array, Float, Num

from jaxanim.attention.patterns import Patterns
from jaxanim.errors import InputError
from jaxanim.models.readers import Features, stored_by_block
from jaxanim.models.unet_blocks import decode, encode, mid, time_embedding
from jaxanim.models.unet_config import MotionConfig, UNetConfig
from jaxanim.nn.layers import Conv
from jaxanim.nn.norm import GroupNorm
from jaxanim.nn.rows import add

__all__ = ["MotionConfig", "UNet", "UNetConfig"]


class UNet(nn.Module):
    """Denoising UNet (Rombach et al. 2022) over [batch, frames, height, width, channels] latents.

    Call with
      sample: noisy latents; height and width of any size (see Upsample).
      timesteps: one per entry.
      text: text features, shared by an entry's frames, or with frames after the batch one for each.
      down_residuals, mid_residual: a ControlNet's; added to the skip connections and to the mid block's output.
      reference: an appearance encoder's features [ref_batch, tokens, channels], in the order of
        `jaxanim.models.readers.reader_sites`, or pairs of keys and values that it projected itself.
      reads: for each block of ref_batch entries whether it reads the reference or attends to itself only:
        (False, True) is guidance's [uncond, cond].
      patterns: who attends to whom.
      hand_out: also return what the blocks hand out (`jaxanim.models.unet_blocks`).

    Inputs may differ in their number of entries, one a multiple of the other (`jaxanim.nn.rows`): guidance gives
    the sample once, and text, residuals or `reads` for every condition. What the conditions have in common, up to
    the first attention that reads or residual that is added, is computed once for all of them, and so is what the
    up blocks' first convolutions make of skip connections.

    Returns the prediction [out_batch, frames, height, width, out_channels]; with `hand_out` also the dict.
    Raises InputError for residuals or references that do not fit the network.
    """

    config: UNetConfig

    @nn.compact
    def __call__(
        self,
        sample: Float[Array, "batch frames height width in_channels"],
        timesteps: Num[Array, " t_batch"],
        text: Float[Array, "text_batch *text_frames text_tokens text_channels"],
        *,
        down_residuals: tuple[Float[Array, "..."], ...] | None = None,
        mid_residual: Float[Array, "..."] | None = None,
        reference: tuple[Features, ...] | None = None,
        reads: tuple[bool, ...] = (True,),
        patterns: Patterns = Patterns(),
        hand_out: bool = False,
    ) -> (
        Float[Array, "out_batch frames height width out_channels"]
        | tuple[Float[Array, "out_batch frames height width out_channels"], dict[str, Any]]
    ):
        config = self.config
        dtypes = {"dtype": config.dtype, "param_dtype": config.param_dtype}
        stored = stored_by_block(config, reference, reads)
        temb = time_embedding(config, timesteps)
        x = Conv(config.block_out_channels[0], (3, 3), padding=1, **dtypes, name="conv_in")(sample)
        x, skips, taken = encode(config, x, temb, text, stored, patterns)
        if down_residuals is not None:
            if len(down_residuals) != len(skips):
                raise InputError(f"down_residuals has {len(down_residuals)} entries; it should have {len(skips)}")
            skips = [_add(skip, r, "down_residuals") for skip, r in zip(skips, down_residuals, strict=True)]
        x, more = mid(config, x, temb, text, stored, patterns)
        if mid_residual is not None:
            x = _add(x, mid_residual, "mid_residual")
        x, last = decode(config, x, skips, temb, text, stored, patterns)
        norm = GroupNorm(
            config.norm_num_groups, config.norm_eps, config.pool_frames, **dtypes, name="conv_norm_out"
        )
        out = Conv(config.out_channels, (3, 3), padding=1, **dtypes, name="conv_out")(nn.silu(norm(x)))
        return (out, taken | more | last) if hand_out else out


def _add(x: Float[Array, "..."], residual: Float[Array, "..."], name: str) -> Float[Array, "..."]:
    """x plus the residual; InputError where they are not of one shape, or of fewer entries."""
    few, many = sorted((x.shape[0], residual.shape[0]))
    if x.shape[1:] != residual.shape[1:] or many % few:
        raise InputError(f"{name} has a residual of shape {residual.shape}; it should fit a feature of {x.shape}")
    return add(x, residual)
