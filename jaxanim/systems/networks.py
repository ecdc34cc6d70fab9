"""The parameter shapes of the Stable Diffusion family's networks, for checking what a weights folder holds."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from jaxanim.models.appearance import AppearanceEncoder
from jaxanim.models.clip_text import CLIPText
from jaxanim.models.controlnet import ControlNet
from jaxanim.models.motion import split_motion
from jaxanim.models.unet import UNet
from jaxanim.models.vae import VAE


def shapes(network: str, config: Any) -> PyTree:
    """The parameter shapes that a network of this config has.

    Args:
      network: "vae", "text_encoder", "unet", "controlnet", "appearance_encoder" (truncated, MagicAnimate's),
        "appearance_model" (whole, MagicPose's) or "motion" (a video UNet's motion modules alone).
    """
    key, t = jax.random.key(0), jnp.zeros(1)
    if network == "vae":
        side = config.downscale
        return jax.eval_shape(VAE(config).init, key, jnp.zeros((1, 1, side, side, config.in_channels)))["params"]
    if network == "text_encoder":
        return jax.eval_shape(CLIPText(config).init, key, jnp.zeros((1, 2), jnp.int32))["params"]
    side = 2 ** (len(config.block_out_channels) - 1)
    x = jnp.zeros((1, 1, side, side, config.in_channels))
    text = jnp.zeros((1, 2, config.cross_attention_dim))
    if network == "controlnet":
        scale = 2 ** (len(config.conditioning_embedding_out_channels) - 1)
        cond = jnp.zeros((1, 1, side * scale, side * scale, config.conditioning_channels))
        return jax.eval_shape(ControlNet(config).init, key, x, t, text, cond)["params"]
    if network in ("appearance_encoder", "appearance_model"):
        module = AppearanceEncoder(config, truncated=network == "appearance_encoder")
    else:
        module = UNet(config)
    tree = jax.eval_shape(module.init, key, x, t, text)["params"]
    return split_motion(tree)[1] if network == "motion" else tree
