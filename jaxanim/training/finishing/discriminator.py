"""A network that tells pictures from reconstructions, patch by patch."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from jaxanim.nn.layers import Conv
from jaxanim.nn.norm import GroupNorm

DISCRIMINATOR = "discriminator"
"""Where its parameters lie in a task's."""
SLOPE = 0.2


@dataclasses.dataclass(frozen=True)
class DiscriminatorConfig:
    """Sizes of the discriminator: channels after each halving, and groups of the normalisation."""

    widths: tuple[int, ...] = (32, 64, 128)
    norm_num_groups: int = 8


class PatchDiscriminator(nn.Module):
    """One logit per patch, high for pictures (Isola et al. 2017, Sec. 3.2.2), with group normalisation.

    Call with pixels in [-1, 1]. A patch is 46 pixels wide with three halvings.
    """

    config: DiscriminatorConfig = DiscriminatorConfig()

    @nn.compact
    def __call__(self, pixels: Float[Array, "n height width 3"]) -> Float[Array, "n rows columns"]:
        x = pixels[:, None]
        for i, width in enumerate(self.config.widths):
            x = Conv(width, (4, 4), strides=2, padding=1, name=f"conv_{i}")(x)
            if i:
                x = GroupNorm(self.config.norm_num_groups, name=f"norm_{i}")(x)
            x = nn.leaky_relu(x, SLOPE)
        return Conv(1, (4, 4), padding=1, name="conv_out")(x)[:, 0, ..., 0]


def fresh_discriminator(key: jax.Array) -> PyTree:
    """Parameters of a discriminator that has seen nothing yet."""
    return PatchDiscriminator().lazy_init(key, jnp.zeros((1, 64, 64, 3)))["params"]


def judge(params: PyTree, pixels: Float[Array, "n height width 3"]) -> Float[Array, "n rows columns"]:
    """The discriminator's logits."""
    return PatchDiscriminator().apply({"params": params}, pixels)
