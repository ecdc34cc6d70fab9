"""PoseAnimate as the programs use it: any Stable Diffusion 1.5 with a pose ControlNet, one call that animates."""

import os
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree
from tokenizers import Tokenizer

from jaxanim.cues.driving import Driving
from jaxanim.errors import InputError
from jaxanim.models.tokenizer import encode
from jaxanim.systems import stable_diffusion
from jaxanim.systems.base import Grid, Memory, Report, Sampling, System
from jaxanim.systems.poseanimate import SYSTEM
from jaxanim.systems.poseanimate.animate import Options, Prompts, animate
from jaxanim.systems.poseanimate.masks import subject_tokens
from jaxanim.systems.stable_diffusion.config import StableDiffusionConfig
from jaxanim.systems.stable_diffusion.generate import encode_prompts

__all__ = ["Config", "Options", "load", "run"]

Config = StableDiffusionConfig


def load(weights: str | os.PathLike, **options: Any) -> System:
    """PoseAnimate on a Stable Diffusion with a ControlNet for OpenPose drawings; nothing of it is trained for this.

    `options` are those of `jaxanim.weights.load_weights`. Raises InputError for weights without a ControlNet.
    """
    base = stable_diffusion.SYSTEM.module.load(weights, **options)
    if base.config.controlnet is None:
        raise InputError(
            f"weights folder {weights} has no network 'controlnet': PoseAnimate needs one for OpenPose drawings"
        )
    return System(SYSTEM, base.config, base.params, Grid(base.config.vae.downscale), partial(run, base.tokenizer))


def run(
    tokenizer: Tokenizer,
    params: PyTree,
    config: Config,
    reference: Float[Array, "height width 3"],
    driving: Driving,
    *,
    key: jax.Array,
    sampling: Sampling,
    options: Options,
    memory: Memory,
    report: Report | None = None,
) -> Float[Array, "frames height width 3"]:
    """Moves `reference` as `driving` says: by its keypoints, prompt and subject; see `animate`.

    Raises:
      InputError: the subject's words are not in the prompt, or the reference's mask is of another size.
    """
    told = embed(tokenizer, params, config, driving)
    mask = driving.still.masks
    if mask is not None and mask.shape[1:] != reference.shape[:2]:
        height, width = mask.shape[1:]
        raise InputError(
            f"reference_mask is {width}x{height}; it should be {reference.shape[1]}x{reference.shape[0]}, as the "
            "reference"
        )
    return animate(
        params,
        config,
        told,
        reference,
        driving.still.keypoints,
        driving.keypoints,
        mask=None if mask is None else jnp.asarray(mask[0], jnp.float32) / 255,
        sampling=sampling,
        options=options,
        memory=memory,
        report=report,
    )


def embed(tokenizer: Tokenizer, params: PyTree, config: Config, driving: Driving) -> Prompts:
    """The prompt, what it is guided away from, and where the subject's words are in it."""
    words = subject_tokens(tokenizer, driving.prompt, driving.subject)
    tokens = jnp.asarray(encode(tokenizer, [driving.prompt, driving.negative or ""]))
    text = encode_prompts(params, config, tokens)
    return Prompts(text[0], text[1], jnp.asarray(words))
