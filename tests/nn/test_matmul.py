"""Products of many rows against NumPy's, in values and gradients, and where which form is chosen."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxanim.backend import compiling_for
from jaxanim.nn import matmul as module
from jaxanim.nn.matmul import matmul


def draws(*shapes):
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape, np.float32) for shape in shapes]


def primitives(x, kernel):
    """All of them by name, those of programs within programs too."""
    return str(jax.make_jaxpr(lambda *args: matmul(*args))(x, kernel))


@pytest.mark.parametrize("rows", [(2, 3, 5), (module.MANY_ROWS,), (2, 3, 700), (module.MANY_ROWS - 1,)])
def test_values_and_gradients_are_numpy_s(rows):
    x, kernel, slope = draws((*rows, 24), (24, 40), (*rows, 40))
    y, pull = jax.vjp(jax.jit(matmul), x, kernel)
    chex.assert_shape(y, (*rows, 40))
    np.testing.assert_allclose(y, x.astype(np.float64) @ kernel, atol=2e-5)
    dx, dk = pull(jnp.asarray(slope))
    np.testing.assert_allclose(dx, slope.astype(np.float64) @ kernel.T, atol=2e-5)
    expected = x.reshape(-1, 24).T.astype(np.float64) @ slope.reshape(-1, 40)
    np.testing.assert_allclose(dk, expected, atol=2e-5 * np.abs(expected).max())


def test_under_vmap_and_with_tangents():
    x, kernels = map(jnp.asarray, draws((3, module.MANY_ROWS, 8), (3, 8, 4)))
    np.testing.assert_allclose(jax.vmap(matmul)(x, kernels), x @ kernels, atol=1e-5)
    np.testing.assert_allclose(jax.vmap(matmul, (0, None))(x, kernels[0]), x @ kernels[0], atol=1e-5)
    tangent = jax.jvp(lambda x: matmul(x, kernels[0]), (x[0],), (x[1],))[1]
    np.testing.assert_allclose(tangent, x[1] @ kernels[0], atol=1e-5)


def test_convolution_only_for_many_rows_of_float32_on_a_cpu():
    many, few, kernel = (jnp.zeros(shape) for shape in ((module.MANY_ROWS, 8), (64, 8), (8, 4)))
    assert "conv_general_dilated" in primitives(many, kernel)
    assert "conv_general_dilated" not in primitives(few, kernel)
    assert "conv_general_dilated" not in primitives(many.astype(jnp.bfloat16), kernel.astype(jnp.bfloat16))
    with compiling_for("tpu"):
        assert "conv_general_dilated" not in primitives(many, kernel)


def test_no_gradient_is_a_convolution_over_rows():
    """Which takes XLA a hundred times as long on a CPU, in a loop over blocks."""
    x, kernel = jnp.zeros((module.MANY_ROWS, 8)), jnp.zeros((8, 4))
    pull = jax.vjp(matmul, x, kernel)[1]
    programs = str(jax.make_jaxpr(pull)(jnp.zeros((module.MANY_ROWS, 4))))
    assert programs.count("dot_general") == 1
    assert programs.count("conv_general_dilated") == 1  # x's, which has as many rows and is quicker so
