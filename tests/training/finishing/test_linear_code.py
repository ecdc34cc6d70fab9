"""The encoder's linear start against principal components computed by scikit-learn's recipe, in numpy."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from einops import rearrange

from jaxanim.errors import InputError
from jaxanim.models.vae import VAE, VAEConfig
from jaxanim.training.finishing.linear_code import linear_code

# Wide enough between the ends that no component is lost on the way: 2x2x3 = 12 and 4x4x3 = 48.
CONFIG = VAEConfig(latent_channels=6, block_out_channels=(12, 48, 24), layers_per_block=1, norm_num_groups=3)


def images(n: int) -> np.ndarray:
    """Smooth random pictures: a few random waves each."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:16, :16] / 16
    waves = [
        rng.uniform(-0.4, 0.4, 3)
        * np.sin(rng.uniform(2, 25) * x + rng.uniform(2, 25) * y + rng.uniform(0, 6))[..., None]
        for _ in range(3 * n)
    ]
    return np.stack(waves).reshape(n, 3, 16, 16, 3).sum(1)


@functools.cache
def compiled():
    return jax.jit(VAE(CONFIG).init), jax.jit(functools.partial(VAE(CONFIG).apply, method="encode"))


def encoded(pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    init, encode = compiled()
    params = init(jax.random.key(0), jnp.zeros((1, 1, 8, 8, 3)))["params"]
    params = linear_code(params, CONFIG, pictures)
    moments = encode({"params": params}, jnp.asarray(pictures, jnp.float32)[:, None])
    return tuple(np.asarray(m)[:, 0] for m in moments)


def test_latents_are_the_principal_components_of_patches():
    pictures = images(60)
    mean, logvar = encoded(pictures)
    patches = rearrange(pictures, "n (h p) (w q) c -> (n h w) (p q c)", p=4, q=4)
    centred = patches - patches.mean(0)
    _, singular, axes = np.linalg.svd(centred, full_matrices=False)
    std = singular / np.sqrt(len(patches))
    expected = (centred @ axes[:6].T) * std[:6] ** -0.5
    got = mean.reshape(-1, 6)
    signs = np.sign(np.sum(got * expected, axis=0))
    # The group normalisation's deviation still moves a little with each picture: hence a per cent, not an epsilon.
    error = np.linalg.norm(got * signs - expected) / np.linalg.norm(expected)
    assert error < 0.01, error
    chex.assert_trees_all_close(logvar, np.full_like(logvar, -7.0), atol=1e-4)


def test_no_linear_code_of_so_many_channels_is_better():
    pictures = images(60)
    latents = encoded(pictures)[0].reshape(-1, 6)
    patches = rearrange(pictures, "n (h p) (w q) c -> (n h w) (p q c)", p=4, q=4)
    patches = patches - patches.mean(0)
    left = patches - latents @ np.linalg.lstsq(latents, patches, rcond=None)[0]
    lost = np.linalg.svd(patches, compute_uv=False)[6:]
    assert np.sum(left**2) < 1.01 * np.sum(lost**2)


def test_too_narrow_a_last_width_is_named():
    config = VAEConfig(latent_channels=16, block_out_channels=(12, 48, 24), layers_per_block=1, norm_num_groups=3)
    with pytest.raises(InputError, match="16 latent channels need at least 42"):
        linear_code({}, config, images(2))
