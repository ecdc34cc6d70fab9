"""Stable Diffusion as the program uses it: weights from a folder, one call from prompt to pixels."""

import dataclasses
import os
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree
from tokenizers import Tokenizer

from jaxanim.errors import InputError
from jaxanim.models.shapes import parameter_shapes
from jaxanim.models.tokenizer import load_tokenizer, read_prompts, save_tokenizer
from jaxanim.systems.base import Grid, Memory, Report, Sampling
from jaxanim.systems.stable_diffusion import SYSTEM
from jaxanim.systems.stable_diffusion.config import StableDiffusionConfig
from jaxanim.systems.stable_diffusion.generate import decode, encode_prompts, sample_latents
from jaxanim.weights import load_settings, load_weights, read_description, save_weights

Config = StableDiffusionConfig
NAME = SYSTEM.name
NETWORKS = ("vae", "text_encoder", "unet")


@dataclasses.dataclass(frozen=True)
class Options:
    """No knobs beyond those of `Sampling` and `Memory`."""


@dataclasses.dataclass(frozen=True)
class StableDiffusion:
    """A loaded Stable Diffusion; `params` holds one tree per network."""

    config: StableDiffusionConfig
    params: PyTree
    tokenizer: Tokenizer

    @property
    def defaults(self) -> Sampling:
        """What to use where nothing is said."""
        return self.config.defaults

    @property
    def grid(self) -> Grid:
        """Height and width are multiples of the pixels along a latent's side."""
        return Grid(self.config.vae.downscale)

    def generate(
        self,
        prompt: str,
        *,
        negative: str = "",
        size: tuple[int, int] | None = None,
        frames: int = 1,
        key: jax.Array | None = None,
        noise: Float[Array | np.ndarray, "frames h w channels"] | None = None,
        sampling: Sampling | None = None,
        control: Float[Array | np.ndarray, "control_frames height width 3"] | None = None,
        control_scale: float = 1.0,
        memory: Memory = Memory(),
        report: Report | None = None,
    ) -> Float[Array, "frames height width 3"]:
        """Frames in [-1, 1] of a prompt: one, or with AnimateDiff's motion modules a video.

        Args:
          negative: what guidance leads away from.
          size: (height, width) in pixels.
          key: random key of the starting noise; or `noise` itself, to start as another program did.
          control: the ControlNet's picture in [0, 1], or one for each frame.
          sampling: `self.defaults` if None.

        Raises:
          InputError: a size that is not on the grid, neither or both of key and noise, or what
            `sample_latents` refuses.
        """
        height, width = size or self.defaults.size
        multiple, channels = self.grid.side, self.config.unet.in_channels
        if height % multiple or width % multiple:
            raise InputError(f"size is {width}x{height}: width and height have to be multiples of {multiple}")
        if (key is None) == (noise is None):
            raise InputError("give key or noise: one of the two should be None")
        shape = (frames, height // multiple, width // multiple, channels)
        noise = jax.random.normal(key, shape) if noise is None else jnp.asarray(noise, jnp.float32)
        if noise.shape != shape:
            raise InputError(f"noise has shape {noise.shape}; for this size and these frames it should be {shape}")
        tokens = jnp.asarray(read_prompts(self.tokenizer, [prompt, negative]))
        text, plain = jnp.split(encode_prompts(self.params, self.config, tokens), 2)
        latents = sample_latents(
            self.params,
            self.config,
            text,
            plain,
            noise[None],
            sampling=sampling or self.defaults,
            control=None if control is None else jnp.asarray(control, jnp.float32)[None],
            control_scale=control_scale,
            memory=memory,
            report=report,
        )
        return decode(self.params, self.config, latents, memory)[0]


def load(weights: str | os.PathLike, **options: Any) -> StableDiffusion:
    """Stable Diffusion from a weights folder, in float32; `options` are those of `jaxanim.weights.load_weights`:
    `dtype` and `sharding`.

    Raises InputError for anything that is not its weights, whole. The ControlNet is optional.
    """
    present = read_description(weights)["networks"]
    wanted = NETWORKS + (("controlnet",) if "controlnet" in present else ())
    networks = load_weights(weights, system=NAME, networks=wanted, shapes=parameter_shapes, **options)
    known = {field.name for field in dataclasses.fields(StableDiffusionConfig)}
    settings = {name: value for name, value in load_settings(weights).items() if name in known}
    config = StableDiffusionConfig(**{name: config for name, (config, _) in networks.items()}, **settings)
    params = jax.tree.map(jnp.asarray, {name: tree for name, (_, tree) in networks.items()})
    return StableDiffusion(config, params, load_tokenizer(Path(weights) / "tokenizer"))


def save(
    params: PyTree,
    config: StableDiffusionConfig,
    tokenizer: Tokenizer,
    folder: str | os.PathLike,
    metadata: dict | None = None,
) -> None:
    """Writes what `load` reads, in float16."""
    names = NETWORKS + (() if config.controlnet is None else ("controlnet",))
    save_tokenizer(tokenizer, Path(folder) / "tokenizer")
    save_weights(
        folder,
        {name: (getattr(config, name), params[name]) for name in names},
        system=NAME,
        settings={"diffusion": config.diffusion, "defaults": config.defaults},
        metadata=metadata,
    )
