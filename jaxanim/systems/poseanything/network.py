"""How the pose's latents enter the transformer (PoseAnything, Eqs. 3 to 5), and the velocity under them."""

from dataclasses import dataclass

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Num, PyTree

from jaxanim.models.network import Network, example
from jaxanim.models.wan.block import WanAttention
from jaxanim.models.wan.transformer import WanTransformer
from jaxanim.nn.layers import Dense
from jaxanim.stored import register_config
from jaxanim.systems.poseanything.config import PoseAnythingConfig
from jaxanim.systems.poseanything.part_attention import FORMS

Latents = Float[Array, "rows frames height width channels"]


@register_config
@dataclass(frozen=True)
class PoseMLPConfig:
    """Sizes of the MLP of Eq. 4: `channels` of the latents, and how many times as many between its two layers."""

    channels: int = 48
    expansion: int = 4

    def network(self, role: str) -> Network:
        """See `jaxanim.models.network.NetworkConfig`."""
        return Network(PoseMLP(self), (example(1, 1, 1, 1, self.channels),))


class PoseMLP(nn.Module):
    """The MLP of Eq. 4; its last layer starts at zero, so that training starts with the base's own video."""

    config: PoseMLPConfig

    @nn.compact
    def __call__(self, z_p: Latents) -> Latents:
        c = self.config
        h = nn.silu(Dense(c.expansion * c.channels, name="linear_1")(z_p))
        return Dense(c.channels, kernel_init=nn.initializers.zeros, name="linear_2")(h)


def concat_by_channel(z_0: Latents, z_p: Latents) -> Float[Array, "rows frames height width both"]:
    """Eq. 3: Z_agr = [Z_0, Z_p], of 2C channels; the patch embedding is its Conv."""
    return jnp.concatenate([z_0, z_p], axis=-1)


def add_by_mlp(params: PyTree, z_0: Latents, z_p: Latents) -> Latents:
    """Eq. 4: Z = Z_0 + MLP(Z_p)."""
    return z_0 + PoseMLP(PoseMLPConfig(z_p.shape[-1])).apply({"params": params}, z_p)


def concat_by_width(z_0: Latents, z_p: Latents) -> Float[Array, "rows frames height both channels"]:
    """Eq. 5: Z = Concat_width(Z_0, Z_p), of width 2W; of what the transformer returns the first W counts."""
    return jnp.concatenate([z_0, z_p], axis=3)


@dataclass(frozen=True)
class Part:
    """What the transformer's blocks compute of their tokens' parts; hashable, as a module's field has to be."""

    form: str
    kernel: str

    def __call__(
        self, layer: WanAttention, x: Float[Array, "rows tokens channels"], parts: Array, grid: tuple[int, int, int]
    ) -> Float[Array, "rows tokens channels"]:
        return FORMS[self.form](layer, x, parts, grid, kernel=self.kernel)


def velocity(
    params: PyTree,
    config: PoseAnythingConfig,
    z: Latents,
    t: Num[Array, " rows"],
    text: Float[Array, "rows tokens text"],
    pose: Latents,
    parts: Array | None = None,
    hand_out: int | None = None,
) -> Latents | tuple[Latents, tuple[Array, Array]]:
    """The velocity of a video whose first latent frame is the reference, clean, at time 0.

    Args:
      z: Z_0 = [Z_i, noisy latents].
      t: time in [0, 1000] of the other frames.
      pose: Z_p.
      parts: of each token, in the form that `config.rules.part_form` takes; None leaves the part module out.
      hand_out: a block whose queries (of the first frame) and keys are returned too, see `WanTransformer`.
    """
    rules, frames, width = config.rules, z.shape[1], z.shape[3]
    if rules.injection == "mlp":
        x = add_by_mlp(params["pose_mlp"], z, pose)
    else:
        x = (concat_by_channel if rules.injection == "channels" else concat_by_width)(z, pose)
    network = WanTransformer(config.transformer, Part(rules.part_form, config.transformer.attention_kernel))
    clean = (jnp.arange(frames) == 0)[None]
    out = network.apply({"params": params["transformer"]}, x, t, text, clean=clean, parts=parts, hand_out=hand_out)
    return out if hand_out is not None else out[:, :, :, :width]
