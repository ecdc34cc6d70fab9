"""The networks that metrics look at pictures with, from the files that people have."""

import os
from pathlib import Path
from typing import Literal

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxanim.convert.torch_file import read_torch
from jaxanim.errors import InputError
from jaxanim.media.files import check_file
from jaxanim.metrics.lpips import layers


def read_lpips(
    network: str | os.PathLike, weights: str | os.PathLike, net: Literal["alex", "vgg"]
) -> dict[str, Float[Array, "..."]]:
    """The parameters of `jaxanim.metrics.lpips`.

    Args:
      network: torchvision's AlexNet or VGG16 (alexnet-owt-*.pth, vgg16-*.pth); its classifier is left out.
      weights: LPIPS v0.1's own (alex.pth, vgg.pth).

    Raises:
      InputError: a file is missing or damaged, or holds another network.
    """
    files = {}
    for what, path in (("network", network), ("LPIPS weights", weights)):
        check_file(Path(path), what)
        files[what] = read_torch(Path(path))[0]
    params = {}
    convolutions = [layer[1] for layer in layers(net) if layer[0] == "conv"]
    try:
        for index in convolutions:
            kernel = files["network"][f"features.{index}.weight"].read()
            params[f"features.{index}.weight"] = jnp.asarray(kernel.transpose(2, 3, 1, 0), jnp.float32)
            params[f"features.{index}.bias"] = jnp.asarray(
                files["network"][f"features.{index}.bias"].read(), jnp.float32
            )
        for k in range(5):
            params[f"lin{k}"] = jnp.asarray(
                files["LPIPS weights"][f"lin{k}.model.1.weight"].read().reshape(-1), jnp.float32
            )
    except (KeyError, ValueError) as error:
        raise InputError(f"{network} and {weights} are not LPIPS's {net}: {error} is missing") from None
    _check(params, net, network, weights)
    return params


def _check(params: dict, net: str, network: str | os.PathLike, weights: str | os.PathLike) -> None:
    """Raises InputError where a layer does not fit the one before it, or its weights."""
    channels, k, last = 3, 0, ""
    for layer in layers(net):
        if layer[0] == "conv":
            last = f"features.{layer[1]}.weight"
            if params[last].ndim != 4 or params[last].shape[2] != channels:
                raise InputError(f"network {network} is not {net}: {last} has the shape {list(params[last].shape)}")
            channels = params[last].shape[3]
        elif layer[0] == "tap":
            if params[f"lin{k}"].shape != (channels,):
                raise InputError(f"LPIPS weights {weights} are not those of {net}: lin{k} is for other channels")
            k += 1
