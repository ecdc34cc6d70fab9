"""Decoding in tiles against decoding the whole picture."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxanim.errors import InputError
from jaxanim.models.vae import VAE, VAEConfig, to_pixels
from jaxanim.models.vae_tiles import make_grid, pool

CONFIGS = {
    "four levels": VAEConfig(block_out_channels=(8, 8, 16, 16), layers_per_block=2, norm_num_groups=4),
    "three levels": VAEConfig(block_out_channels=(8, 16, 24), layers_per_block=1, norm_num_groups=4),
    "one level": VAEConfig(block_out_channels=(8,), layers_per_block=1, norm_num_groups=2),
}


def random_params(config):
    side = config.downscale
    shapes = jax.eval_shape(VAE(config).init, jax.random.key(0), jnp.zeros((1, 1, side, side, 3)))["params"]
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: jnp.asarray(0.2 * rng.normal(size=leaf.shape), jnp.float32), shapes)


def gradient_latents(height, width, frames=1):
    """Unlike from place to place, so that no tile's mean and variance are those of the whole."""
    y, x = np.mgrid[:height, :width] / max(height, width)
    ramps = np.stack([4 * y, 3 * x * y, -2 * x, 5 * np.sin(9 * x)], -1)
    noise = np.random.default_rng(1).normal(size=(1, frames, height, width, 4))
    return jnp.asarray(ramps + 0.5 * noise, jnp.float32)


def relative_error(actual, expected):
    return np.abs(np.asarray(actual) - np.asarray(expected)).max() / np.abs(np.asarray(expected)).max()


@pytest.mark.parametrize(
    ("name", "size", "tile"),
    [
        pytest.param("four levels", (20, 13), 64, marks=pytest.mark.slow),
        ("three levels", (17, 30), 24),
        ("one level", (21, 16), 8),
    ],
)
def test_tiles_are_the_whole_picture(name, size, tile):
    config = CONFIGS[name]
    params, latents = random_params(config), gradient_latents(*size, frames=2)
    whole = to_pixels(params, config, latents)
    assert max(whole.shape[2:4]) > 2 * tile  # several tiles, or there is nothing to test
    tiled = to_pixels(params, config, latents, tile=tile)
    assert relative_error(tiled, whole) < 1e-5


def test_tiles_need_less_memory():
    config = CONFIGS["four levels"]
    params, latents = random_params(config), gradient_latents(64, 64)

    def working(tile):
        return to_pixels.lower(params, config, latents, tile=tile).compile().memory_analysis().temp_size_in_bytes

    assert working(128) < 0.4 * working(None)


def test_each_tile_by_itself_would_be_another_picture():
    """What the shared statistics and the margins are for: without them the error is thousands of times larger."""
    config = CONFIGS["three levels"]
    params, latents = random_params(config), gradient_latents(24, 24)
    whole = np.asarray(to_pixels(params, config, latents))
    alone = np.asarray(to_pixels(params, config, latents[:, :, 4:20, :16]))[:, :, 32:48, 16:48]
    assert relative_error(alone, whole[:, :, 48:64, 16:48]) > 1e-2


@pytest.mark.parametrize(("length", "most"), [(10, 3), (7, 2), (64, 16), (5, 8), (4, 4)])
def test_tiles_own_every_cell_once(length, most):
    grid = make_grid((length, 1), most, 2)
    ends = [*grid.own[1:, 0], length]
    assert grid.own[0, 0] == 0
    assert all(own < end for own, end in zip(grid.own[:, 0], ends, strict=True))
    for (start, _), (own, _), (window, _), end in zip(grid.starts, grid.own, grid.windows, ends, strict=True):
        assert window <= start <= own
        assert end <= start + grid.size[0] <= window + grid.window[0] <= length
        # Either the margin is there or the picture ends.
        assert start - window >= 2 or window == 0
        assert window + grid.window[0] - start - grid.size[0] >= 2 or window + grid.window[0] == length


def test_pooled_moments_are_those_of_all_values():
    rng = np.random.default_rng(2)
    parts = [rng.normal(3 * i, 1 + i, (n, 6)) for i, n in enumerate((5, 11, 2))]
    moments = [(len(p), p.mean(0), ((p - p.mean(0)) ** 2).sum(0)) for p in parts]
    count, mean, squares = (jnp.asarray(np.array(m), jnp.float32) for m in zip(*moments, strict=True))
    mean, variance = pool(count, mean, squares, groups=2)
    grouped = np.concatenate(parts).reshape(-1, 2, 3)
    np.testing.assert_allclose(mean[0].reshape(2, 3)[:, 0], grouped.mean((0, 2)), rtol=1e-5)
    np.testing.assert_allclose(variance[0].reshape(2, 3)[:, 1], grouped.var((0, 2)), rtol=1e-5)


def test_tiles_of_nothing_are_refused():
    config = CONFIGS["one level"]
    with pytest.raises(InputError, match="tile is 0"):
        to_pixels(random_params(config), config, gradient_latents(8, 8), tile=0)
