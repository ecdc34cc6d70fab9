"""The networks that metrics look at pictures with, from the files that people have."""

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32

from jaxanim.convert.torch_file import read_torch
from jaxanim.errors import InputError
from jaxanim.media.files import check_file
from jaxanim.metrics import inception, resnet3d
from jaxanim.metrics.lpips import layers
from jaxanim.tensor_file import LazyTensor


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


class _Layout(NamedTuple):
    """How a file names a network's convolutions, in patterns, and the batch norm behind each."""

    what: str
    names: Mapping[str, tuple[str, str]]  # pattern of a kernel's key: the layer's name, its norm's name
    epsilon: float
    network: Callable[..., Array]
    takes: tuple[int, ...]


_INCEPTION = _Layout(
    "Inception-v3 as FID uses it", {r"(.+)\.conv\.weight": (r"\1", r"\1.bn")}, 1e-3, inception.pictures, (299, 299)
)
_I3D = _Layout("I3D", {r"(.+)\.conv3d\.weight": (r"\1", r"\1.bn")}, 1e-3, inception.clips, (16, 224, 224))
_RESNET3D = _Layout(
    "a 3D ResNet-50",
    {
        r"(.*)conv(\d)\.weight": (r"\1conv\2", r"\1bn\2"),
        r"(.*downsample)\.0\.weight": (r"\1", r"\1.1"),
    },
    1e-5,
    resnet3d.clips,
    (16, 112, 112),
)


def read_inception(path: str | os.PathLike) -> inception.Params:
    """The parameters of `jaxanim.metrics.inception.pictures`, from pt_inception-2015-12-05-*.pth (pytorch-fid) or
    weights-inception-2015-12-05-*.pth (torch-fidelity).

    Raises:
      InputError: the file is missing or damaged, or holds another network.
    """
    return _folded(path, _INCEPTION)


def read_i3d(path: str | os.PathLike) -> inception.Params:
    """The parameters of `jaxanim.metrics.inception.clips`, from i3d_pretrained_400.pt or rgb_imagenet.pt.

    Raises:
      InputError: the file is missing or damaged, or holds another network.
    """
    return _folded(path, _I3D)


def read_resnet3d(path: str | os.PathLike) -> inception.Params:
    """The parameters of `jaxanim.metrics.resnet3d.clips`, from resnet-50-kinetics.pth.

    Raises:
      InputError: the file is missing or damaged, or holds another network.
    """
    return _folded(path, _RESNET3D)


def _folded(path: str | os.PathLike, layout: _Layout) -> inception.Params:
    """Every convolution with the batch norm behind it, which is an affine map once it has learnt, as one."""
    check_file(Path(path), layout.what)
    tensors = {key.removeprefix("module."): tensor for key, tensor in read_torch(Path(path))[0].items()}
    params: dict[str, Array] = {}
    try:
        for key in tensors:
            for pattern, (name, norm) in layout.names.items():
                if match := re.fullmatch(pattern, key):
                    kernel, bias = _affine(tensors, key, match.expand(norm), layout.epsilon)
                    params[f"{match.expand(name)}/weight"] = jnp.asarray(np.moveaxis(kernel, (0, 1), (-1, -2)))
                    params[f"{match.expand(name)}/bias"] = jnp.asarray(bias)
        jax.eval_shape(layout.network, params, jax.ShapeDtypeStruct((1, *layout.takes, 3), jnp.float32))
    except KeyError as error:
        raise InputError(f"{path} is not {layout.what}: {error} is missing") from None
    except (TypeError, ValueError) as error:  # shapes that do not fit one another
        raise InputError(f"{path} is not {layout.what}: {str(error).splitlines()[0]}") from None
    return params


def _affine(
    tensors: Mapping[str, LazyTensor], key: str, norm: str, epsilon: float
) -> tuple[Float32[np.ndarray, "out in *window"], Float32[np.ndarray, " out"]]:
    kernel = tensors[key].read().astype(np.float64)
    if f"{norm}.running_mean" not in tensors:
        return kernel.astype(np.float32), tensors[key.removesuffix("weight") + "bias"].read().astype(np.float32)
    scale, shift, mean, variance = (
        tensors[f"{norm}.{leaf}"].read().astype(np.float64)
        for leaf in ("weight", "bias", "running_mean", "running_var")
    )
    scale = scale / np.sqrt(variance + epsilon)
    kernel = kernel * scale.reshape(-1, *[1] * (kernel.ndim - 1))
    return kernel.astype(np.float32), (shift - mean * scale).astype(np.float32)
