"""MagicAnimate with every number small, every parameter random and no zero-initialised layer left silent."""

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxanim.diffusion.config import DiffusionConfig
from jaxanim.models.appearance import encoder_params_from_unet
from jaxanim.models.clip_text import CLIPText, CLIPTextConfig
from jaxanim.models.controlnet import ControlNetConfig, controlnet_params_from_unet
from jaxanim.models.motion import MotionConfig, add_motion
from jaxanim.models.unet import UNet, UNetConfig
from jaxanim.models.vae import VAE, VAEConfig
from jaxanim.systems.base import Defaults
from jaxanim.systems.magicanimate.config import MagicAnimateConfig, image_form

ENCODER = {
    "in_channels": 4,
    "block_out_channels": (8, 16),
    "layers_per_block": 1,
    "cross_attention_dim": 8,
    "num_attention_heads": 2,
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "norm_num_groups": 4,
}
CONFIG = MagicAnimateConfig(
    vae=VAEConfig(block_out_channels=(8, 8, 8, 8), layers_per_block=1, norm_num_groups=4, scaling_factor=0.5),
    text_encoder=CLIPTextConfig(
        vocab_size=1024, hidden_size=8, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=8,
    ),
    unet=UNetConfig(
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"), motion=MotionConfig(heads=2, norm_num_groups=4),
        pool_frames=True, **ENCODER,
    ),
    controlnet=ControlNetConfig(conditioning_embedding_out_channels=(4, 4, 4, 4), **ENCODER),
    diffusion=DiffusionConfig(beta_schedule="linear"),
    defaults=Defaults(size=(32, 32), steps=2, guidance=2.0),
)  # fmt: skip


class Tiny(NamedTuple):
    """A config and its parameters."""

    config: MagicAnimateConfig
    params: dict


@functools.cache
def tiny(image: bool = False) -> Tiny:
    """The tiny MagicAnimate, or its image form (stage 1)."""
    key = jax.random.key(7)
    unet = image_form(CONFIG.unet)
    x, t, text = jnp.zeros((1, 1, 4, 4, 4)), jnp.zeros(1), jnp.zeros((1, 2, 8))
    base = UNet(unet).init(key, x, t, text)["params"]
    params = {
        "vae": VAE(CONFIG.vae).init(key, jnp.zeros((1, 1, 16, 16, 3)))["params"],
        "text_encoder": CLIPText(CONFIG.text_encoder).init(key, jnp.zeros((1, 2), jnp.int32))["params"],
        "unet": base if image else add_motion(key, base, CONFIG.unet),
        "appearance_encoder": encoder_params_from_unet(base, unet),
        "controlnet": controlnet_params_from_unet(key, base, CONFIG.controlnet),
        "empty_prompt": jax.random.normal(key, (8, 8)),
    }
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(key, len(leaves))
    noisy = [leaf + 0.1 * jax.random.normal(k, leaf.shape) for leaf, k in zip(leaves, keys, strict=True)]
    config = dataclasses.replace(CONFIG, unet=unet) if image else CONFIG
    return Tiny(config, jax.tree.unflatten(tree, noisy))
