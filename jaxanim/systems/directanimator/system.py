"""DirectAnimator as the programs use it: weights in one folder, one call that animates by an ordinary video."""

import dataclasses
import os
from typing import Any, Literal

import jax
import numpy as np
from jaxtyping import Array, Float, PyTree

from jaxanim.cues.driving import Driving
from jaxanim.errors import InputError
from jaxanim.models.shapes import parameter_shapes
from jaxanim.systems.base import Grid, Memory, Report, Sampling, System
from jaxanim.systems.directanimator import SYSTEM
from jaxanim.systems.directanimator.animate import animate
from jaxanim.systems.directanimator.config import DirectAnimatorConfig
from jaxanim.systems.directanimator.cues import cue_triplet
from jaxanim.weights import load_settings, load_weights, save_weights

Config = DirectAnimatorConfig
NETWORKS = ("transformer", "vae")


@dataclasses.dataclass(frozen=True)
class Options:
    """What can be left out of the cues, or done otherwise.

    Attributes:
      face: drive the face by the face cue.
      location: tell where body and face should be.
      align_location: bring the location cue to the reference's place and size (Eqs. 9 to 12).
      solver: DDIM, or DPM-Solver++ with fresh noise.
    """

    face: bool = True
    location: bool = True
    align_location: bool = True
    solver: Literal["ddim", "dpm"] = "ddim"


def run(
    params: PyTree,
    config: Config,
    reference: Float[Array, "height width 3"],
    driving: Driving,
    *,
    key: jax.Array,
    sampling: Sampling,
    options: Options = Options(),
    memory: Memory = Memory(),
    report: Report | None = None,
) -> Float[Array, "frames height width 3"]:
    """Animates `reference` by the pixels of `driving`'s video.

    Raises InputError where it is longer than the window, has no masks, or nobody in it.
    """
    frames = len(driving.pictures["video"])
    if frames > sampling.window:
        raise InputError(f"motion has {frames} frames: these weights make up to {sampling.window}; use --frames")
    asked = {"face": options.face, "location": options.location, "align": options.align_location}
    chosen = {name: wish and getattr(config.cues, name) for name, wish in asked.items()}
    cues = cue_triplet(driving, driving.still, reference.shape[:2], dataclasses.replace(config.cues, **chosen))
    return animate(
        params, config, reference, cues, key=key, sampling=sampling, solver=options.solver,
        in_turn=memory.guidance_in_turn, report=report,
    )  # fmt: skip


def load(weights: str | os.PathLike, **options: Any) -> System:
    """DirectAnimator from a weights folder; `options` are those of `jaxanim.systems.load`."""
    config, params = read(weights, **options)
    side = config.vae.downscale * config.transformer.transformer.patch_size
    return System(SYSTEM, config, params, Grid(side, (2 * config.vae.temporal_compression_ratio, 1)), run)


def read(weights: str | os.PathLike, **options: Any) -> tuple[Config, PyTree]:
    """(config, parameters) of a weights folder; raises InputError as `load_weights` does."""
    networks = load_weights(weights, system=SYSTEM.name, networks=NETWORKS, shapes=parameter_shapes, **options)
    config = Config(**{name: networks[name][0] for name in NETWORKS}, **load_settings(weights))
    return config, with_prompt({name: networks[name][1] for name in NETWORKS}, config)


def with_prompt(params: PyTree, config: Config) -> PyTree:
    """Parameters with the embedding of the prompt that every video has: zeros, for no text encoder comes along."""
    return params | {"empty_prompt": np.zeros((1, config.transformer.transformer.text_embed_dim), np.float32)}


def save(params: PyTree, config: Config, folder: str | os.PathLike, metadata: Any = None) -> None:
    """Writes what `load` reads, in float16."""
    networks = {name: (getattr(config, name), params[name]) for name in NETWORKS}
    settings = {name: getattr(config, name) for name in ("cues", "diffusion", "defaults")}
    save_weights(folder, networks, system=SYSTEM.name, settings=settings, metadata=metadata)
