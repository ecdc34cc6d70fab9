"""LPIPS (Zhang et al. 2018, v0.1): how far apart two pictures are to a network that recognises things.

The networks are torchvision's AlexNet and VGG16 without their classifiers, and the weights of LPIPS for each layer;
`jaxanim.convert.feature_networks` reads them from the files that people have.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

Net = Literal["alex", "vgg"]
Params = Mapping[str, Float[Array, "..."]]

# Layers by torchvision's index in `features`: ("conv", index, stride, padding), ("pool", window), ("tap",) for what
# LPIPS looks at.
_ALEX = (("conv", 0, 4, 2), ("tap",), ("pool", 3), ("conv", 3, 1, 2), ("tap",), ("pool", 3), ("conv", 6, 1, 1),
         ("tap",), ("conv", 8, 1, 1), ("tap",), ("conv", 10, 1, 1), ("tap",))  # fmt: skip
_VGG_STAGES = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))


def layers(net: Net) -> tuple[tuple, ...]:
    """A network as its layers, in order; every convolution is followed by a ReLU."""
    if net == "alex":
        return _ALEX
    out: list[tuple] = []
    for stage, convolutions in enumerate(_VGG_STAGES):
        out += [("pool", 2)] if stage else []
        out += [*(("conv", index, 1, 1) for index in convolutions), ("tap",)]
    return tuple(out)


def features(
    params: Params, pictures: Float[Array, "batch height width 3"], net: Net
) -> list[Float[Array, "batch _height _width _channels"]]:
    """What LPIPS looks at in pictures in [-1, 1], layer by layer."""
    x = (pictures - jnp.array([-0.030, -0.088, -0.188])) / jnp.array([0.458, 0.448, 0.450])
    taps = []
    for kind, *numbers in layers(net):
        if kind == "tap":
            taps.append(x)
        elif kind == "pool":
            side = numbers[0]
            x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, side, side, 1), (1, 2, 2, 1), "VALID")
        else:
            index, stride, padding = numbers
            x = jax.lax.conv_general_dilated(
                x,
                params[f"features.{index}.weight"],
                (stride, stride),
                [(padding, padding)] * 2,
                dimension_numbers=("NHWC", "HWIO", "NHWC"),
                precision="highest",
            )
            x = jax.nn.relu(x + params[f"features.{index}.bias"])
    return taps


def distance(
    params: Params,
    a: Float[Array, "batch height width 3"],
    b: Float[Array, "batch height width 3"],
    net: Net,
) -> Float[Array, " batch"]:
    """LPIPS of pictures in [-1, 1]: squared differences of unit features, weighted by channel, their mean over
    places and sum over layers."""

    def unit(x):
        return x / (jnp.sqrt((x**2).sum(-1, keepdims=True)) + 1e-10)

    total = jnp.zeros(len(a))
    for k, (x, y) in enumerate(zip(features(params, a, net), features(params, b, net), strict=True)):
        total += (((unit(x) - unit(y)) ** 2) * params[f"lin{k}"]).sum(-1).mean((1, 2))
    return total


_distance = jax.jit(distance, static_argnames="net")


def lpips(
    params: Params,
    result: UInt8[np.ndarray, "frames height width 3"],
    truth: UInt8[np.ndarray, "frames height width 3"],
    net: Net,
    at_once: int = 8,
) -> Float[np.ndarray, " frames"]:
    """LPIPS of every frame."""

    def pixels(frames):
        return jnp.asarray(frames, jnp.float32) / 127.5 - 1

    parts: Sequence[np.ndarray] = [
        np.asarray(_distance(params, pixels(result[k : k + at_once]), pixels(truth[k : k + at_once]), net))
        for k in range(0, len(result), at_once)
    ]
    return np.concatenate(parts)
