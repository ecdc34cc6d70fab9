"""Matrix products over the last axis, in the form that XLA computes fastest."""

import functools
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
    y = _by_convolution(x.reshape(-1, x.shape[-1]), kernel, precision)
    return y.reshape(*x.shape[:-1], kernel.shape[-1])


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def _by_convolution(
    x: Float[Array, "rows channels"], kernel: Float[Array, "channels features"], precision
) -> Float[Array, "rows features"]:
    return jax.lax.conv_general_dilated(x, kernel, (), (), dimension_numbers=WITHOUT_WINDOW, precision=precision)


@_by_convolution.defjvp
def _tangent(precision, primals, tangents):
    """The kernel's gradient, a sum over all rows, is a matrix product: as a convolution, in the loop of scanned
    blocks, XLA's CPU backend takes a hundred times as long for it."""
    (x, kernel), (dx, dkernel) = primals, tangents
    dy = _by_convolution(dx, kernel, precision) + jnp.matmul(x, dkernel, precision=precision)
    return _by_convolution(x, kernel, precision), dy


def on_cpu(x: Array, kernel: Array) -> bool:
    """Whether a program for one CPU in float32 is traced, which is where XLA's own choices can be beaten."""
    return target_backend() == "cpu" and current_mesh() is None and x.dtype == kernel.dtype == jnp.float32
