"""The shared layers against PyTorch's and a literal transcription."""

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.errors import ScopeParamShapeError

from jaxanim.nn import layers
from jaxanim.nn.embedding import sinusoidal_positions, timestep_embedding
from jaxanim.nn.norm import GroupNorm
from jaxanim.nn.resnet import Downsample, Upsample


def slow_group_norm(x, groups, epsilon, pool_frames, scale, bias):
    """One group of one frame (or window) at a time, in float64."""
    out = np.empty_like(x, np.float64)
    size = x.shape[-1] // groups
    for b in range(x.shape[0]):
        for frames in [slice(None)] if pool_frames else [slice(f, f + 1) for f in range(x.shape[1])]:
            for g in range(groups):
                part = x[b, frames, :, :, g * size : (g + 1) * size].astype(np.float64)
                normed = (part - part.mean()) / np.sqrt(part.var() + epsilon)
                out[b, frames, :, :, g * size : (g + 1) * size] = normed
    return out * scale + bias


@pytest.mark.parametrize("pool_frames", [False, True])
def test_group_norm_equals_a_slow_one(pool_frames):
    rng = np.random.default_rng(0)
    x = (3 + 2 * rng.standard_normal((2, 3, 4, 5, 12))).astype(np.float32)
    scale, bias = rng.standard_normal((2, 12)).astype(np.float32)
    layer = GroupNorm(groups=4, epsilon=1e-3, pool_frames=pool_frames)
    actual = layer.apply({"params": {"scale": jnp.asarray(scale), "bias": jnp.asarray(bias)}}, jnp.asarray(x))
    expected = slow_group_norm(x, 4, 1e-3, pool_frames, scale, bias)
    np.testing.assert_allclose(actual, expected, rtol=2e-5, atol=2e-5)


def test_group_norm_statistics_are_float32_in_half_precision():
    x = 50 + jax.random.normal(jax.random.key(0), (1, 1, 16, 16, 8))
    layer = GroupNorm(groups=2, dtype=jnp.bfloat16)
    y = layer.apply(layer.init(jax.random.key(1), x), x)
    assert y.dtype == jnp.bfloat16
    np.testing.assert_allclose(np.asarray(y, np.float32).std(), 1, atol=0.01)


def test_group_norm_refuses_groups_that_do_not_divide():
    with pytest.raises(ValueError, match=r"groups=5, channels=8"):
        jax.eval_shape(lambda: GroupNorm(groups=5).init(jax.random.key(0), jnp.zeros((1, 1, 2, 2, 8))))


@pytest.mark.parametrize(("flip", "shift"), [(True, 0.0), (False, 1.0)])
def test_timestep_embedding_equals_diffusers(flip, shift):
    torch = pytest.importorskip("torch")
    embeddings = pytest.importorskip("diffusers.models.embeddings")
    t = np.array([0, 1, 21, 500, 999])
    expected = embeddings.get_timestep_embedding(
        torch.from_numpy(t), 32, flip_sin_to_cos=flip, downscale_freq_shift=shift
    )
    # float32 angles of up to 999 radians are 3e-5 apart
    np.testing.assert_allclose(timestep_embedding(jnp.asarray(t), 32, flip, shift), expected, atol=1e-4)


def test_timestep_embedding_refuses_odd_widths():
    with pytest.raises(ValueError, match="even, got 7"):
        timestep_embedding(jnp.arange(2), 7)


def test_positions_equal_diffusers():
    pytest.importorskip("torch")
    embeddings = pytest.importorskip("diffusers.models.embeddings")
    expected = embeddings.SinusoidalPositionalEmbedding(16, 24).pe[0].numpy()
    np.testing.assert_allclose(sinusoidal_positions(24, 16), expected, atol=2e-6)


@pytest.mark.parametrize("size", [(7, 9), (8, 10)])
def test_upsampling_to_a_size_is_nearest_interpolation(size):
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).standard_normal((1, 1, 4, 5, 3)).astype(np.float32)
    identity = np.zeros((3, 3, 3, 3), np.float32)
    identity[1, 1] = np.eye(3)
    layer = {"conv": {"kernel": jnp.asarray(identity), "bias": jnp.zeros(3)}}
    actual = Upsample().apply({"params": layer}, jnp.asarray(x), size)
    images = torch.from_numpy(x[:, 0].transpose(0, 3, 1, 2).copy())
    expected = torch.nn.functional.interpolate(images, size=size, mode="nearest").numpy().transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(actual[:, 0], expected)


@pytest.mark.parametrize("padding", [((1, 1), (1, 1)), ((0, 1), (0, 1))])
def test_downsampling_equals_pytorch(padding):
    torch = pytest.importorskip("torch")
    x = jnp.asarray(np.random.default_rng(0).standard_normal((2, 3, 6, 7, 4)), jnp.float32)
    layer = Downsample(padding)
    params = layer.init(jax.random.key(0), x)
    actual = layer.apply(params, x)
    images = torch.from_numpy(np.moveaxis(np.array(x).reshape(6, 6, 7, 4), -1, 1).copy())
    (top, bottom), (left, right) = padding
    kernel = torch.from_numpy(np.array(params["params"]["conv"]["kernel"]).transpose(3, 2, 0, 1).copy())
    expected = torch.nn.functional.conv2d(
        torch.nn.functional.pad(images, (left, right, top, bottom)), kernel, stride=2
    )
    chex.assert_trees_all_close(
        np.asarray(actual).reshape(6, *actual.shape[2:]), np.moveaxis(expected.numpy(), 1, -1), atol=1e-5
    )


@pytest.mark.parametrize(
    ("ours", "linens", "x"),
    [
        (layers.Conv(5, (3, 3), padding=1), nn.Conv(5, (3, 3), padding=1), jnp.arange(24.0).reshape(1, 2, 4, 3)),
        (layers.Dense(5), nn.Dense(5), jnp.arange(24.0).reshape(2, 4, 3)),
        (layers.LayerNorm(), nn.LayerNorm(), jnp.arange(12.0).reshape(2, 6) ** 2),
        (layers.Embed(7, 3), nn.Embed(7, 3), jnp.array([[1, 6]])),
    ],
    ids=["Conv", "Dense", "LayerNorm", "Embed"],
)
def test_layers_are_linens_and_refuse_parameters_of_another_shape(ours, linens, x):
    params = linens.init(jax.random.key(0), x)
    chex.assert_trees_all_equal(ours.init(jax.random.key(0), x), params)
    chex.assert_trees_all_close(ours.apply(params, x), linens.apply(params, x), rtol=1e-6)
    wider = jax.tree.map(lambda leaf: jnp.zeros((*leaf.shape[:-1], leaf.shape[-1] + 1)), params)
    with pytest.raises(ScopeParamShapeError):
        ours.apply(wider, x)
