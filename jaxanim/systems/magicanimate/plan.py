"""MagicAnimate's programs from its sizes alone, for compiling ahead of time."""

import jax.numpy as jnp

from jaxanim.diffusion.process import step_shapes
from jaxanim.models.network import example
from jaxanim.models.shapes import parameter_shapes
from jaxanim.models.unet_config import image_form
from jaxanim.systems.base import Memory
from jaxanim.systems.magicanimate.animate import Options, _Denoise
from jaxanim.training.task import Plan, Task


def plan(task: Task, batch_size: int) -> Plan:
    """See `jaxanim.training.task.Plan`. Stage 1's batches are pairs, stage 2's windows; a step of sampling is one
    guided step of a window."""
    recipe, config = task.recipe, task.config
    names = ("vae", "text_encoder", "unet", "controlnet")
    params = {name: parameter_shapes(name, getattr(config, name)) for name in names}
    params["appearance_encoder"] = parameter_shapes("appearance_encoder", image_form(config.unet))
    text = config.text_encoder
    params["empty_prompt"] = example(text.max_position_embeddings, text.hidden_size)

    (height, width), channels = recipe.videos.size, config.unet.in_channels
    cells = height // config.vae.downscale, width // config.vae.downscale
    frames = recipe.targets if recipe.stage == 1 else recipe.videos.frames
    rows = max(1, batch_size // frames)
    batch = {
        "target": example(rows, frames, *cells, channels),
        "reference": example(rows, *cells, channels),
        "parts": example(rows, frames, height, width, dtype=jnp.uint8),
    }

    length = config.defaults.window
    options, memory = Options(temporal=config.unet.motion is not None), Memory()
    denoise = _Denoise(config, options, memory, length, config.defaults.overlap, config.defaults.guidance != 1)
    pose = example(length, *cells, config.unet.block_out_channels[0], dtype=config.unet.dtype)
    x, reference = example(length, *cells, channels), example(*cells, channels)
    inputs = reference, pose, example(), x, step_shapes(config.diffusion)
    return Plan(task, params, batch, denoise, inputs)
