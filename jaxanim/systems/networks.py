"""What every system's loading needs: the shapes that a network's parameters have, and networks in fewer bits."""

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from jaxanim.errors import InputError
from jaxanim.models.appearance import AppearanceEncoder
from jaxanim.models.clip_text import CLIPText
from jaxanim.models.controlnet import ControlNet
from jaxanim.models.unet import UNet
from jaxanim.models.vae import VAE

Config = TypeVar("Config")

DTYPES = ("float32", "bfloat16", "float16")


def shapes(network: str, config: Any) -> PyTree:
    """The parameter shapes of a network of this config; "vae", "text_encoder", "controlnet" and
    "appearance_encoder" are told by name, any other name is a UNet's."""
    key, t = jax.random.key(0), jnp.zeros(1)
    if network == "vae":
        side = config.downscale
        return jax.eval_shape(VAE(config).init, key, jnp.zeros((1, 1, side, side, config.in_channels)))["params"]
    if network == "text_encoder":
        return jax.eval_shape(CLIPText(config).init, key, jnp.zeros((1, 2), jnp.int32))["params"]
    side = 2 ** (len(config.block_out_channels) - 1)
    x = jnp.zeros((1, 1, side, side, config.in_channels))
    text = jnp.zeros((1, 2, config.cross_attention_dim))
    if network == "controlnet":
        scale = 2 ** (len(config.conditioning_embedding_out_channels) - 1)
        cond = jnp.zeros((1, 1, side * scale, side * scale, config.conditioning_channels))
        return jax.eval_shape(ControlNet(config).init, key, x, t, text, cond)["params"]
    module = AppearanceEncoder if network == "appearance_encoder" else UNet
    return jax.eval_shape(module(config).init, key, x, t, text)["params"]


def networks_in_dtype(networks: Mapping[str, tuple[Any, PyTree]], dtype: str | None) -> dict:
    """Networks (config, host parameters) that hold their parameters and compute in `dtype`, still on the host.

    float16 and bfloat16 halve the memory of parameters and activations. Norms, softmax, timesteps, guidance and
    the sampler's latents stay in float32. None changes nothing.

    Raises:
      InputError: a dtype that is not in DTYPES, or a parameter that does not fit into it.
    """
    if dtype is None:
        return dict(networks)
    if dtype not in DTYPES:
        raise InputError(f"dtype is {dtype!r}: choose one of {', '.join(DTYPES)}")
    return {
        name: (config_in_dtype(config, dtype), _cast(name, params, dtype))
        for name, (config, params) in networks.items()
    }


def config_in_dtype(config: Config, dtype: str) -> Config:
    """A network's frozen config that keeps parameters and computes in `dtype`."""
    return dataclasses.replace(config, dtype=dtype, param_dtype=dtype)


def _cast(name: str, params: PyTree, dtype: str) -> PyTree:
    def cast(path, leaf):
        with np.errstate(over="ignore"):
            small = np.asarray(leaf).astype(jnp.dtype(dtype))
        if not np.isfinite(small.astype(np.float32)).all():
            where = "/".join(str(key.key) for key in path)
            raise InputError(f"dtype is {dtype!r}, and {name} has values at {where} beyond it; use bfloat16")
        return small

    return jax.tree_util.tree_map_with_path(cast, params)
