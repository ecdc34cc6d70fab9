"""The 3D ResNet-50 of Hara et al. (2018), whose features FID-VID takes of clips (Balaji et al. 2019).

Parameters as in `jaxanim.metrics.inception`, by the names of the layers in resnet-50-kinetics.pth.
"""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from jaxanim.metrics.inception import Params

BLOCKS = (3, 4, 6, 3)
MEAN = (114.7748, 107.7354, 99.4750)
"""The pixels of Kinetics; what the network takes is their difference in levels of 0 to 255."""


def clips(params: Params, x: Float[Array, "batch frames height width 3"]) -> Float[Array, "batch features"]:
    """What FID-VID takes of clips in levels of 0 to 255, which it brings to 112 x 112."""

    def convolve(x, name, strides=(1, 1, 1), pad=0):
        kernel = params[f"{name}/weight"]
        layout = ("NDHWC", "DHWIO", "NDHWC")
        padding = [(pad, pad)] * 3
        out = lax.conv_general_dilated(x, kernel, strides, padding, dimension_numbers=layout, precision="highest")
        return out + params[f"{name}/bias"]

    x = jax.nn.relu(convolve(x - jnp.array(MEAN), "conv1", (1, 2, 2), 3))
    x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 3, 3, 3, 1), (1, 2, 2, 2, 1), [(0, 0), *[(1, 1)] * 3, (0, 0)])
    for level, count in enumerate(BLOCKS, 1):
        for k in range(count):
            block, stride = f"layer{level}.{k}", 2 if k == 0 and level > 1 else 1
            out = jax.nn.relu(convolve(x, f"{block}.conv1"))
            out = jax.nn.relu(convolve(out, f"{block}.conv2", (stride,) * 3, 1))
            beside = convolve(x, f"{block}.downsample", (stride,) * 3) if k == 0 else x
            x = jax.nn.relu(convolve(out, f"{block}.conv3") + beside)
    return x.mean((1, 2, 3))
