"""MagicPose as the programs use it: trained parts over a base model, one call that animates.

`params` holds one tree per network and "empty_prompt" [length, width], the embedded text "" that every branch of
the released system is given.
"""

import dataclasses
import os
from typing import Any

from jaxtyping import Array, Float, PyTree

from jaxanim.cues.driving import Driving
from jaxanim.errors import InputError
from jaxanim.models.motion import merge_motion, split_motion
from jaxanim.models.shapes import parameter_shapes
from jaxanim.models.unet_config import image_form
from jaxanim.systems.base import Grid, System, unit
from jaxanim.systems.base_model import BaseModel, check_fits, load_base
from jaxanim.systems.conditions import prepare
from jaxanim.systems.magicpose import SYSTEM
from jaxanim.systems.magicpose.animate import Options, animate
from jaxanim.systems.magicpose.config import MagicPoseConfig
from jaxanim.weights import base_folder, load_settings, load_weights, read_description, save_weights

__all__ = ["Config", "Options", "load", "run", "save"]

Config = MagicPoseConfig
NAME = SYSTEM.name
PARTS = ("appearance_model", "controlnet")


def run(
    params: PyTree, config: Config, reference: Float[Array, "height width 3"], driving: Driving, **chosen: Any
) -> Float[Array, "frames height width 3"]:
    """Re-poses `reference` by the OpenPose drawings of `driving`; `chosen` as for `animate`."""
    return animate(params, config, reference, unit(driving.pictures["openpose"]), **chosen)


def load(weights: str | os.PathLike, base: str | os.PathLike | None = None, **options: Any) -> System:
    """MagicPose from a folder of trained parts and the base that it names, or another base of the family.

    `options` are those of `jaxanim.systems.load`.

    Raises:
      InputError: parts or base are missing or damaged, or the base is of another architecture than the parts.
    """
    parts, settings = load_parts(weights, **options)
    base = base or base_folder(weights)
    if base is None:
        raise InputError(f"weights folder {weights} names no base model: name its folder as base")
    foundation = load_base(base, **options)
    check_fits(foundation.unet, parts["appearance_model"][0], weights, base)
    config, params = assemble(foundation, parts, settings)
    return System(SYSTEM, config, params, Grid(config.vae.downscale), run)


def load_parts(weights: str | os.PathLike, **options: Any) -> tuple[dict[str, tuple[Any, PyTree]], dict[str, Any]]:
    """(networks with their configs, settings) of a folder of trained parts; "motion" where there is one."""
    motion = ("motion",) if "motion" in read_description(weights)["networks"] else ()
    networks = load_weights(weights, system=NAME, networks=(*PARTS, *motion), shapes=parameter_shapes, **options)
    return networks, load_settings(weights)


def assemble(
    base: BaseModel, parts: dict[str, tuple[Any, PyTree]], settings: dict[str, Any]
) -> tuple[MagicPoseConfig, PyTree]:
    """(config, parameters) of a MagicPose with these parts on this base, whose own parameters stay as they are."""
    unet, params = dataclasses.replace(base.unet, readers="all"), dict(base.params)
    if "motion" in parts:
        video, modules = parts["motion"]
        unet = dataclasses.replace(unet, motion=video.motion, pool_frames=video.pool_frames)
        params["unet"] = merge_motion(params["unet"], modules)
    config = MagicPoseConfig(base.vae, base.text_encoder, unet, parts["controlnet"][0], **settings)
    params |= {name: parts[name][1] for name in PARTS}
    return config, prepare(params, config, base.tokenizer)


def save(
    params: PyTree, config: MagicPoseConfig, base: str | os.PathLike, folder: str | os.PathLike, metadata=None
) -> None:
    """Writes what `load` reads, in float16: the trained parts, and where the base is."""
    image = image_form(config.unet)
    networks: dict[str, tuple[Any, PyTree]] = {
        "appearance_model": (image, params["appearance_model"]),
        "controlnet": (config.controlnet, params["controlnet"]),
    }
    if config.unet.motion is not None:
        networks["motion"] = (config.unet, split_motion(params["unet"])[1])
    write(networks, _settings(config), base, folder, metadata)


def write(
    networks: dict[str, tuple[Any, PyTree]],
    settings: dict[str, Any],
    base: str | os.PathLike,
    folder: str | os.PathLike,
    metadata=None,
) -> None:
    """Writes trained parts, from wherever they come, as one weights folder."""
    save_weights(folder, networks, system=NAME, settings=settings, metadata=metadata, base=base)


def _settings(config: MagicPoseConfig) -> dict[str, Any]:
    return {name: getattr(config, name) for name in ("multi_source", "diffusion", "defaults")}
