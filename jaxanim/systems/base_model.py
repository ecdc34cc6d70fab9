"""The base model under a system that plugs into one: autoencoder, text encoder, UNet and tokenizer of any
weights folder that has them, a "stable_diffusion" one or another system's."""

import dataclasses
import os
from pathlib import Path
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict
from jaxtyping import PyTree

from jaxanim.diffusion.betas import Betas
from jaxanim.errors import InputError
from jaxanim.models.clip_text import CLIPTextConfig
from jaxanim.models.motion import split_motion
from jaxanim.models.shapes import parameter_shapes
from jaxanim.models.tokenizer import Tokenizer, load_tokenizer
from jaxanim.models.unet_config import EncoderConfig, UNetConfig, image_form
from jaxanim.models.vae import VAEConfig
from jaxanim.systems.base import Sampling
from jaxanim.systems.stable_diffusion.config import StableDiffusionConfig
from jaxanim.systems.stable_diffusion.system import save
from jaxanim.weights import load_weights

NETWORKS = ("vae", "text_encoder", "unet")
# Fields of a UNet's config that change neither the shapes of parameters nor what they mean.
_FREE = {"motion", "pool_frames", "attention_kernel", "dtype", "param_dtype", "remat", "readers"}


@dataclasses.dataclass(frozen=True)
class BaseModel:
    """A base model: configs, parameters by network, tokenizer. The UNet is an image UNet."""

    vae: VAEConfig
    text_encoder: CLIPTextConfig
    unet: UNetConfig
    params: PyTree
    tokenizer: Tokenizer


def load_base(folder: str | os.PathLike, **options: Any) -> BaseModel:
    """The base in a weights folder; motion modules that another system put into its UNet are left out.

    `options` are those of `jaxanim.weights.load_weights`.

    Raises:
      InputError: the folder has no base's networks, or they are damaged.
    """
    loaded = load_weights(folder, networks=NETWORKS, shapes=parameter_shapes, **options)
    params = {name: tree for name, (_, tree) in loaded.items()}
    params["unet"] = split_motion(params["unet"])[0]
    return BaseModel(
        loaded["vae"][0],
        loaded["text_encoder"][0],
        image_form(loaded["unet"][0]),
        params,
        load_tokenizer(Path(folder) / "tokenizer"),
    )


def same_base(params: PyTree, base: BaseModel) -> bool:
    """Whether the base's networks among `params` (in float32) hold the numbers that `base` has."""
    now = {name: params[name] for name in NETWORKS} | {"unet": split_motion(params["unet"])[0]}
    before, after = (flatten_dict(tree, sep="/") for tree in ({name: base.params[name] for name in NETWORKS}, now))
    return before.keys() == after.keys() and all(
        np.array_equal(np.asarray(before[path], np.float32), after[path]) for path in before
    )


def save_base(
    params: PyTree, base: BaseModel, diffusion: Betas, defaults: Sampling, folder: str | os.PathLike
) -> None:
    """Writes the base's networks among `params` as a "stable_diffusion" folder."""
    config = StableDiffusionConfig(
        base.vae, base.text_encoder, base.unet, diffusion=diffusion, defaults=defaults
    )  # fmt: skip
    save(params | {"unet": split_motion(params["unet"])[0]}, config, base.tokenizer, folder)


def check_fits(base: UNetConfig, trained: EncoderConfig, folder: str | os.PathLike, on: str | os.PathLike) -> None:
    """Raises InputError where parts that were trained around one UNet, or as copies of its encoder, are put on one
    of another architecture.

    Args:
      folder: of the trained parts; `on`: of the base.
    """
    for field in dataclasses.fields(trained):
        needs = getattr(trained, field.name)
        has = getattr(base, field.name, needs)
        if field.name not in _FREE and has != needs:
            raise InputError(
                f"base {on} has a UNet with {field.name} {has}; the parts in {folder} were trained on {needs}"
            )
