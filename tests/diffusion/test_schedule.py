"""Noise schedules and prediction targets against diffusers' schedulers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxanim.diffusion import add_noise, make_schedule, target, to_x0_eps, velocity
from jaxanim.errors import InputError

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
    ours = make_schedule(name, rescale_zero_terminal_snr=zero_snr)
    theirs = diffusers_scheduler(name, zero_snr).alphas_cumprod.numpy()
    assert ours.num_train_timesteps == 1000
    assert ours.alphas_cumprod.dtype == np.float64
    np.testing.assert_allclose(ours.alphas_cumprod, theirs, rtol=2e-5, atol=1e-7)
    assert (ours.alphas_cumprod[-1] == 0) == zero_snr


def test_linear_betas_literally():
    schedule = make_schedule("linear", 0.1, 0.3, num_train_timesteps=3)
    np.testing.assert_allclose(schedule.alphas_cumprod, [0.9, 0.9 * 0.8, 0.9 * 0.8 * 0.7], rtol=1e-12)


@pytest.mark.parametrize("zero_snr", [False, True])
def test_noising_and_velocity_are_diffusers(zero_snr):
    torch = pytest.importorskip("torch")
    scheduler = diffusers_scheduler("scaled_linear", zero_snr)
    schedule = make_schedule(rescale_zero_terminal_snr=zero_snr)
    x0, noise = np.random.default_rng(0).normal(size=(2, 5, 3, 4, 4, 2)).astype(np.float32)
    t = np.array([0, 1, 500, 998, 999])
    for ours, theirs in ((add_noise, scheduler.add_noise), (velocity, scheduler.get_velocity)):
        expected = theirs(torch.from_numpy(x0), torch.from_numpy(noise), torch.from_numpy(t)).numpy()
        np.testing.assert_allclose(
            ours(schedule, jnp.asarray(x0), jnp.asarray(noise), jnp.asarray(t)), expected, atol=1e-5
        )


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction", "sample"])
def test_a_perfect_prediction_gives_back_clean_sample_and_noise(prediction_type):
    schedule = make_schedule()
    x0, noise = jax.random.normal(jax.random.key(0), (2, 4, 8, 8, 3))
    t = jnp.array([10, 400, 700, 999])
    x_t = add_noise(schedule, x0, noise, t)
    output = target(prediction_type, schedule, x0, noise, t)
    x0_again, noise_again = jax.jit(lambda *args: to_x0_eps(prediction_type, schedule, *args))(output, x_t, t)
    np.testing.assert_allclose(x0_again, x0, atol=2e-5)
    np.testing.assert_allclose(noise_again, noise, atol=2e-5)


def test_unknown_names_are_refused():
    with pytest.raises(InputError, match="beta_schedule is 'cosine'"):
        make_schedule("cosine")
    with pytest.raises(InputError, match="prediction_type is 'noise'"):
        target("noise", make_schedule(), jnp.zeros((1, 2)), jnp.zeros((1, 2)), jnp.zeros(1, int))
