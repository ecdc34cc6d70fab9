"""PoseAnything as the programs use it: one weights folder, one call that animates."""

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree
from tokenizers import Tokenizer

from jaxanim.cues.driving import Driving
from jaxanim.cues.skeleton_drawing import draw_segments, segment_masks
from jaxanim.cues.skeleton_video import graph_of
from jaxanim.models.prompt_file import load_prompts
from jaxanim.models.sentencepiece import load_sentencepiece
from jaxanim.models.shapes import parameter_shapes
from jaxanim.models.t5 import PromptRule, embed_prompts
from jaxanim.systems.base import Grid, System
from jaxanim.systems.poseanything import SYSTEM
from jaxanim.systems.poseanything.animate import Motion, Options, animate
from jaxanim.systems.poseanything.camera import motion_of, rectangles
from jaxanim.systems.poseanything.config import PoseAnythingConfig
from jaxanim.systems.poseanything.network import PoseMLPConfig
from jaxanim.systems.poseanything.parts import merge_segments, part_masks
from jaxanim.systems.poseanything.sparse import keep_share
from jaxanim.systems.poseanything.together import PROMPTS
from jaxanim.weights import load_settings, load_weights, read_description, save_weights

__all__ = ["Config", "Options", "load", "run", "save"]

Config = PoseAnythingConfig
NAME = SYSTEM.name
NETWORKS = ("vae", "transformer")
OPTIONAL = ("text_encoder", "pose_mlp")

Embed = Callable[[Sequence[str]], Float[Array | np.ndarray, "prompts tokens text"]]


def run(
    params: PyTree,
    config: Config,
    reference: Float[Array, "height width 3"],
    driving: Driving,
    *,
    embed: Embed,
    options: Options,
    **chosen: Any,
) -> Float[Array, "frames height width 3"]:
    """Moves `reference` by the skeleton graph of `driving`; `chosen` as for `animate`.

    Args:
      embed: prompts to their embeddings.
    """
    motion = motion_from(driving, config, (reference.shape[0], reference.shape[1]), options)
    text = jnp.asarray(embed([driving.prompt or "", driving.negative or ""]))
    return animate(params, config, reference, motion, text, options=options, **chosen)


def motion_from(driving: Driving, config: Config, size: tuple[int, int], options: Options) -> Motion:
    """What `animate` is given of a driving in pictures of (height, width) `size`."""
    graph = graph_of(driving)
    kept = keep_share(options.pose_share, len(graph.points))
    shown = kept[:, None, None, None].astype(np.uint8)
    masks = None
    if options.parts != "none" and config.transformer.part_attention:
        rules = config.rules
        segments = merge_segments(segment_masks(graph, size), rules.most_parts, rules.fewest_pixels)
        body = None if driving.still.masks is None else driving.still.masks[0] > 127
        masks = part_masks(segments, body, options.dilation) * shown
    camera = motion_of(driving.camera, len(graph.points), size)
    drawn = None if camera is None else rectangles(camera, size)
    return Motion(draw_segments(graph, size) * shown, masks, drawn)


def load(weights: str | os.PathLike, **options: Any) -> System:
    """PoseAnything from a weights folder; raises InputError for anything that is not its weights, whole.

    `options` are those of `jaxanim.weights.load_weights`. A folder has a small text encoder with its tokenizer, or,
    where the encoder is large, PROMPTS: embedded prompts alone can then be used.
    """
    config, params, tokenizer = read(weights, **options)
    length, encoder = config.rules.prompt_length, config.text_encoder
    if encoder is None:
        embed: Embed = partial(load_prompts, Path(weights) / PROMPTS, length=length)
    else:
        embed = partial(embedded, params["text_encoder"], config, tokenizer)
    _, rows, columns = config.transformer.patch_size
    grid = Grid(config.vae.downscale * max(rows, columns), (config.vae.frames_per_latent, 1))
    return System(SYSTEM, config, jax.tree.map(jnp.asarray, params), grid, partial(run, embed=embed))


def embedded(
    params: PyTree, config: Config, tokenizer: Tokenizer, prompts: Sequence[str]
) -> Float[Array, "prompts tokens text"]:
    """Prompts by the system's text encoder, as Wan reads them: masked, and zero beyond their ends."""
    rule = PromptRule(config.rules.prompt_length, masked=True)
    return embed_prompts(params, config.text_encoder, tokenizer, list(prompts), rule)


def read(weights: str | os.PathLike, **options: Any) -> tuple[Config, PyTree, Tokenizer | None]:
    """What `load` makes a system of, as `jaxanim.weights.load_weights` reads it."""
    settings = load_settings(weights)
    held = tuple(name for name in OPTIONAL if name in read_description(weights)["networks"])
    networks = load_weights(weights, system=NAME, networks=(*NETWORKS, *held), shapes=parameter_shapes, **options)
    configs = {name: config for name, (config, _) in networks.items() if name != "pose_mlp"}
    params = {name: tree for name, (_, tree) in networks.items()}
    tokenizer = load_sentencepiece(Path(weights) / "tokenizer") if "text_encoder" in held else None
    config = Config(**configs, **settings)
    config.check()
    return config, params, tokenizer


def save(
    params: PyTree, config: Config, tokenizer: Tokenizer | None, folder: str | os.PathLike, metadata=None
) -> None:
    """Writes what `load` reads, in float16."""
    networks = {name: (getattr(config, name), params[name]) for name in NETWORKS}
    if config.text_encoder is not None:
        networks["text_encoder"] = (config.text_encoder, params["text_encoder"])
        path = Path(folder) / "tokenizer" / "tokenizer.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        tokenizer.save(str(path))
    if config.rules.injection == "mlp":
        networks["pose_mlp"] = (PoseMLPConfig(config.vae.z_dim), params["pose_mlp"])
    settings = {name: getattr(config, name) for name in ("rules", "diffusion", "defaults")}
    save_weights(folder, networks, system=NAME, settings=settings, metadata=metadata)
