"""MagicPose's programs from its sizes alone, for compiling ahead of time."""

import jax
import jax.numpy as jnp

from jaxanim.diffusion.process import step_shapes
from jaxanim.models.network import example
from jaxanim.models.shapes import parameter_shapes
from jaxanim.models.unet_config import image_form
from jaxanim.systems.base import Memory
from jaxanim.systems.magicpose.animate import Options, _Denoise
from jaxanim.training.task import Plan, Task


def plan(task: Task, batch_size: int) -> Plan:
    """See `jaxanim.training.task.Plan`. A step of sampling is one guided step of a window."""
    recipe, config = task.recipe, task.config
    names = ("vae", "text_encoder", "unet", "controlnet")
    params = {name: parameter_shapes(name, getattr(config, name)) for name in names}
    params["appearance_model"] = parameter_shapes("appearance_model", image_form(config.unet))
    text = config.text_encoder
    params["empty_prompt"] = example(text.max_position_embeddings, text.hidden_size)

    side, channels = recipe.clips.side, config.unet.in_channels
    cells = (side // config.vae.downscale,) * 2
    frames = {0: 1, 3: recipe.clips.frames}.get(recipe.stage, recipe.targets)
    rows = max(1, batch_size // frames)
    batch = {"target": example(rows, frames, *cells, channels)}
    if recipe.stage == 0:
        batch["tokens"] = example(rows, text.max_position_embeddings, dtype=jnp.int32)
    else:
        batch["reference"] = example(rows, *cells, channels)
    if recipe.stage != 1:
        batch["pose"] = example(rows, frames, side, side, 3, dtype=jnp.uint8)

    length, overlap, guided = config.defaults.window, config.defaults.overlap, config.defaults.guidance != 1
    denoise = _Denoise(config, Options(), Memory(), length, overlap, guided)
    pose = example(length, *cells, config.unet.block_out_channels[0], dtype=config.unet.dtype)
    key = jax.eval_shape(jax.random.key, 0)
    x, reference = example(length, *cells, channels), example(*cells, channels)
    inputs = reference, pose, example(), key, x, step_shapes(config.diffusion)
    return Plan(task, params, batch, denoise, inputs)
