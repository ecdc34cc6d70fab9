"""Wan2.2-TI2V-5B's networks at their real width against diffusers: two of the transformer's layers, the whole VAE.

    make test-full

As in `tests.full_size.test_networks`, a parameter lives in PyTorch or in JAX, never in both; below 8 GB.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("torch")

from jaxanim.models.wan.config import WanConfig
from jaxanim.models.wan.transformer import WanTransformer
from jaxanim.models.wan.vae_config import WanVAEConfig
from jaxanim.models.wan.video import to_latents, to_pixels
from tests.models import sd_oracle as oracle
from tests.models import wan_oracle
from tests.models.sd_oracle import torch

pytestmark = pytest.mark.full_size
TOLERANCE = 1e-4


def check(name, actual, expected):
    error = oracle.relative_error(actual, expected)
    print(f"{name}: relative error {error:.1e}")
    assert error < TOLERANCE


def test_wan_transformer():
    """With a time for each token, 192 of them, and 512 words."""
    config = dataclasses.replace(WanConfig(), num_layers=2)
    net = wan_oracle.make_transformer(config)
    x, text = oracle.draws(1, (1, 3, 16, 16, 48), (1, 512, 4096))
    t, clean = np.array([637.5], np.float32), np.array([[True, False, False]])
    with torch.no_grad():
        times = wan_oracle.per_token(config, t, clean, 16, 16)
        expected = net(oracle.video_to_torch(x), times, oracle.to_torch(text)).sample
    expected = oracle.video_from_torch(expected)
    params = wan_oracle.take_params(net)
    actual = jax.jit(WanTransformer(config).apply)(
        {"params": params}, x, jnp.array(t), text, clean=jnp.array(clean)
    )
    check("two layers of Wan's transformer", actual, expected)


def test_wan_vae():
    """Nine frames of 64x96: the first, and two pieces of four."""
    config = WanVAEConfig()
    net = wan_oracle.make_vae(config)
    pixels = jax.random.uniform(jax.random.key(0), (1, 9, 64, 96, 3), minval=-1.0, maxval=1.0)
    with torch.no_grad():
        mean = net.encode(oracle.video_to_torch(pixels)).latent_dist.mean
        decoded = oracle.video_from_torch(net.decode(mean).sample)
    mean = oracle.video_from_torch(mean)
    normal = ((mean - np.array(config.latents_mean)) / np.array(config.latents_std)).astype(np.float32)
    params = oracle.take_params(net)
    check("Wan2.2's VAE, encoding", to_latents(params, config, pixels), normal)
    check("Wan2.2's VAE, decoding", to_pixels(params, config, jnp.asarray(normal)), decoded)
