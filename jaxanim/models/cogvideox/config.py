"""Sizes of CogVideoX's transformer."""

from dataclasses import dataclass

import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxanim.errors import InputError
from jaxanim.models.network import Network, example
from jaxanim.nn.stack import check_remat
from jaxanim.stored import register_config


@register_config
@dataclass(frozen=True, kw_only=True)
class CogVideoXConfig:
    """Sizes of the transformer, diffusers' field names; the defaults are CogVideoX1.5-5B-I2V's.

    Attributes:
      in_channels: the noisy latent's and the image latent's; `out_channels` for a model without image (T2V).
      ofs_embed_dim: width of the embedding of the constant "ofs", 2.0; None for a model without (T2V).
      patch_size, patch_size_t: latent pixels, and latent frames, that form one token.
      remat: what the blocks store for the backward pass (`jaxanim.nn.stack.REMAT`).
    """

    num_attention_heads: int = 48
    attention_head_dim: int = 64
    in_channels: int = 32
    out_channels: int = 16
    time_embed_dim: int = 512
    ofs_embed_dim: int | None = 512
    text_embed_dim: int = 4096
    num_layers: int = 42
    patch_size: int = 2
    patch_size_t: int = 2
    max_text_seq_length: int = 226
    norm_eps: float = 1e-5
    remat: str = "none"
    attention_kernel: str = "auto"
    dtype: DTypeLike = jnp.float32
    param_dtype: DTypeLike = jnp.float32

    def __post_init__(self) -> None:
        check_remat(self.remat)
        if self.attention_head_dim % 16:
            raise InputError(
                f"attention_head_dim is {self.attention_head_dim}: rotary positions need a multiple of 16"
            )

    @property
    def width(self) -> int:
        """Channels of a token."""
        return self.num_attention_heads * self.attention_head_dim

    @property
    def rotary_channels(self) -> tuple[int, int, int]:
        """How many channels of a head turn with time, height and width: 16, 24 and 24 of 64."""
        part = self.attention_head_dim // 8
        return 2 * part, 3 * part, 3 * part

    @property
    def patch(self) -> tuple[int, int, int]:
        """Latent frames, rows and columns of a token."""
        return self.patch_size_t, self.patch_size, self.patch_size

    def network(self, role: str) -> Network:
        """See `jaxanim.models.network.NetworkConfig`."""
        from jaxanim.models.cogvideox.transformer import CogVideoXTransformer

        sample = example(1, *self.patch, self.in_channels)
        return Network(CogVideoXTransformer(self), (sample, example(1, 1, self.text_embed_dim), example(1)))


COGVIDEOX_1_5_5B_I2V = CogVideoXConfig()
COGVIDEOX_1_5_5B = CogVideoXConfig(in_channels=16, ofs_embed_dim=None)
