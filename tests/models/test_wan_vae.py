"""Wan's autoencoder against diffusers' AutoencoderKLWan (2.2's form), whole and in pieces, and its memory."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("torch")

from jaxanim.errors import InputError
from jaxanim.models.wan.vae import WanVAE
from jaxanim.models.wan.vae_config import WanVAEConfig
from jaxanim.models.wan.video import to_latents, to_pixels
from tests.models import sd_oracle as oracle
from tests.models import wan_oracle
from tests.models.sd_oracle import torch
from tests.models.wan_oracle import TINY_VAE

FRAMES = 13


@pytest.fixture(scope="module")
def net():
    return wan_oracle.make_vae(TINY_VAE)


@pytest.fixture(scope="module")
def params(net):
    return oracle.params_of(net)


@pytest.fixture(scope="module")
def pixels():
    side = TINY_VAE.downscale
    return jax.random.uniform(jax.random.key(0), (2, FRAMES, 2 * side, 3 * side, 3), minval=-1.0, maxval=1.0)


@pytest.fixture(scope="module")
def theirs(net, pixels):
    """(normalised latents of the mean, log-variance, decoded pixels)."""
    with torch.no_grad():
        posterior = net.encode(oracle.video_to_torch(pixels)).latent_dist
        decoded = net.decode(posterior.mean).sample
    mean, logvar = (oracle.video_from_torch(x) for x in (posterior.mean, posterior.logvar))
    normal = (mean - np.array(TINY_VAE.latents_mean)) / np.array(TINY_VAE.latents_std)
    return normal.astype(np.float32), logvar, oracle.video_from_torch(decoded)


@pytest.mark.parametrize("frames_at_once", [8, None])
def test_encoding_in_pieces_is_diffusers(params, pixels, theirs, frames_at_once):
    """13 frames are one and three latents of four: 8 frames at once do not divide them and are taken as 4."""
    oracle.assert_close(to_latents(params, TINY_VAE, pixels, frames_at_once=frames_at_once), theirs[0])


@pytest.mark.parametrize("frames_at_once", [4, None])
def test_decoding_in_pieces_is_diffusers(params, theirs, frames_at_once):
    ours = to_pixels(params, TINY_VAE, jnp.asarray(theirs[0]), frames_at_once=frames_at_once)
    oracle.assert_close(ours, theirs[2])
    assert np.mean(np.abs(theirs[2]) == 1) < 0.9  # not all clipped


def test_the_log_variance_is_diffusers(params, pixels, theirs):
    (_, logvar), _ = jax.jit(lambda p, x: WanVAE(TINY_VAE).apply({"params": p}, x, method="encode"))(params, pixels)
    oracle.assert_close(logvar, theirs[1])


def test_one_frame(net, params, pixels):
    with torch.no_grad():
        mean = net.encode(oracle.video_to_torch(pixels[:, :1])).latent_dist.mean
        decoded = net.decode(mean).sample
    ours = to_latents(params, TINY_VAE, pixels[:, :1])
    std, shift = np.array(TINY_VAE.latents_std), np.array(TINY_VAE.latents_mean)
    oracle.assert_close(ours * std + shift, oracle.video_from_torch(mean))
    oracle.assert_close(to_pixels(params, TINY_VAE, ours), oracle.video_from_torch(decoded))


def test_a_patch_of_one_pixel_and_one_halving_of_frames():
    """What puppets use: stride (2, 4, 4)."""
    config = dataclasses.replace(TINY_VAE, patch_size=1, temporal_downsample=(True, False))
    assert (config.downscale, config.frames_per_latent) == (4, 2)
    net = wan_oracle.make_vae(config, seed=3)
    params = oracle.params_of(net)
    pixels = jax.random.uniform(jax.random.key(1), (1, 5, 8, 8, 3), minval=-1.0, maxval=1.0)
    latents = to_latents(params, config, pixels)
    assert latents.shape == (1, 3, 2, 2, 5)
    # diffusers takes frames four at a time whatever the config says, so the frames must go in two by two
    with torch.no_grad():
        z = oracle.video_to_torch(latents * np.array(config.latents_std) + np.array(config.latents_mean))
        decoded = net.decode(z.float()).sample
    oracle.assert_close(to_pixels(params, config, latents), oracle.video_from_torch(decoded))


def test_memory_does_not_grow_with_the_frames(params):
    """By the compiler's analysis: what is needed beside arguments and result, for 17, 49 and 121 frames."""
    side = 2 * TINY_VAE.downscale
    encode = jax.jit(lambda p, x: to_latents(p, TINY_VAE, x))
    decode = jax.jit(lambda p, z: to_pixels(p, TINY_VAE, z))
    used = []
    for frames in (17, 49, 121):
        x = jax.ShapeDtypeStruct((1, frames, side, side, 3), jnp.float32)
        z = jax.ShapeDtypeStruct((1, (frames + 3) // 4, 2, 2, TINY_VAE.z_dim), jnp.float32)
        used.append([encode.lower(params, x).compile().memory_analysis().temp_size_in_bytes,
                     decode.lower(params, z).compile().memory_analysis().temp_size_in_bytes])  # fmt: skip
    whole = jax.jit(lambda p, x: to_latents(p, TINY_VAE, x, frames_at_once=None)).lower(params, x).compile()
    assert whole.memory_analysis().temp_size_in_bytes > 2 * used[-1][0]
    # 7.6 times as many frames; the compiler's own rounding is a few bytes
    assert np.max(used, axis=0).tolist() <= (1.001 * np.min(used, axis=0)).tolist(), used


def test_tiles_are_the_whole():
    """Frames of 96x128 in tiles of 32, margins cut off, with the layers in the middle on the whole frame."""
    config = dataclasses.replace(
        TINY_VAE, base_dim=2, decoder_base_dim=2, dim_mult=(1, 1, 1), z_dim=3, latents_mean=(0.1, 0.2, 0.3),
        latents_std=(1.0, 2.0, 0.5),
    )  # fmt: skip
    params = oracle.params_of(wan_oracle.make_vae(config, seed=4))
    pixels = jax.random.uniform(jax.random.key(1), (1, 5, 96, 128, 3), minval=-1.0, maxval=1.0)
    latents = to_latents(params, config, pixels)
    np.testing.assert_allclose(to_latents(params, config, pixels, tile=32), latents, atol=1e-5)
    whole, tiled = (to_pixels(params, config, latents, tile=tile) for tile in (None, 32))
    np.testing.assert_allclose(tiled, whole, atol=1e-5)
    used = [
        to_pixels.lower(params, config, latents, tile=tile).compile().memory_analysis().temp_size_in_bytes
        for tile in (None, 32)
    ]
    assert used[1] < used[0], used


def test_the_defaults_are_wan2_2_s():
    with torch.device("meta"):
        net = wan_oracle.diffusers.AutoencoderKLWan(
            base_dim=160, decoder_base_dim=256, z_dim=48, is_residual=True, in_channels=12, out_channels=12,
            patch_size=2, latents_mean=[0.0] * 48, latents_std=[1.0] * 48,
        )  # fmt: skip
    config = WanVAEConfig()
    shapes = jax.eval_shape(WanVAE(config).init, jax.random.key(0), jnp.zeros((1, 1, 16, 16, 3)))
    count = sum(p.numel() for p in net.parameters())
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == count
    assert (config.downscale, config.frames_per_latent) == (16, 4)


def test_a_draw_is_the_mean_and_noise_of_the_posterior_s_spread(params, pixels):
    frame, key = pixels[:1, :1], jax.random.key(2)
    (mean, logvar), _ = jax.jit(lambda p, x: WanVAE(TINY_VAE).apply({"params": p}, x, method="encode"))(
        params, frame
    )
    draw = np.asarray(mean) + np.exp(0.5 * logvar) * jax.random.normal(key, mean.shape)
    expected = (draw - np.array(TINY_VAE.latents_mean)) / np.array(TINY_VAE.latents_std)
    oracle.assert_close(to_latents(params, TINY_VAE, frame, key=key), expected)


def test_bad_input(params, pixels):
    with pytest.raises(
        InputError, match=r"12 frames; Wan takes 4n \+ 1, so 9 of them would be taken \(or give 13\)"
    ):
        to_latents(params, TINY_VAE, pixels[:, :12])
    with pytest.raises(InputError, match=r"24x15 .*multiples of 8"):
        to_latents(params, TINY_VAE, pixels[:, :, :15])
    with pytest.raises(InputError, match="frames_at_once is 0"):
        to_latents(params, TINY_VAE, pixels, frames_at_once=0)
    with pytest.raises(InputError, match="tile is 0: give the side"):
        to_latents(params, TINY_VAE, pixels, tile=0)
    with pytest.raises(InputError, match="latents_mean has 48 values; z_dim is 5"):
        WanVAEConfig(z_dim=5)
    with pytest.raises(InputError, match="temporal_downsample has 3 entries"):
        WanVAEConfig(dim_mult=(1, 1))
    with pytest.raises(InputError, match=r"dim_mult is \(1, 2\): the last two must be equal"):
        WanVAEConfig(dim_mult=(1, 2), temporal_downsample=(True,))
