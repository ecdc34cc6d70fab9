"""Matrix products over the last axis, in the form that XLA computes fastest."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxanim.backend import target_backend
from jaxanim.mesh import current_mesh

# On a CPU, Eigen from so many rows on; by tests/bench/bench_conv.py.
MANY_ROWS = 4096
WITHOUT_WINDOW = jax.lax.ConvDimensionNumbers((0, 1), (1, 0), (0, 1))


def matmul(
    x: Float[Array, "*batch channels"], kernel: Float[Array, "channels features"], precision=None
) -> Float[Array, "*batch features"]:
    """x @ kernel.

    XLA's CPU backend gives matrix products to YNNPACK, and a convolution without a window, which is the same sum,
    to Eigen: 1.0 to 1.5 times as fast where there are many rows.
    """
    if not on_cpu(x, kernel) or math.prod(x.shape[:-1]) < MANY_ROWS:
        return jnp.matmul(x, kernel, precision=precision)
    y = jax.lax.conv_general_dilated(
        x.reshape(-1, x.shape[-1]), kernel, (), (), dimension_numbers=WITHOUT_WINDOW, precision=precision
    )
    return y.reshape(*x.shape[:-1], kernel.shape[-1])


def on_cpu(x: Array, kernel: Array) -> bool:
    """Whether a program for one CPU in float32 is traced, which is where XLA's own choices can be beaten."""
    return target_backend() == "cpu" and current_mesh() is None and x.dtype == kernel.dtype == jnp.float32
