"""The Inceptions whose features Fréchet distances are taken of.

`pictures` is Inception-v3 as FID uses it (Heusel et al. 2017): TensorFlow's network of 2015-12-05, whose average
pools leave out the padding and whose last block pools by the largest. `clips` is I3D (Carreira and Zisserman 2017),
which FVD uses (Unterthiner et al. 2018): its 400 logits for Kinetics, averaged over time.

Parameters are `NAME/weight` [*window, in, out] and `NAME/bias` by the layers' names in the files that people have;
every batch norm is already in the convolution before it (`jaxanim.convert.feature_networks`).
"""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

Params = Mapping[str, Float[Array, "..."]]

# The branches of each block of Inception-v3: chains of convolutions; those in a tuple stand side by side.
_A = (
    ("branch1x1",),
    ("branch5x5_1", "branch5x5_2"),
    ("branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3"),
)
_C = (
    ("branch1x1",),
    ("branch7x7_1", "branch7x7_2", "branch7x7_3"),
    tuple(f"branch7x7dbl_{k}" for k in range(1, 6)),
)
_E = (
    ("branch1x1",),
    ("branch3x3_1", ("branch3x3_2a", "branch3x3_2b")),
    ("branch3x3dbl_1", "branch3x3dbl_2", ("branch3x3dbl_3a", "branch3x3dbl_3b")),
)
BLOCKS = dict.fromkeys(("Mixed_5b", "Mixed_5c", "Mixed_5d"), _A)
BLOCKS |= {"Mixed_6a": (("branch3x3",), ("branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3"))}
BLOCKS |= dict.fromkeys(("Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"), _C)
BLOCKS |= {
    "Mixed_7a": (("branch3x3_1", "branch3x3_2"), tuple(f"branch7x7x3_{k}" for k in range(1, 5))),
    "Mixed_7b": _E,
    "Mixed_7c": _E,
}
_SHRINKING = ("Mixed_6a", "Mixed_7a")

_STAGES = (("Mixed_3b", "Mixed_3c"), tuple(f"Mixed_4{k}" for k in "bcdef"), ("Mixed_5b", "Mixed_5c"))
# The pools before I3D's stages, window and stride in time; in space they halve.
_POOLS = ((1, 3, 1), (3, 3, 2), (2, 2, 2))


def convolve(
    params: Params, name: str, x: Float[Array, "batch *places _"], stride: int = 1, padding: str = "SAME"
) -> Float[Array, "batch *_places channels"]:
    """A convolution with its bias, of pictures or of clips, padded as TensorFlow does."""
    window = "DHW"[-(x.ndim - 2) :]
    layout = (f"N{window}C", f"{window}IO", f"N{window}C")
    strides = (stride,) * (x.ndim - 2)
    kernel = params[f"{name}/weight"]
    out = lax.conv_general_dilated(x, kernel, strides, padding, dimension_numbers=layout, precision="highest")
    return out + params[f"{name}/bias"]


def largest(
    x: Float[Array, "batch *places channels"], window: Sequence[int], strides: Sequence[int], padding: str
) -> Float[Array, "batch *_places channels"]:
    """Pools by the largest."""
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, *window, 1), (1, *strides, 1), padding)


def pictures(params: Params, x: Float[Array, "batch height width 3"]) -> Float[Array, "batch features"]:
    """What FID takes of pictures in [-1, 1], which it brings to 299 x 299."""

    def layer(x, name, stride=1, padding="SAME"):
        return jax.nn.relu(convolve(params, name, x, stride, padding))

    def halved(x):
        return largest(x, (3, 3), (2, 2), "VALID")

    x = layer(x, "Conv2d_1a_3x3", 2, "VALID")
    x = halved(layer(layer(x, "Conv2d_2a_3x3", padding="VALID"), "Conv2d_2b_3x3"))
    x = halved(layer(layer(x, "Conv2d_3b_1x1"), "Conv2d_4a_3x3", padding="VALID"))
    for block, branches in BLOCKS.items():
        shrinking = block in _SHRINKING
        outs = []
        for *chain, last in branches:
            out = x
            for name in chain:
                out = layer(out, f"{block}.{name}")
            beside = (last,) if isinstance(last, str) else last
            how = (2, "VALID") if shrinking else (1, "SAME")
            outs += [layer(out, f"{block}.{name}", *how) for name in beside]
        if shrinking:
            outs.append(halved(x))
        else:
            pooled = largest(x, (3, 3), (1, 1), "SAME") if block == "Mixed_7c" else _mean_of_neighbours(x)
            outs.append(layer(pooled, f"{block}.branch_pool"))
        x = jnp.concatenate(outs, -1)
    return x.mean((1, 2))


def clips(params: Params, x: Float[Array, "batch frames height width 3"]) -> Float[Array, "batch classes"]:
    """What FVD takes of clips in [-1, 1], of nine frames or more, which it brings to 224 x 224."""

    def layer(x, name, stride=1):
        return jax.nn.relu(convolve(params, name, x, stride))

    x = largest(layer(x, "Conv3d_1a_7x7", 2), (1, 3, 3), (1, 2, 2), "SAME")
    x = layer(layer(x, "Conv3d_2b_1x1"), "Conv3d_2c_3x3")
    for (time, space, stride), blocks in zip(_POOLS, _STAGES, strict=True):
        x = largest(x, (time, space, space), (stride, 2, 2), "SAME")
        for block in blocks:
            pooled = largest(x, (3, 3, 3), (1, 1, 1), "SAME")
            chains = ((x, "b0"), (x, "b1a", "b1b"), (x, "b2a", "b2b"), (pooled, "b3b"))
            outs = []
            for out, *chain in chains:
                for name in chain:
                    out = layer(out, f"{block}.{name}")
                outs.append(out)
            x = jnp.concatenate(outs, -1)
    window = (1, 2, *x.shape[2:4], 1)
    x = lax.reduce_window(x, 0.0, lax.add, window, (1,) * 5, "VALID") / (2 * x.shape[2] * x.shape[3])
    return convolve(params, "logits", x).mean((1, 2, 3))


def _mean_of_neighbours(
    x: Float[Array, "batch height width channels"],
) -> Float[Array, "batch height width channels"]:
    """The mean of 3 x 3 places, of those that there are."""

    def total(values):
        return lax.reduce_window(values, 0.0, lax.add, (1, 3, 3, 1), (1, 1, 1, 1), "SAME")

    return total(x) / total(jnp.ones_like(x[:1, :, :, :1]))
