"""Every way to compute a convolution against XLA's own, in values and gradients."""

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from einops import repeat

from jaxanim.attention import compiling_for
from jaxanim.nn import conv
from jaxanim.nn.conv import by_patches
from jaxanim.nn.resnet import Upsample
from jaxanim.nn.winograd import cook_toom, winograd

NUMBERS = ("NHWC", "HWIO", "NHWC")


def plain(x, kernel):
    with jax.default_matmul_precision("highest"):
        return jax.lax.conv_general_dilated(x, kernel, (1, 1), ((1, 1), (1, 1)), dimension_numbers=NUMBERS)


def draws(batch, height, width, channels, features):
    keys = jax.random.split(jax.random.key(height))
    shapes = (batch, height, width, channels), (3, 3, channels, features)
    return [jax.random.normal(key, shape) for key, shape in zip(keys, shapes, strict=True)]


def twice(x):
    return repeat(x, "b h w c -> b (h 2) (w 2) c")


def doubled_conv(x, kernel):
    return conv.doubled_conv3x3(x, kernel, (1, 1), ((1, 1), (1, 1)), dimension_numbers=NUMBERS)


def in_phases(x, kernel):
    with compiling_for("gpu"):
        return doubled_conv(x, kernel)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (conv.by_patches, plain),
        (lambda x, kernel: winograd(x, kernel, 2), plain),
        (lambda x, kernel: winograd(x, kernel, 4), plain),
        (doubled_conv, lambda x, kernel: plain(twice(x), kernel)),
        (in_phases, lambda x, kernel: plain(twice(x), kernel)),
    ],
    ids=["patches", "F(2x2)", "F(4x4)", "doubled", "doubled in phases"],
)
def test_values_and_gradients_are_the_plain_convolution_s(ours, theirs):
    x, kernel = draws(2, 8, 12, 5, 7)
    expected = theirs(x, kernel)
    chex.assert_trees_all_close(jax.jit(ours)(x, kernel), expected, atol=2e-5)
    weights = jax.random.normal(jax.random.key(9), expected.shape)
    gradients = [
        jax.jit(jax.grad(lambda x, kernel, f=f: jnp.vdot(f(x, kernel), weights), (0, 1)))(x, kernel)
        for f in (ours, theirs)
    ]
    chex.assert_trees_all_close(*gradients, atol=1e-4)


def test_patches_take_any_stride_and_padding():
    """As the VAE's Downsample has them."""
    x, kernel = draws(2, 9, 12, 5, 7)
    for padding in ([(1, 1), (1, 1)], [(0, 1), (0, 1)]):
        expected = jax.lax.conv_general_dilated(x, kernel, (2, 2), padding, dimension_numbers=NUMBERS)
        chex.assert_trees_all_close(conv.by_patches(x, kernel, (2, 2), padding), expected, atol=2e-5)


def test_a_pointwise_convolution_is_a_product():
    x, kernel = draws(2, 9, 12, 5, 7)
    layer = nn.Conv(7, (1, 1), conv_general_dilated=conv.conv1x1)
    params = {"params": {"kernel": kernel[:1, :1], "bias": jnp.arange(7.0)}}
    chex.assert_trees_all_close(layer.apply(params, x), nn.Conv(7, (1, 1)).apply(params, x), atol=2e-5)


@pytest.mark.parametrize(("own", "expected"), [(3, [(2, 6, 8, 2), (4, 6, 8, 3)]), (5, [(4, 6, 8, 5)])])
def test_branches_that_agree_in_the_last_channels(own, expected):
    x, kernel = draws(4, 6, 8, 5, 7)
    x = x.at[2:, ..., own:].set(x[:2, ..., own:])
    shapes = []

    def counted(x, kernel):
        shapes.append(x.shape)
        return plain(x, kernel)

    chex.assert_trees_all_close(conv.partly_shared(counted, own, 2)(x, kernel), plain(x, kernel), atol=2e-5)
    assert sorted(shapes) == expected


@pytest.mark.parametrize("outputs", [2, 4])
def test_the_matrices_are_exact(outputs):
    """In double precision, on a row: the two (four) outputs of a filter of three taps over n pixels."""
    b_t, g, a_t = cook_toom(outputs)
    pixels, taps = np.random.default_rng(0).normal(size=(2, outputs + 2))
    expected = np.correlate(pixels, taps[:3], "valid")
    np.testing.assert_allclose(a_t @ ((g @ taps[:3]) * (b_t @ pixels)), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("shape", "chosen"),
    [
        ((1, 4, 8, 512, 512), "by_patches"),
        ((2, 16, 16, 480, 480), 2),
        ((2, 16, 16, 240, 240), 2),
        ((1, 64, 64, 640, 320), 4),
        ((1, 62, 68, 640, 320), 2),  # a height that four does not divide
        ((2, 17, 16, 480, 480), None),  # an odd height
        ((2, 16, 16, 96, 480), None),  # too few channels
        ((1, 4, 8, 256, 512), None),  # a small kernel
    ],
)
def test_the_way_is_chosen_by_size_on_the_cpu_alone(shape, chosen, monkeypatch):
    called = []
    monkeypatch.setattr(conv, "by_patches", lambda *given: called.append("by_patches") or by_patches(*given))
    monkeypatch.setattr(conv, "winograd", lambda *given: called.append(given[2]) or winograd(*given))
    x, kernel = (jax.ShapeDtypeStruct(s, jnp.float32) for s in (shape[:4], (3, 3, *shape[3:])))
    layer = nn.Conv(shape[-1], (3, 3), padding=1, conv_general_dilated=conv.conv3x3, use_bias=False)

    def run():
        return jax.eval_shape(layer.apply, {"params": {"kernel": kernel}}, x)

    chex.assert_shape(run(), (*shape[:3], shape[-1]))
    assert called == ([chosen] if chosen else [])
    with compiling_for("tpu"):
        run()
    assert len(called) == bool(chosen)


@pytest.mark.parametrize("size", [None, (8, 12), (7, 12), (8, 11), (7, 11)])
def test_upsampling_is_doubling_cutting_and_a_convolution(size):
    x, kernel = draws(3, 4, 6, 5, 5)
    params = {"conv": {"kernel": kernel, "bias": jnp.arange(5.0)}}
    ours = jax.jit(Upsample().apply, static_argnums=2)({"params": params}, x[None], size)
    height, width = size or (8, 12)
    expected = plain(twice(x)[:, :height, :width], kernel) + jnp.arange(5.0)
    chex.assert_trees_all_close(ours[0], expected, atol=2e-5)
