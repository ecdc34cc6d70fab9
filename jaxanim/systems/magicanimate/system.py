"""MagicAnimate as the programs use it: weights from a folder, one call that animates.

`params` holds one tree per network and "empty_prompt" [length, width], the embedded text "" that every branch of
the released system is given.
"""

import os
from pathlib import Path
from typing import Any

from jaxtyping import Array, Float, PyTree

from jaxanim.cues.driving import Driving
from jaxanim.models.shapes import parameter_shapes
from jaxanim.models.tokenizer import Tokenizer, load_tokenizer, save_tokenizer
from jaxanim.systems.base import Grid, System, unit
from jaxanim.systems.conditions import prepare
from jaxanim.systems.magicanimate import SYSTEM
from jaxanim.systems.magicanimate.animate import Options, animate
from jaxanim.systems.magicanimate.config import MagicAnimateConfig, image_form
from jaxanim.weights import load_settings, load_weights, read_description, save_weights

__all__ = ["Config", "Options", "load", "prepare", "run", "save"]

Config = MagicAnimateConfig
NAME = SYSTEM.name
NETWORKS = ("vae", "text_encoder", "unet", "controlnet")


def run(
    params: PyTree, config: Config, reference: Float[Array, "height width 3"], driving: Driving, **chosen: Any
) -> Float[Array, "frames height width 3"]:
    """Moves `reference` by the DensePose frames of `driving`; `chosen` as for `animate`."""
    return animate(params, config, reference, unit(driving.pictures["densepose"]), **chosen)


def load(weights: str | os.PathLike, **options: Any) -> System:
    """MagicAnimate from a weights folder; raises InputError for anything that is not its weights, whole.

    `options` are those of `jaxanim.weights.load_weights`: `dtype` and `sharding`.
    """
    config, params, tokenizer = read(weights, **options)
    return System(SYSTEM, config, prepare(params, config, tokenizer), Grid(config.vae.downscale), run)


def read(weights: str | os.PathLike, **options: Any) -> tuple[MagicAnimateConfig, PyTree, Tokenizer]:
    """What `load` makes a system of, as `jaxanim.weights.load_weights` reads it."""
    settings = load_settings(weights)
    networks = load_weights(
        weights, system=NAME, networks=(*NETWORKS, _reader(weights)), shapes=parameter_shapes, **options
    )
    configs = {name: config for name, (config, _) in networks.items() if name != "appearance_encoder"}
    params = {name: tree for name, (_, tree) in networks.items()}
    return MagicAnimateConfig(**configs, **settings), params, load_tokenizer(Path(weights) / "tokenizer")


def _reader(weights: str | os.PathLike) -> str:
    """The network that reads the reference image."""
    clip = "image_encoder" in read_description(weights)["networks"]
    return "image_encoder" if clip else "appearance_encoder"


def save(params: PyTree, config: MagicAnimateConfig, tokenizer, folder: str | os.PathLike, metadata=None) -> None:
    """Writes what `load` reads, in float16."""
    configs = {name: getattr(config, name) for name in NETWORKS}
    if config.image_encoder is None:
        configs["appearance_encoder"] = image_form(config.unet)
    else:
        configs["image_encoder"] = config.image_encoder
    save_tokenizer(tokenizer, Path(folder) / "tokenizer")
    save_weights(
        folder,
        {name: (network, params[name]) for name, network in configs.items()},
        system=NAME,
        settings={"diffusion": config.diffusion, "defaults": config.defaults},
        metadata=metadata,
    )
