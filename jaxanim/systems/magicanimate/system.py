"""MagicAnimate as the programs use it: weights from a folder, one call that animates."""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from jaxanim.errors import InputError
from jaxanim.models.clip_text import embed_prompts
from jaxanim.models.tokenizer import load_tokenizer, save_tokenizer
from jaxanim.systems.base import Defaults
from jaxanim.systems.magicanimate.animate import Options, animate
from jaxanim.systems.magicanimate.config import MagicAnimateConfig, image_form
from jaxanim.systems.networks import networks_in_dtype, shapes
from jaxanim.weights import load_settings, load_weights, save_weights

NAME = "magicanimate"
NETWORKS = ("vae", "text_encoder", "unet", "appearance_encoder", "controlnet")


@dataclasses.dataclass(frozen=True)
class MagicAnimate:
    """A loaded MagicAnimate; see `jaxanim.systems.System` for the contract.

    `params` holds one tree per network and "empty_prompt" [length, width], the embedded text "" that every
    branch of the released system is given.
    """

    config: MagicAnimateConfig
    params: PyTree
    name: str = NAME

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
        known = {field.name for field in dataclasses.fields(Options)}
        for name in options:
            if name not in known:
                raise InputError(f"option {name!r} is not one of MagicAnimate's: {', '.join(sorted(known))}")
        return animate(
            self.params,
            self.config,
            jnp.asarray(reference, jnp.float32),
            jnp.asarray(motion, jnp.float32),
            key=key,
            steps=defaults.steps if steps is None else steps,
            guidance=defaults.guidance if guidance is None else guidance,
            options=Options(**{"window": defaults.window, "overlap": defaults.overlap} | options),
            report=report,
        )


def load(weights: str | os.PathLike, dtype: str | None = None) -> MagicAnimate:
    """MagicAnimate from a weights folder, in `dtype` ("bfloat16", "float16") or float32.

    Raises InputError for anything that is not its weights, whole.
    """
    settings = load_settings(weights)
    networks = networks_in_dtype(load_weights(weights, system=NAME, networks=NETWORKS, shapes=shapes), dtype)
    configs = {name: config for name, (config, _) in networks.items() if name != "appearance_encoder"}
    config = MagicAnimateConfig(**configs, **settings)
    params = {name: tree for name, (_, tree) in networks.items()}
    return MagicAnimate(config, prepare(params, config, load_tokenizer(Path(weights) / "tokenizer")))


def prepare(params: PyTree, config: MagicAnimateConfig, tokenizer) -> PyTree:
    """`params` on the device, with the empty prompt embedded."""
    params = jax.tree.map(jnp.asarray, params)
    empty = embed_prompts(params["text_encoder"], config.text_encoder, tokenizer, [""])[0]
    return params | {"empty_prompt": empty}


def save(params: PyTree, config: MagicAnimateConfig, tokenizer, folder: str | os.PathLike, metadata=None) -> None:
    """Writes what `load` reads, in float16."""
    configs = {"vae": config.vae, "text_encoder": config.text_encoder, "unet": config.unet,
               "appearance_encoder": image_form(config.unet), "controlnet": config.controlnet}  # fmt: skip
    save_tokenizer(tokenizer, Path(folder) / "tokenizer")
    save_weights(
        folder,
        {name: (configs[name], params[name]) for name in NETWORKS},
        system=NAME,
        settings={"diffusion": config.diffusion, "defaults": config.defaults},
        metadata=metadata,
    )
