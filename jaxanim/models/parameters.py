"""Parameter trees of one network made from those of another."""

import jax
import jax.numpy as jnp

from jaxanim.models.unet_config import EncoderConfig


def copy_part(tree: dict, source: dict) -> dict:
    """Copies of those leaves of `source` that `tree` has (so that either tree may be donated or updated)."""
    return {
        name: copy_part(value, source[name]) if isinstance(value, dict) else jnp.array(source[name])
        for name, value in tree.items()
    }


def example_inputs(config: EncoderConfig) -> tuple[jax.ShapeDtypeStruct, ...]:
    """Shapes of a small sample, timesteps and text for the `init` of a network of this config."""
    side = 2 ** (len(config.block_out_channels) - 1)
    shapes = ((1, 1, side, side, config.in_channels), (1,), (1, 1, config.cross_attention_dim))
    return tuple(jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes)
