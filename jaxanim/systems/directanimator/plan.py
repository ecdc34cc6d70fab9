"""DirectAnimator's programs from its sizes alone, for compiling ahead of time."""

from jaxanim.diffusion.process import step_shapes
from jaxanim.models.cogvideox.image_to_video import length
from jaxanim.models.network import example
from jaxanim.models.shapes import parameter_shapes
from jaxanim.systems.directanimator.animate import _Denoise
from jaxanim.systems.directanimator.network import CueLatents
from jaxanim.training.task import Plan, Task


def plan(task: Task, batch_size: int) -> Plan:
    """See `jaxanim.training.task.Plan`. A step of sampling is one with all latent frames of a video, those in front
    that are thrown away too."""
    recipe, config = task.recipe, task.config
    transformer = config.transformer.transformer
    params = {name: parameter_shapes(name, getattr(config, name)) for name in ("transformer", "vae")}
    if task.taught:
        params["teacher"] = params["transformer"]

    size, cell = length(recipe.pairs.frames, transformer, config.vae), config.vae.downscale
    space = tuple(side // cell for side in recipe.pairs.size)
    channels, cue = transformer.out_channels, config.transformer.cue_channels
    stored = size.all - size.extra
    batch = {name: example(batch_size, n, *space, channels) for name, n in (("latents", stored), ("image", 1))}
    for prefix in recipe.pairs.prefixes:
        batch |= {f"{prefix}{name}": example(batch_size, stored, *space, cue) for name in CueLatents._fields}

    image, text = example(1, 1, *space, channels), example(1, 1, transformer.text_embed_dim)
    cues = CueLatents(*(example(1, size.all, *space, cue) for _ in CueLatents._fields))
    inputs = image, text, cues, example(), example(1, size.all, *space, channels), step_shapes(config.diffusion)
    estimate = _Denoise(config, config.defaults.guidance != 1, False)
    return Plan(task, params, batch, lambda params, *inputs: estimate(params["transformer"], *inputs), inputs)
