"""What finishing asks of a system."""

import os
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np
from jaxtyping import Array, Float, PyTree, UInt8

from jaxanim.models.vae import VAEConfig
from jaxanim.training.task import Params, Place


@runtime_checkable
class Weights(Protocol):
    """Trained weights of a system that makes frames from a reference image, opened.

    Attributes:
      vae: sizes of the autoencoder; its parameters are "vae" in `params`.
      params: every network's parameters, as stored.
      settings: what decides a sample beside the parameters; the `repr` says all of it.
      guided: whether its samples are guided, so that a step of training would compute two branches.
      labels: the fields of clips that drive it, such as ("parts",).
      generator: regular expressions over the paths of the parameters that make a frame's latents.
    """

    vae: VAEConfig
    params: PyTree
    settings: Any
    guided: bool
    labels: tuple[str, ...]
    generator: tuple[str, ...]

    def init(self, place: Place | None = None) -> Params:
        """All parameters as new arrays, ready to be sampled with."""
        ...

    def sample_latents(
        self,
        params: Params,
        reference: Float[Array, "batch h w channels"],
        labels: Mapping[str, Array],
        key: jax.Array,
    ) -> Float[Array, "batch frames h w channels"]:
        """Scaled latents of single frames, sampled as the weights ask for from noise drawn by `key`.

        Args:
          reference: scaled latents.
          labels: of the frames, [batch, frames, ...].
        """
        ...

    def sheet(self, params: Params, size: tuple[int, int], key: jax.Array) -> UInt8[np.ndarray, "height width 3"]:
        """A picture of what it does with validation clips of this (height, width)."""
        ...

    def save(self, params: Params, vae: VAEConfig, folder: str | os.PathLike) -> None:
        """Writes weights with these parameters, whose autoencoder has the sizes `vae`."""
        ...


@runtime_checkable
class Start(Protocol):
    """A frozen dataclass in a recipe: the system and the folder of the weights to begin with."""

    folder: str

    def open(self) -> Weights: ...
