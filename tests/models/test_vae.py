"""The autoencoder against diffusers' AutoencoderKL."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxanim.errors import InputError
from jaxanim.models.vae import VAE, VAEConfig, kl_divergence, sample_posterior, to_latents, to_pixels

TINY = VAEConfig(latent_channels=6, block_out_channels=(16, 24), layers_per_block=1, norm_num_groups=8)


@pytest.fixture(scope="module")
def tiny_params():
    shapes = jax.eval_shape(VAE(TINY).init, jax.random.key(0), jnp.zeros((1, 1, 8, 8, 3)))["params"]
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: jnp.asarray(0.1 * rng.normal(size=leaf.shape), jnp.float32), shapes)


def random_pixels(*shape):
    return jax.random.uniform(jax.random.key(1), shape, minval=-1.0, maxval=1.0)


def encode(params, config, pixels):
    return jax.jit(lambda params, x: VAE(config).apply({"params": params}, x, method="encode"))(params, pixels)


def decode(params, config, latents):
    return jax.jit(lambda params, x: VAE(config).apply({"params": params}, x, method="decode"))(params, latents)


def relative_error(ours, theirs):
    return np.max(np.abs(ours - theirs)) / np.max(np.abs(theirs))


def test_default_config_is_stable_diffusion_1_5():
    shapes = jax.eval_shape(lambda key: VAE(VAEConfig()).init(key, jnp.zeros((1, 1, 64, 64, 3))), jax.random.key(0))
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == 83_653_863


@pytest.mark.parametrize(
    "config",
    [
        TINY,
        VAEConfig(block_out_channels=(8, 16, 24), layers_per_block=2, norm_num_groups=4),
        VAEConfig(latent_channels=3, block_out_channels=(8, 16), norm_num_groups=4, mid_block_add_attention=False),
    ],
    ids=["tiny", "three levels", "no attention"],
)
def test_matches_diffusers(config):
    torch = pytest.importorskip("torch")
    diffusers = pytest.importorskip("diffusers")
    from jaxanim.convert.layout import from_torch

    levels = len(config.block_out_channels)
    torch.manual_seed(0)
    theirs = diffusers.AutoencoderKL(
        block_out_channels=config.block_out_channels,
        latent_channels=config.latent_channels,
        layers_per_block=config.layers_per_block,
        norm_num_groups=config.norm_num_groups,
        mid_block_add_attention=config.mid_block_add_attention,
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
    ).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():  # norms and biases too must not be where they start
            parameter.add_(0.05 * torch.randn_like(parameter))
    params = from_torch({name: value.numpy() for name, value in theirs.state_dict().items()})

    frames, height, width = 3, 3 * config.downscale, 5 * config.downscale
    pixels = random_pixels(2, frames, height, width, 3)
    images = np.array(pixels).reshape(2 * frames, height, width, 3).transpose(0, 3, 1, 2)
    with torch.no_grad():
        posterior = theirs.encode(torch.from_numpy(images)).latent_dist
        decoded = theirs.decode(posterior.mean).sample

    def as_video(images):
        return images.numpy().transpose(0, 2, 3, 1).reshape(2, frames, *images.shape[2:], -1)

    mean, logvar = encode(params, config, pixels)
    assert relative_error(mean, as_video(posterior.mean)) < 1e-5
    assert relative_error(logvar, as_video(posterior.logvar)) < 1e-5
    ours = decode(params, config, jnp.asarray(as_video(posterior.mean)))
    assert relative_error(ours, as_video(decoded)) < 1e-5

    initialised = jax.eval_shape(VAE(config).init, jax.random.key(0), pixels)["params"]
    chex.assert_trees_all_equal_shapes(params, initialised)


def test_log_variance_is_clamped(tiny_params):
    bias = jnp.concatenate([jnp.zeros(6), jnp.full(3, 1e3), jnp.full(3, -1e3)])
    params = tiny_params | {"quant_conv": tiny_params["quant_conv"] | {"bias": bias}}
    logvar = encode(params, TINY, random_pixels(1, 1, 8, 8, 3))[1]
    np.testing.assert_array_equal(logvar[..., :3], 20.0)
    np.testing.assert_array_equal(logvar[..., 3:], -30.0)


def test_latents_carry_the_scaling_factor_and_pixels_do_not(tiny_params):
    pixels = random_pixels(1, 2, 8, 12, 3)
    mean, _ = encode(tiny_params, TINY, pixels)
    latents = to_latents(tiny_params, TINY, pixels)
    np.testing.assert_allclose(latents, 0.18215 * mean, rtol=1e-6)
    assert relative_error(to_pixels(tiny_params, TINY, latents), decode(tiny_params, TINY, mean)) < 1e-5


def test_frames_in_chunks_equal_frames_together(tiny_params):
    pixels = random_pixels(1, 5, 8, 12, 3)
    together = to_latents(tiny_params, TINY, pixels, key=jax.random.key(2))
    chunked = to_latents(tiny_params, TINY, pixels, key=jax.random.key(2), frames_at_once=2)
    assert relative_error(chunked, together) < 1e-5
    decoded = to_pixels(tiny_params, TINY, together)
    assert relative_error(to_pixels(tiny_params, TINY, together, frames_at_once=1), decoded) < 1e-5


def test_draws_have_the_posterior_s_moments():
    mean, logvar = jnp.full((20_000,), 0.7), jnp.full((20_000,), np.log(0.09))
    draws = sample_posterior(jax.random.key(0), mean, logvar)
    assert abs(np.mean(draws) - 0.7) < 0.01
    assert abs(np.std(draws) - 0.3) < 0.01


def test_kl_divergence_is_torch_s():
    torch = pytest.importorskip("torch")
    mean, logvar = np.random.default_rng(0).normal(size=(2, 3, 5, 4)).astype(np.float32)
    normal = torch.distributions.Normal
    each = torch.distributions.kl_divergence(
        normal(torch.from_numpy(mean), torch.exp(0.5 * torch.from_numpy(logvar))), normal(0.0, 1.0)
    )
    ours = kl_divergence(jnp.asarray(mean), jnp.asarray(logvar))
    np.testing.assert_allclose(ours, each.sum(dim=(1, 2)).numpy(), rtol=1e-5)


def test_sizes_that_do_not_fit_are_refused(tiny_params):
    with pytest.raises(InputError, match=r"12x9.*multiples of 2"):
        to_latents(tiny_params, TINY, jnp.zeros((1, 1, 9, 12, 3)))
    with pytest.raises(InputError, match="at_once is 0"):
        to_latents(tiny_params, TINY, jnp.zeros((1, 1, 8, 8, 3)), frames_at_once=0)
