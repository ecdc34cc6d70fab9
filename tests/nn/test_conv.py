"""Every way to compute a 3x3 convolution against XLA's own, in values and gradients."""

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest
from einops import repeat

from jaxanim.attention import compiling_for
from jaxanim.nn import conv
from jaxanim.nn.resnet import Upsample


def plain(x, kernel):
    numbers = ("NHWC", "HWIO", "NHWC")
    with jax.default_matmul_precision("highest"):
        return jax.lax.conv_general_dilated(x, kernel, (1, 1), ((1, 1), (1, 1)), dimension_numbers=numbers)


def draws(batch, height, width, channels, features):
    keys = jax.random.split(jax.random.key(height))
    shapes = (batch, height, width, channels), (3, 3, channels, features)
    return [jax.random.normal(key, shape) for key, shape in zip(keys, shapes, strict=True)]


def doubled(x):
    return repeat(x, "b h w c -> b (h 2) (w 2) c")


def doubled_conv(x, kernel):
    return conv.doubled_conv3x3(x, kernel, (1, 1), ((1, 1), (1, 1)), dimension_numbers=("NHWC", "HWIO", "NHWC"))


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (conv.by_patches, plain),
        (conv.by_winograd, plain),
        (doubled_conv, lambda x, kernel: plain(doubled(x), kernel)),
    ],
    ids=["patches", "Winograd", "doubled"],
)
def test_values_and_gradients_are_the_plain_convolution_s(ours, theirs):
    x, kernel = draws(2, 6, 10, 5, 7)
    expected = theirs(x, kernel)
    chex.assert_trees_all_close(jax.jit(ours)(x, kernel), expected, atol=2e-5)
    weights = jax.random.normal(jax.random.key(9), expected.shape)
    gradients = [
        jax.jit(jax.grad(lambda x, kernel, f=f: jnp.vdot(f(x, kernel), weights), (0, 1)))(x, kernel)
        for f in (ours, theirs)
    ]
    chex.assert_trees_all_close(*gradients, atol=1e-4)


@pytest.mark.parametrize(
    ("shape", "chosen"),
    [
        ((1, 4, 8, 512, 512), "by_patches"),
        ((2, 16, 16, 480, 480), "by_winograd"),
        ((2, 17, 16, 480, 480), None),  # an odd height
        ((2, 16, 16, 64, 480), None),  # too few channels
        ((1, 4, 8, 256, 512), None),  # a small kernel
    ],
)
def test_the_way_is_chosen_by_size_on_the_cpu_alone(shape, chosen, monkeypatch):
    called = []
    for name in ("by_patches", "by_winograd"):
        way = getattr(conv, name)
        monkeypatch.setattr(conv, name, lambda *arrays, name=name, way=way: called.append(name) or way(*arrays))
    x, kernel = draws(*shape)
    layer = nn.Conv(shape[-1], (3, 3), padding=1, conv_general_dilated=conv.conv3x3)

    def run():
        return jax.eval_shape(layer.apply, {"params": {"kernel": kernel, "bias": jnp.zeros(shape[-1])}}, x)

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
    expected = plain(doubled(x)[:, :height, :width], kernel) + jnp.arange(5.0)
    chex.assert_trees_all_close(ours[0], expected, atol=2e-5)
