"""The autoencoder's training: its loss written out, its crops, and what it exports."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxanim.data.puppets import PuppetClips
from jaxanim.models.shapes import parameter_shapes
from jaxanim.models.vae import VAE, VAEConfig
from jaxanim.training.feed import Feed
from jaxanim.training.tasks.vae import VAETask
from jaxanim.weights import load_weights, read_description
from tests.systems.tiny import random_params

CONFIG = VAEConfig(block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4)
TASK = VAETask(
    CONFIG,
    PuppetClips(seeds=(0, 2), frames=3, span=50, size=(32, 32)),
    PuppetClips(seeds=(900_000, 2), frames=3, span=50, size=(32, 32)),
    crop=16,
    code_images=4,
    kl_weight=0.01,
    edge_weight=0.3,
)


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("JAXANIM_CACHE", str(tmp_path_factory.getbasetemp() / "vae_cache"))


@pytest.fixture(scope="module")
def params():
    return random_params(parameter_shapes("vae", CONFIG))


def moments(params, pixels):
    """(mean, logvar) of the posterior: the encoder's output cut in two."""
    both = jax.jit(lambda params, x: VAE(CONFIG).apply({"params": params}, x, method="encode"))(params, pixels)
    return (np.asarray(part, np.float64) for part in both)


def test_the_loss_is_reconstruction_edges_and_divergence_written_out(params):
    rng, key = np.random.default_rng(0), jax.random.key(3)
    batch = {"pixels": jnp.asarray(rng.integers(0, 256, (3, 16, 16, 3)), jnp.uint8)}
    loss, metrics = jax.jit(TASK.loss)(params, batch, key)
    pixels = np.asarray(batch["pixels"], np.float64)[:, None] / 127.5 - 1
    mean, logvar = moments(params, jnp.asarray(pixels, jnp.float32))
    latents = mean + np.exp(0.5 * logvar) * np.asarray(jax.random.normal(key, mean.shape))
    decode = jax.jit(lambda z: VAE(CONFIG).apply({"params": params}, z, method="decode"))
    difference = np.asarray(decode(jnp.asarray(latents, jnp.float32)), np.float64) - pixels
    divergence = np.mean(0.5 * (mean**2 + np.exp(logvar) - 1 - logvar))
    expected = np.mean(difference**2) + 0.3 * np.mean(np.abs(difference)) + 0.01 * divergence
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    assert float(metrics["kl"]) == pytest.approx(divergence, rel=1e-5)
    assert float(metrics["psnr"]) == pytest.approx(10 * np.log10(4 / np.mean(difference**2)), rel=1e-5)


def test_every_element_is_a_crop_of_a_frame_either_way_round():
    source, frames = TASK.batches(Feed(batch_size=1)), np.concatenate([TASK.clips[i]["frames"] for i in range(2)])
    windows = np.lib.stride_tricks.sliding_window_view(frames, (16, 16, 3), axis=(1, 2, 3))[:, :, :, 0]
    mirrored = 0
    for i in range(6):
        crop = source[i]["pixels"][0]
        found = [np.any(np.all(windows == one, axis=(3, 4, 5))) for one in (crop, crop[:, ::-1])]
        assert any(found)
        mirrored += found == [False, True]
    assert 0 < mirrored < 6


def test_the_exported_latents_of_held_out_frames_have_unit_deviation(tmp_path):
    params = TASK.init(jax.random.key(0))
    TASK.save(params, tmp_path)
    config, stored = load_weights(tmp_path, system="vae")["vae"]
    frames = np.stack([TASK.held_out[i]["frames"][0] for i in range(2)])
    mean, _ = moments(stored, jnp.asarray(frames, jnp.float32)[None] / 127.5 - 1)
    assert config.scaling_factor * mean.std() == pytest.approx(1, rel=1e-3)
    chex.assert_trees_all_close(stored, params, rtol=1e-3, atol=1e-6)
    assert 5 < read_description(tmp_path)["metadata"]["held_out_psnr"] < 40
    assert TASK.sheet(params, jax.random.key(0)).shape[0] >= 2 * 32
