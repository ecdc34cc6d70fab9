"""PoseAnything's programs from its sizes alone, for compiling ahead of time."""

import jax.numpy as jnp

from jaxanim.diffusion.process import step_shapes
from jaxanim.models.network import example
from jaxanim.models.shapes import parameter_shapes
from jaxanim.systems.poseanything.animate import _Denoise
from jaxanim.systems.poseanything.network import PoseMLPConfig
from jaxanim.training.task import Plan, Task


def plan(task: Task, batch_size: int) -> Plan:
    """See `jaxanim.training.task.Plan`. A step of sampling is a guided one with the part module, the costliest that
    there is; text embeddings are given where there is no text encoder."""
    recipe, config = task.recipe, task.config
    configs = {"vae": config.vae, "transformer": config.transformer}
    if config.text_encoder is not None:
        configs["text_encoder"] = config.text_encoder
    if config.rules.injection == "mlp":
        configs["pose_mlp"] = PoseMLPConfig(config.vae.z_dim)
    params = {name: parameter_shapes(name, network) for name, network in configs.items()}

    (height, width), frames, cell = recipe.clips.size, recipe.clips.frames, config.vae.downscale
    latents = (1 + (frames - 1) // config.vae.frames_per_latent, height // cell, width // cell, config.vae.z_dim)
    _, rows, columns = config.transformer.patch_size
    grid = latents[0], latents[1] // rows, latents[2] // columns
    length, channels = config.rules.prompt_length, config.transformer.text_dim
    one_part = config.rules.part_form == "exclusive"
    parts = (grid, jnp.int32) if one_part else ((config.rules.most_parts, *grid), jnp.bool_)
    batch = {
        "latents": example(batch_size, *latents),
        "poses": example(batch_size, frames, height, width, 3, dtype=jnp.uint8),
    }
    if config.text_encoder is None:
        batch["text"] = example(batch_size, length, channels)
    else:
        batch["tokens"] = example(batch_size, length, dtype=jnp.int32)
        batch["words"] = example(batch_size, length, dtype=jnp.bool_)
    if recipe.stage == 3:
        batch["parts"] = example(batch_size, *parts[0], dtype=parts[1])

    condition = example(*latents), example(length, channels)
    shown = example(1, *parts[0], dtype=parts[1]) if config.transformer.part_attention else None
    inputs = (condition, condition), (example(),), shown, example(*latents), step_shapes(config.diffusion)
    return Plan(task, params, batch, _Denoise(config, "guided", False), inputs)
