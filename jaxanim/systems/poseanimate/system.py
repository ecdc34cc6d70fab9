"""PoseAnimate as the programs use it: any Stable Diffusion 1.5 with a pose ControlNet, one call that animates."""

import dataclasses
import os
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree
from tokenizers import Tokenizer

from jaxanim.cues.driving import Driving
from jaxanim.errors import InputError
from jaxanim.media.tell import tell
from jaxanim.models.shapes import parameter_shapes
from jaxanim.models.tokenizer import encode, lost_words
from jaxanim.systems.base import Grid, Memory, Report, Sampling, System
from jaxanim.systems.base_model import check_fits, load_base
from jaxanim.systems.poseanimate import SYSTEM
from jaxanim.systems.poseanimate.animate import Options, Prompts, animate
from jaxanim.systems.poseanimate.masks import subject_tokens
from jaxanim.systems.stable_diffusion.config import StableDiffusionConfig
from jaxanim.systems.stable_diffusion.generate import encode_prompts
from jaxanim.weights import base_folder, load_settings, load_weights, read_description

__all__ = ["Config", "Options", "load", "run"]

Config = StableDiffusionConfig
PAPER = {"steps": 50, "guidance": 7.5}  # Sec. 4.1


def load(weights: str | os.PathLike, base: str | os.PathLike | None = None, **options: Any) -> System:
    """PoseAnimate on a ControlNet for OpenPose drawings and a base; nothing of either is trained for this.

    The steps and the guidance of its defaults are the paper's, whatever the weights were made for.

    Args:
      weights: a folder with a ControlNet: a "stable_diffusion" one, or a system's that has learnt one.
      base: the folder of autoencoder, text encoder and UNet; None takes the base that `weights` names, or those in
        `weights` itself.
      options: those of `jaxanim.weights.load_weights`.

    Raises:
      InputError: `weights` has no ControlNet, or one for another architecture than the base's.
    """
    if "controlnet" not in read_description(weights)["networks"]:
        raise InputError(
            f"weights folder {weights} has no network 'controlnet': PoseAnimate needs one for OpenPose drawings"
        )
    own = load_weights(weights, networks=("controlnet",), shapes=parameter_shapes, **options)
    controlnet, tree = own["controlnet"]
    folder = base or base_folder(weights) or weights
    foundation = load_base(folder, **options)
    check_fits(foundation.unet, controlnet, weights, folder)
    settings = load_settings(weights, ("diffusion", "defaults"))
    defaults = dataclasses.replace(settings.get("defaults", Sampling()), **PAPER)
    networks = foundation.vae, foundation.text_encoder, foundation.unet, controlnet
    config = StableDiffusionConfig(*networks, settings.get("diffusion", Config().diffusion), defaults)
    params = jax.tree.map(jnp.asarray, foundation.params | {"controlnet": tree})
    return System(SYSTEM, config, params, Grid(config.vae.downscale), partial(run, foundation.tokenizer))


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
      InputError: the subject's words are not in the prompt, a text is too long, or the reference's mask is of
        another size.
    """
    told = embed(tokenizer, params, config, driving)
    mask = driving.still.masks
    if mask is not None and mask.shape[1:] != reference.shape[:2]:
        height, width = mask.shape[1:]
        raise InputError(
            f"reference_mask is {width}x{height}; it should be {reference.shape[1]}x{reference.shape[0]}, as the "
            "reference"
        )
    if options.mgdm and options.dcam:
        found = (
            "drawn around the poses" if options.masks == "pose" else f"where {driving.subject!r} draws attention"
        )
        tell(f"the character's masks are {found}{'' if mask is None else ', but the given one of the reference'}")
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
    """The prompt, what it is guided away from, and where the subject's words are in it; float32, whatever the text
    encoder computes in. InputError where a text is too long or lacks the subject's words."""
    for name in ("prompt", "negative"):
        text = getattr(driving, name) or ""
        if lost := lost_words(tokenizer, text):
            length = tokenizer.truncation["max_length"]
            raise InputError(f"{name} is {text!r}: it has more than {length} tokens, and ends before {lost!r}")
    words = subject_tokens(tokenizer, driving.prompt, driving.subject)
    tokens = jnp.asarray(encode(tokenizer, [driving.prompt, driving.negative or ""]))
    text = encode_prompts(params, config, tokens)
    return Prompts(*text.astype(jnp.float32), jnp.asarray(words))
