"""Sizes of Wan's autoencoder."""

from dataclasses import dataclass

from jax.typing import DTypeLike

from jaxanim.errors import InputError
from jaxanim.models.network import Network, example
from jaxanim.stored import register_config

LATENTS_MEAN = (
    -0.2289, -0.0052, -0.1323, -0.2339, -0.2799, 0.0174, 0.1838, 0.1557, -0.1382, 0.0542, 0.2813, 0.0891,
    0.1570, -0.0098, 0.0375, -0.1825, -0.2246, -0.1207, -0.0698, 0.5109, 0.2665, -0.2108, -0.2158, 0.2502,
    -0.2055, -0.0322, 0.1109, 0.1567, -0.0729, 0.0899, -0.2799, -0.1230, -0.0313, -0.1649, 0.0117, 0.0723,
    -0.2839, -0.2083, -0.0520, 0.3748, 0.0152, 0.1957, 0.1433, -0.2944, 0.3573, -0.0548, -0.1681, -0.0667,
)  # fmt: skip
LATENTS_STD = (
    0.4765, 1.0364, 0.4514, 1.1677, 0.5313, 0.4990, 0.4818, 0.5013, 0.8158, 1.0344, 0.5894, 1.0901,
    0.6885, 0.6165, 0.8454, 0.4978, 0.5759, 0.3523, 0.7135, 0.6804, 0.5833, 1.4146, 0.8986, 0.5659,
    0.7069, 0.5338, 0.4889, 0.4917, 0.4069, 0.4999, 0.6866, 0.4093, 0.5709, 0.6065, 0.6415, 0.4944,
    0.5726, 1.2042, 0.5458, 1.6887, 0.3971, 1.0600, 0.3943, 0.5537, 0.5444, 0.4089, 0.7468, 0.7744,
)  # fmt: skip


@register_config
@dataclass(frozen=True)
class WanVAEConfig:
    """diffusers' field names; the defaults are Wan2.2-TI2V-5B's: 4 frames of 16x16 pixels to a latent cell.

    Attributes:
      base_dim, decoder_base_dim: channels of the encoder's and the decoder's widest resolution.
      z_dim: channels of a latent.
      dim_mult: each resolution's channels in multiples of these; all but the last halve height and width.
      temporal_downsample: whether each of these halvings halves the frames too.
      num_res_blocks: residual blocks of a resolution; the decoder has one more.
      in_channels: of a picture.
      patch_size: pixels along the side of the square that the first layer sees as one.
      latents_mean, latents_std: of the latents' channels, to bring them to unit variance.
    """

    base_dim: int = 160
    decoder_base_dim: int = 256
    z_dim: int = 48
    dim_mult: tuple[int, ...] = (1, 2, 4, 4)
    temporal_downsample: tuple[bool, ...] = (False, True, True)
    num_res_blocks: int = 2
    in_channels: int = 3
    patch_size: int = 2
    latents_mean: tuple[float, ...] = LATENTS_MEAN
    latents_std: tuple[float, ...] = LATENTS_STD
    attention_kernel: str = "auto"
    dtype: DTypeLike = "float32"
    param_dtype: DTypeLike = "float32"

    def __post_init__(self):
        if len(self.temporal_downsample) != len(self.dim_mult) - 1:
            raise InputError(
                f"temporal_downsample has {len(self.temporal_downsample)} entries; with a dim_mult of "
                f"{len(self.dim_mult)} it has one for each of the {len(self.dim_mult) - 1} halvings"
            )
        if len(self.dim_mult) > 1 and self.dim_mult[-1] != self.dim_mult[-2]:
            raise InputError(
                f"dim_mult is {self.dim_mult}: the last two must be equal, for the last resolution's shortcut has "
                "no parameters to change the width"
            )
        for name in ("latents_mean", "latents_std"):
            if len(getattr(self, name)) != self.z_dim:
                raise InputError(f"{name} has {len(getattr(self, name))} values; z_dim is {self.z_dim}")

    @property
    def downscale(self) -> int:
        """Pixels along the side of a latent cell."""
        return self.patch_size * 2 ** (len(self.dim_mult) - 1)

    @property
    def frames_per_latent(self) -> int:
        """Frames that a latent stands for; the first latent is the first frame alone."""
        return 2 ** sum(self.temporal_downsample)

    def network(self, role: str) -> Network:
        """See `jaxanim.models.network.NetworkConfig`."""
        from jaxanim.models.wan.vae import WanVAE

        return Network(WanVAE(self), (example(1, 1, self.downscale, self.downscale, self.in_channels),))
