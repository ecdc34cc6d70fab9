"""Sizes of Wan's transformer."""

from dataclasses import dataclass

from jax.typing import DTypeLike

from jaxanim.errors import InputError
from jaxanim.models.network import Network, example
from jaxanim.nn.stack import check_remat
from jaxanim.stored import register_config


@register_config
@dataclass(frozen=True)
class WanConfig:
    """diffusers' field names; the defaults are Wan2.2-TI2V-5B's (4,999,787,712 parameters).

    Attributes:
      in_channels: of the input: 48, or 96 where another video's latents come beside the noisy ones.
      patch_size: latents (frames, height, width) that make one token.
      text_dim: channels of the text embedding.
      freq_dim: channels of the timestep's sinusoids.
      part_attention: each block has PoseAnything's second cross-attention after the text, `cross_attn_instance`
        behind `norm4`.
      remat: what a training step keeps of each block (`jaxanim.nn.stack.REMAT`).
    """

    num_layers: int = 30
    num_attention_heads: int = 24
    attention_head_dim: int = 128
    ffn_dim: int = 14336
    in_channels: int = 48
    out_channels: int = 48
    patch_size: tuple[int, int, int] = (1, 2, 2)
    text_dim: int = 4096
    freq_dim: int = 256
    eps: float = 1e-6
    part_attention: bool = False
    remat: str = "none"
    attention_kernel: str = "auto"
    dtype: DTypeLike = "float32"
    param_dtype: DTypeLike = "float32"

    def __post_init__(self):
        check_remat(self.remat)
        if self.attention_head_dim < 6 or self.attention_head_dim % 2:
            raise InputError(
                f"attention_head_dim is {self.attention_head_dim}: it must be even and at least 6, a pair of "
                "channels for each axis"
            )
        if self.patch_size[0] != 1:
            raise InputError(f"patch_size is {self.patch_size}: a token is of one latent frame: begin with 1")

    @property
    def width(self) -> int:
        """Channels of a token."""
        return self.num_attention_heads * self.attention_head_dim

    @property
    def rotary_channels(self) -> tuple[int, int, int]:
        """A head's channels that turn with time, height and width: two sixths, rounded down to pairs, for height
        and for width, and the rest for time."""
        side = 2 * (self.attention_head_dim // 6)
        return self.attention_head_dim - 2 * side, side, side

    def network(self, role: str) -> Network:
        """See `jaxanim.models.network.NetworkConfig`."""
        from jaxanim.models.wan.transformer import WanTransformer

        latents = example(1, *self.patch_size, self.in_channels)
        return Network(WanTransformer(self), (latents, example(1), example(1, 1, self.text_dim)))
