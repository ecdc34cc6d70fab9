"""MagicPose with every number small, every parameter random and no zero-initialised layer left silent."""

import dataclasses
import functools

import jax
import jax.numpy as jnp

from jaxanim.diffusion.config import DiffusionConfig
from jaxanim.models.appearance import encoder_params_from_unet
from jaxanim.models.clip_text import CLIPText
from jaxanim.models.controlnet import controlnet_params_from_unet
from jaxanim.models.motion import add_motion
from jaxanim.models.unet import UNet
from jaxanim.models.unet_config import image_form
from jaxanim.models.vae import VAE
from jaxanim.systems.base import Defaults
from jaxanim.systems.magicpose.config import MagicPoseConfig, MultiSourceConfig
from tests.systems import tiny
from tests.systems.tiny import Tiny

CONFIG = MagicPoseConfig(
    vae=tiny.CONFIG.vae,
    text_encoder=tiny.CONFIG.text_encoder,
    unet=dataclasses.replace(tiny.CONFIG.unet, readers="all", pool_frames=False),
    controlnet=tiny.CONFIG.controlnet,
    diffusion=DiffusionConfig(),
    defaults=Defaults(size=(32, 32), steps=2, guidance=2.0),
)


@functools.cache
def tiny_pose(image: bool = False, shares: str = "hidden_states") -> Tiny:
    """The tiny MagicPose, with motion modules or (`image`) without."""
    key = jax.random.key(7)
    unet = image_form(CONFIG.unet)
    base = jax.jit(UNet(unet).init)(key, jnp.zeros((1, 1, 4, 4, 4)), jnp.zeros(1), jnp.zeros((1, 2, 8)))["params"]
    params = {
        "vae": jax.jit(VAE(CONFIG.vae).init)(key, jnp.zeros((1, 1, 16, 16, 3)))["params"],
        "text_encoder": jax.jit(CLIPText(CONFIG.text_encoder).init)(key, jnp.zeros((1, 2), jnp.int32))["params"],
        "unet": base if image else add_motion(key, base, CONFIG.unet),
        "appearance_model": encoder_params_from_unet(base, unet, truncated=False),
        "controlnet": controlnet_params_from_unet(key, base, CONFIG.controlnet),
        "empty_prompt": jax.random.normal(key, (8, 8)),
    }
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(key, len(leaves))
    noisy = [leaf + 0.1 * jax.random.normal(k, leaf.shape) for leaf, k in zip(leaves, keys, strict=True)]
    config = dataclasses.replace(
        CONFIG, unet=unet if image else CONFIG.unet, multi_source=MultiSourceConfig(shares)
    )
    return Tiny(config, jax.tree.unflatten(tree, noisy))
