"""DDIM inversion against diffusers' DDIMInverseScheduler, and back again by sampling."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from jaxanim.diffusion.betas import Betas
from jaxanim.diffusion.inversion import Inversion
from jaxanim.diffusion.sample import sample
from jaxanim.errors import InputError

SHAPE = (1, 2, 4, 4, 3)


def network(weight, x, t):
    return weight * x / (1.0 + 0.5 * x**2) + 0.1 * (t / 1000)


def denoise(weight, x, step):
    return network(weight, x, step.t)


def invert(denoise, process, x_0, steps):
    return sample(denoise, process, x_0, steps=steps, solver=Inversion(), trajectory=True)


@pytest.mark.parametrize("spacing", ["leading", "trailing"])
@pytest.mark.parametrize("to_one", [True, False])
@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("betas", ["linear", "scaled_linear"])
def test_whole_inversion_is_diffusers(spacing, to_one, prediction_type, betas):
    torch = pytest.importorskip("torch")
    diffusers = pytest.importorskip("diffusers")
    scheduler = diffusers.DDIMInverseScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule=betas, set_alpha_to_one=to_one, steps_offset=1,
        clip_sample=False, timestep_spacing=spacing, prediction_type=prediction_type,
    )  # fmt: skip
    scheduler.set_timesteps(20)
    process = Betas(betas, prediction_type=prediction_type, spacing=spacing, set_alpha_to_one=to_one)
    table = Inversion().plan(process.walk(20))
    np.testing.assert_array_equal(table.t, scheduler.timesteps)

    x_0 = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    expected = [torch.from_numpy(x_0)]
    for t in scheduler.timesteps:
        expected.append(scheduler.step(network(0.7, expected[-1], t), int(t), expected[-1]).prev_sample)
    ours = invert(Partial(denoise, jnp.float32(0.7)), process, jnp.asarray(x_0), 20)
    assert ours.shape == (21, *SHAPE)
    for mine, theirs in zip(ours, expected, strict=True):
        assert np.max(np.abs(mine - theirs.numpy())) / np.max(np.abs(theirs.numpy())) < 1e-5


@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
@pytest.mark.parametrize("to_one", [True, False])
def test_sampling_undoes_inversion_where_the_answer_depends_on_the_step_alone(spacing, to_one):
    direction = jax.random.normal(jax.random.key(1), SHAPE)

    def denoise(x, step):
        return direction * (0.3 + step.t / 1000)

    process = Betas(spacing=spacing, set_alpha_to_one=to_one)
    x_0 = jax.random.normal(jax.random.key(0), SHAPE)
    x_T = invert(denoise, process, x_0, 25)[-1]
    assert np.abs(x_T - x_0).max() > 0.5
    np.testing.assert_allclose(sample(denoise, process, x_T, steps=25), x_0, atol=2e-5)


def test_sampling_returns_the_latent_of_a_linear_denoiser_as_steps_grow_small():
    process = Betas(set_alpha_to_one=False)
    alphas = jnp.asarray(process.alphas_cumprod, jnp.float32)

    def denoise(x, step):
        """The optimal noise estimate for data of standard deviation 0.6: linear in x."""
        alpha = alphas[step.t]
        return x * jnp.sqrt(1 - alpha) / (0.36 * alpha + 1 - alpha)

    x_0 = 0.6 * jax.random.normal(jax.random.key(0), SHAPE)

    def error(steps):
        x_T = invert(denoise, process, x_0, steps)[-1]
        return np.abs(sample(denoise, process, x_T, steps=steps) - x_0).max()

    errors = [error(steps) for steps in (50, 100, 200, 500)]
    assert errors[-1] < 0.01
    for coarse, fine in itertools.pairwise(errors):
        assert fine < 0.6 * coarse  # first order: half the step, half the error


def test_predicting_the_sample_needs_noise_to_start_from():
    with pytest.raises(InputError, match="set_alpha_to_one=False"):
        invert(lambda x, step: x, Betas(prediction_type="sample"), jnp.zeros((1, 2)), 25)
