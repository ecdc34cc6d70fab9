"""Betas and prediction targets against diffusers' schedulers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxanim.diffusion.betas import Betas
from jaxanim.diffusion.process import add_noise, target, x0_eps
from jaxanim.errors import InputError
from jaxanim.stored import decode_config, encode_config

SCHEDULES = [
    (name, zero_snr) for name in ("linear", "scaled_linear", "squaredcos_cap_v2") for zero_snr in (False, True)
]


def diffusers_scheduler(name, zero_snr, **options):
    diffusers = pytest.importorskip("diffusers")
    pytest.importorskip("torch")
    return diffusers.DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule=name, rescale_betas_zero_snr=zero_snr, **options
    )


@pytest.mark.parametrize(("name", "zero_snr"), SCHEDULES)
def test_alphas_cumprod_are_diffusers(name, zero_snr):
    ours = Betas(name, rescale_betas_zero_snr=zero_snr).alphas_cumprod
    theirs = diffusers_scheduler(name, zero_snr).alphas_cumprod.numpy()
    assert ours.shape == (1000,)
    assert ours.dtype == np.float64
    np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=1e-7)
    assert (ours[-1] == 0) == zero_snr


def test_linear_betas_literally():
    process = Betas("linear", 0.1, 0.3, num_train_timesteps=3)
    np.testing.assert_allclose(process.alphas_cumprod, [0.9, 0.9 * 0.8, 0.9 * 0.8 * 0.7], rtol=1e-12)


def test_defaults_are_stable_diffusion_s():
    np.testing.assert_array_equal(
        Betas().alphas_cumprod, Betas("scaled_linear", 0.00085, 0.012, 1000).alphas_cumprod
    )


@pytest.mark.parametrize("zero_snr", [False, True])
def test_noising_and_velocity_are_diffusers(zero_snr):
    torch = pytest.importorskip("torch")
    scheduler = diffusers_scheduler("scaled_linear", zero_snr)
    process = Betas(prediction_type="v_prediction", rescale_betas_zero_snr=zero_snr)
    x0, noise = np.random.default_rng(0).normal(size=(2, 5, 3, 4, 4, 2)).astype(np.float32)
    t = np.array([0, 1, 500, 998, 999])
    for ours, theirs in ((add_noise, scheduler.add_noise), (target, scheduler.get_velocity)):
        expected = theirs(torch.from_numpy(x0), torch.from_numpy(noise), torch.from_numpy(t)).numpy()
        np.testing.assert_allclose(
            ours(process, jnp.asarray(x0), jnp.asarray(noise), jnp.asarray(t)), expected, atol=1e-5
        )


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction", "sample"])
def test_a_perfect_prediction_gives_back_clean_sample_and_noise(prediction_type):
    process = Betas(prediction_type=prediction_type)
    x0, noise = jax.random.normal(jax.random.key(0), (2, 4, 8, 8, 3))
    t = jnp.array([10, 400, 700, 999])
    x_t = add_noise(process, x0, noise, t)
    output = target(process, x0, noise, t)
    signal, level = (jnp.reshape(part, (4, 1, 1, 1)) for part in process.levels(t))
    x0_again, noise_again = jax.jit(lambda *args: x0_eps(prediction_type, *args))(output, x_t, signal, level)
    np.testing.assert_allclose(x0_again, x0, atol=2e-5)
    np.testing.assert_allclose(noise_again, noise, atol=2e-5)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"beta_schedule": "cosine"}, "beta_schedule is 'cosine'"),
        ({"prediction_type": "noise"}, "prediction_type is 'noise'"),
        ({"spacing": "even"}, "spacing is 'even'"),
    ],
)
def test_unknown_names_are_refused(fields, message):
    with pytest.raises(InputError, match=message):
        Betas(**fields)


def test_folders_of_before_there_were_other_processes_load():
    fields = {"beta_schedule": "linear", "prediction_type": "v_prediction", "spacing": "trailing"}
    process = decode_config({"class": "DiffusionConfig", "fields": fields}, "config.json")
    assert process == Betas(**fields)
    assert decode_config(encode_config(process), "config.json") == process
