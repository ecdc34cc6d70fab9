"""A small network that tells faces apart and reads what they do: puppet identities in place of AdaFace's people."""

import dataclasses

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxanim.models.network import Network, example
from jaxanim.nn.layers import Conv, Dense
from jaxanim.nn.norm import GroupNorm
from jaxanim.stored import register_config


@register_config
@dataclasses.dataclass(frozen=True)
class FaceConfig:
    """Sizes of the face network.

    Attributes:
      side: of the aligned pictures in pixels.
      widths: channels of the stages, each of half the resolution of the one before.
      embedding: length of the identity embedding.
      states: how many numbers describe what the face does.
    """

    side: int = 32
    widths: tuple[int, ...] = (32, 64, 128)
    embedding: int = 64
    states: int = 4

    def network(self, role: str) -> Network:
        """See `jaxanim.models.network.NetworkConfig`."""
        return Network(FaceNet(self), (example(1, self.side, self.side, 3),))


class FaceNet(nn.Module):
    """Two convolutions and a halving per stage, then an identity embedding of unit length and the state.

    Call with aligned faces in [-1, 1]; returns (embedding, state).
    """

    config: FaceConfig

    @nn.compact
    def __call__(
        self, faces: Float[Array, "faces side side 3"]
    ) -> tuple[Float[Array, "faces embedding"], Float[Array, "faces states"]]:
        x = faces[:, None]
        for i, width in enumerate(self.config.widths):
            for j, strides in enumerate((1, 2)):
                x = Conv(width, (3, 3), strides=strides, padding=1, name=f"conv_{i}_{j}")(x)
                x = nn.silu(GroupNorm(8, name=f"norm_{i}_{j}")(x))
        features = x.reshape(len(faces), -1)
        identity = Dense(self.config.embedding, name="identity")(features)
        hidden = nn.silu(Dense(self.config.widths[-1], name="state_hidden")(features))
        unit = identity / (jnp.linalg.norm(identity, axis=-1, keepdims=True) + 1e-6)
        return unit, Dense(self.config.states, name="state")(hidden)
