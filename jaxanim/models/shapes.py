"""Every network's parameters from its config alone: their shapes, with nothing allocated, and fresh ones."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key, PyTree

from jaxanim.models.appearance import AppearanceEncoder
from jaxanim.models.clip_text import CLIPText
from jaxanim.models.clip_vision import CLIPVision
from jaxanim.models.controlnet import ControlNet
from jaxanim.models.motion import split_motion
from jaxanim.models.parameters import example_inputs, shapes_of
from jaxanim.models.t5 import T5Encoder
from jaxanim.models.unet import UNet
from jaxanim.models.vae import VAE


def parameter_shapes(network: str, config: Any) -> PyTree:
    """The parameter tree of a network, with shapes in place of arrays.

    Args:
      network: "vae", "text_encoder", "t5_encoder", "image_encoder", "unet", "controlnet", "appearance_encoder"
        (truncated, MagicAnimate's), "appearance_model" (whole, MagicPose's) or "motion" (the motion modules of the
        UNet that `config` describes, and nothing else of it).
    """
    if network == "motion":
        return split_motion(parameter_shapes("unet", config))[1]
    module, inputs = _module(network, config)
    return shapes_of(module, *inputs)


def fresh_params(network: str, config: Any, key: Key[Array, ""]) -> PyTree:
    """Parameters drawn by the network's initialisers, for the names of `parameter_shapes` but "motion".

    The network itself is not computed.
    """
    module, inputs = _module(network, config)
    return module.lazy_init(key, *inputs)["params"]


def _module(network: str, config: Any) -> tuple[Any, tuple[jax.ShapeDtypeStruct, ...]]:
    if network == "vae":
        return VAE(config), (_like(1, 1, config.downscale, config.downscale, config.in_channels),)
    if network == "text_encoder":
        return CLIPText(config), (_like(1, min(2, config.max_position_embeddings), dtype=jnp.int32),)
    if network == "t5_encoder":
        return T5Encoder(config), (_like(1, 2, dtype=jnp.int32),)
    if network == "image_encoder":
        return CLIPVision(config), (_like(1, config.image_size, config.image_size, config.num_channels),)
    inputs = example_inputs(config)
    if network == "controlnet":
        side = inputs[0].shape[2] * 2 ** (len(config.conditioning_embedding_out_channels) - 1)
        return ControlNet(config), (*inputs, _like(1, 1, side, side, config.conditioning_channels))
    if network in ("appearance_encoder", "appearance_model"):
        return AppearanceEncoder(config, truncated=network == "appearance_encoder"), inputs
    return UNet(config), inputs


def _like(*shape: int, dtype: Any = jnp.float32) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, dtype)
