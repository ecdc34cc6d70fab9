"""MagicAnimate with every number small, every parameter random and no zero-initialised layer left silent."""

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxanim.diffusion.betas import Betas
from jaxanim.models.clip_text import CLIPTextConfig
from jaxanim.models.controlnet import ControlNetConfig
from jaxanim.models.motion import MotionConfig
from jaxanim.models.shapes import parameter_shapes
from jaxanim.models.unet import UNetConfig
from jaxanim.models.vae import VAEConfig
from jaxanim.systems.base import Sampling
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
    diffusion=Betas(beta_schedule="linear"),
    defaults=Sampling(size=(32, 32), steps=2, guidance=2.0),
)  # fmt: skip
# What the stages' end-to-end tests hold: the gradient and the update of every layer take the compiler their time, and
# the equations' tests ask for all.
HELD = "resnets|transformer_blocks"
# One resolution: less to compile, for tests of what is the same at any number of them.
ONE_LEVEL = {"block_out_channels": (8,), "down_block_types": ("CrossAttnDownBlock2D",)}


def flat(config):
    """The system's config with networks of one resolution."""
    unet = dataclasses.replace(config.unet, up_block_types=("CrossAttnUpBlock2D",), **ONE_LEVEL)
    return dataclasses.replace(config, unet=unet, controlnet=dataclasses.replace(config.controlnet, **ONE_LEVEL))


FLAT = flat(CONFIG)


class Tiny(NamedTuple):
    """A config and its parameters."""

    config: MagicAnimateConfig
    params: dict


@functools.cache
def tiny(image: bool = False, sizes: MagicAnimateConfig = CONFIG) -> Tiny:
    """The tiny MagicAnimate, or its image form (stage 1)."""
    config = dataclasses.replace(sizes, unet=image_form(sizes.unet)) if image else sizes
    names = ("vae", "text_encoder", "unet", "controlnet")
    shapes = {name: parameter_shapes(name, getattr(config, name)) for name in names}
    shapes["appearance_encoder"] = parameter_shapes("appearance_encoder", image_form(sizes.unet))
    return Tiny(config, random_params(shapes) | {"empty_prompt": jax.random.normal(jax.random.key(7), (8, 8))})


def random_params(shapes, seed: int = 7):
    """Random arrays of these shapes, at scales that keep activations near one.

    Drawn by numpy: the programs of every layer's own initialiser take much longer to compile.
    """
    rng = np.random.default_rng(seed)

    def draw(path, leaf):
        noise = rng.standard_normal(leaf.shape)
        if leaf.ndim > 1:
            return jnp.asarray(noise / np.prod(leaf.shape[:-1]) ** 0.5, jnp.float32)
        return jnp.asarray(0.1 * noise + (path[-1].key == "scale"), jnp.float32)

    return jax.tree_util.tree_map_with_path(draw, shapes)
