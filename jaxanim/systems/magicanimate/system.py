"""MagicAnimate as the programs use it: weights from a folder, one call that animates."""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from jaxanim.models.shapes import parameter_shapes
from jaxanim.models.tokenizer import load_tokenizer, save_tokenizer
from jaxanim.systems.base import Defaults, make_options
from jaxanim.systems.conditions import prepare
from jaxanim.systems.magicanimate.animate import Options, animate
from jaxanim.systems.magicanimate.config import MagicAnimateConfig, image_form
from jaxanim.weights import load_config, load_settings, load_weights, read_description, save_weights

__all__ = ["CUE", "NAME", "MagicAnimate", "load", "prepare", "save"]

NAME = "magicanimate"
CUE = "densepose"
NETWORKS = ("vae", "text_encoder", "unet", "controlnet")


@dataclasses.dataclass(frozen=True)
class MagicAnimate:
    """A loaded MagicAnimate; see `jaxanim.systems.System` for the contract.

    `params` holds one tree per network and "empty_prompt" [length, width], the embedded text "" that every
    branch of the released system is given.
    """

    config: MagicAnimateConfig
    params: PyTree
    name: str = NAME
    cue: str = CUE

    @property
    def defaults(self) -> Defaults:
        """What the weights were trained for."""
        return self.config.defaults

    @property
    def frame_multiple(self) -> int:
        """Height and width must be multiples of this, the pixels along a latent's side."""
        return self.config.vae.downscale

    def animate(
        self,
        reference: Float[Array | np.ndarray, "height width 3"],
        motion: Float[Array | np.ndarray, "frames height width 3"],
        *,
        key: jax.Array,
        steps: int | None = None,
        guidance: float | None = None,
        report: Callable[[int, int], None] | None = None,
        **options,
    ) -> Float[Array, "frames height width 3"]:
        """Moves `reference` by DensePose frames; `options` are the fields of `animate.Options`."""
        defaults = self.defaults
        options = {"window": defaults.window, "overlap": defaults.overlap} | options
        return animate(
            self.params,
            self.config,
            jnp.asarray(reference, jnp.float32),
            jnp.asarray(motion, jnp.float32),
            key=key,
            steps=defaults.steps if steps is None else steps,
            guidance=defaults.guidance if guidance is None else guidance,
            options=make_options(Options, "MagicAnimate", options),
            report=report,
        )


def load(weights: str | os.PathLike, **options: Any) -> MagicAnimate:
    """MagicAnimate from a weights folder; raises InputError for anything that is not its weights, whole.

    `options` are those of `jaxanim.weights.load_weights`: `dtype` and `sharding`.
    """
    settings = load_settings(weights)
    networks = load_weights(
        weights, system=NAME, networks=(*NETWORKS, _reader(weights)), shapes=parameter_shapes, **options
    )
    configs = {name: config for name, (config, _) in networks.items() if name != "appearance_encoder"}
    config = MagicAnimateConfig(**configs, **settings)
    params = {name: tree for name, (_, tree) in networks.items()}
    return MagicAnimate(config, prepare(params, config, load_tokenizer(Path(weights) / "tokenizer")))


def _reader(weights: str | os.PathLike) -> str:
    """The network that reads the reference image."""
    clip = "image_encoder" in read_description(weights)["networks"]
    return "image_encoder" if clip else "appearance_encoder"


def read_config(weights: str | os.PathLike) -> MagicAnimateConfig:
    """The sizes and defaults of MagicAnimate weights, without their parameters."""
    names = [name for name in (*NETWORKS, _reader(weights)) if name != "appearance_encoder"]
    return MagicAnimateConfig(**{name: load_config(weights, name) for name in names}, **load_settings(weights))


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
