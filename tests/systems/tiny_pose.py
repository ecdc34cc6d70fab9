"""MagicPose with every number small, every parameter random and no zero-initialised layer left silent."""

import dataclasses
import functools

import jax

from jaxanim.diffusion.betas import Betas
from jaxanim.models.shapes import parameter_shapes
from jaxanim.models.unet_config import image_form
from jaxanim.systems.base import Sampling
from jaxanim.systems.magicpose.config import MagicPoseConfig, MultiSourceConfig
from tests.systems import tiny
from tests.systems.tiny import Tiny, random_params

CONFIG = MagicPoseConfig(
    vae=tiny.CONFIG.vae,
    text_encoder=tiny.CONFIG.text_encoder,
    unet=dataclasses.replace(tiny.CONFIG.unet, readers="all", pool_frames=False),
    controlnet=tiny.CONFIG.controlnet,
    diffusion=Betas(),
    defaults=Sampling(size=(32, 32), steps=2, guidance=2.0),
)

FLAT = tiny.flat(CONFIG)


@functools.cache
def tiny_pose(image: bool = False, shares: str = "hidden_states", sizes: MagicPoseConfig = CONFIG) -> Tiny:
    """The tiny MagicPose, with motion modules or (`image`) without."""
    unet = image_form(sizes.unet) if image else sizes.unet
    config = dataclasses.replace(sizes, unet=unet, multi_source=MultiSourceConfig(shares))
    names = ("vae", "text_encoder", "unet", "controlnet")
    shapes = {name: parameter_shapes(name, getattr(config, name)) for name in names}
    shapes["appearance_model"] = parameter_shapes("appearance_model", image_form(sizes.unet))
    return Tiny(config, random_params(shapes) | {"empty_prompt": jax.random.normal(jax.random.key(7), (8, 8))})
