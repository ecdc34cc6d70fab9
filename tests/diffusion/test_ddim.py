"""DDIM sampling against diffusers' DDIMScheduler, at every timestep of every spacing."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from jaxanim.diffusion import ddim_step, ddim_steps, make_schedule, sample, timesteps
from jaxanim.errors import InputError

SHAPE = (2, 3, 4, 4, 2)


def step_of(table, index):
    return jax.tree.map(lambda column: column[index], table)


def diffusers_scheduler(betas="scaled_linear", **options):
    pytest.importorskip("torch")
    diffusers = pytest.importorskip("diffusers")
    options = {"clip_sample": False, "steps_offset": 1} | options
    return diffusers.DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule=betas, **options)


def relative_error(ours, theirs):
    return np.max(np.abs(ours - theirs)) / np.max(np.abs(theirs))


def test_magic_animate_s_timesteps():
    ts = timesteps(make_schedule("linear"), 25)
    np.testing.assert_array_equal(ts, np.arange(961, 0, -40))


@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
@pytest.mark.parametrize("steps", [1, 3, 7, 25, 30, 50, 999])
@pytest.mark.parametrize("offset", [0, 1])
def test_timesteps_are_diffusers(spacing, steps, offset):
    scheduler = diffusers_scheduler(timestep_spacing=spacing, steps_offset=offset)
    scheduler.set_timesteps(steps)
    np.testing.assert_array_equal(timesteps(make_schedule(), steps, spacing, offset), scheduler.timesteps.numpy())


CASES = [
    # betas, zero terminal SNR, spacing, offset, set_alpha_to_one, prediction type, clipped, eta
    *itertools.product(
        ["linear", "scaled_linear"], [False], ["leading", "trailing", "linspace"], [0, 1], [True, False], ["epsilon"], [False], [0.0]
    ),
    *itertools.product(
        ["scaled_linear"], [False], ["leading", "trailing"], [1], [True], ["v_prediction", "sample"], [False, True], [0.0, 0.6]
    ),
    *itertools.product(
        ["scaled_linear", "linear"], [True], ["trailing", "leading"], [1], [True, False], ["v_prediction", "sample"], [False], [0.0, 1.0]
    ),
    ("linear", False, "leading", 1, True, "epsilon", True, 0.0),
    ("linear", False, "leading", 1, False, "epsilon", True, 1.0),
]  # fmt: skip


def double_betas(betas, zero_snr):
    from diffusers.schedulers.scheduling_ddim import rescale_zero_terminal_snr

    return rescale_zero_terminal_snr(betas.double()) if zero_snr else betas.double()


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case)))
def test_every_step_is_diffusers(case):
    torch = pytest.importorskip("torch")
    betas, zero_snr, spacing, offset, to_one, prediction_type, clip, eta = case
    scheduler = diffusers_scheduler(
        betas, timestep_spacing=spacing, steps_offset=offset, set_alpha_to_one=to_one,
        prediction_type=prediction_type, clip_sample=clip, clip_sample_range=1.3,
    )  # fmt: skip
    # Its tables are float32; the same betas accumulated in float64 keep its rounding out of the comparison.
    scheduler.alphas_cumprod = torch.cumprod(1 - double_betas(scheduler.betas, zero_snr), dim=0)
    if not to_one:
        scheduler.final_alpha_cumprod = scheduler.alphas_cumprod[0]
    scheduler.set_timesteps(25)
    schedule = make_schedule(betas, rescale_zero_terminal_snr=zero_snr)
    table = ddim_steps(schedule, 25, spacing=spacing, steps_offset=offset, set_alpha_to_one=to_one, eta=eta)
    np.testing.assert_array_equal(table.t, scheduler.timesteps)

    rng = np.random.default_rng(0)
    for index, t in enumerate(scheduler.timesteps):
        x, output, noise = (rng.normal(size=SHAPE).astype(np.float32) for _ in range(3))
        expected = scheduler.step(
            torch.from_numpy(output), int(t), torch.from_numpy(x), eta=eta,
            variance_noise=torch.from_numpy(noise) if eta else None,
        ).prev_sample.numpy()  # fmt: skip
        ours = ddim_step(
            step_of(table, index), jnp.asarray(output), jnp.asarray(x), prediction_type=prediction_type,
            clip_sample=clip, clip_sample_range=1.3, noise=jnp.asarray(noise) if eta else None,
        )  # fmt: skip
        assert relative_error(ours, expected) < 1e-5, f"timestep {t}"


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("betas", ["linear", "scaled_linear"])
def test_each_of_a_thousand_steps_is_diffusers(betas, prediction_type):
    torch = pytest.importorskip("torch")
    scheduler = diffusers_scheduler(betas, steps_offset=0, prediction_type=prediction_type)
    scheduler.alphas_cumprod = torch.cumprod(1 - scheduler.betas.double(), dim=0)
    scheduler.set_timesteps(1000)
    table = ddim_steps(make_schedule(betas), 1000, steps_offset=0, eta=0.5)
    np.testing.assert_array_equal(table.t, np.arange(1000)[::-1])
    output, x, noise = np.random.default_rng(0).normal(size=(3, 1000, 4, 3)).astype(np.float32)
    ours = jax.vmap(
        lambda step, *arrays: ddim_step(step, *arrays[:2], noise=arrays[2], prediction_type=prediction_type)
    )(table, output, x, noise)
    for index, t in enumerate(scheduler.timesteps):
        expected = scheduler.step(
            torch.from_numpy(output[index]), int(t), torch.from_numpy(x[index]), eta=0.5,
            variance_noise=torch.from_numpy(noise[index]),
        ).prev_sample.numpy()  # fmt: skip
        assert relative_error(ours[index], expected) < 1e-5, f"timestep {t}"


def denoise(weight, x, t):
    """A little network that any library can compute: float32 throughout, and dependent on t."""
    return weight * x / (1.0 + 0.5 * x**2) + 0.1 * (t / 1000)


@pytest.mark.parametrize("betas", ["linear", "scaled_linear"])
def test_whole_sampling_is_diffusers(betas):
    torch = pytest.importorskip("torch")
    scheduler = diffusers_scheduler(betas)
    scheduler.set_timesteps(25)
    x_T = np.random.default_rng(1).normal(size=SHAPE).astype(np.float32)
    x = torch.from_numpy(x_T)
    for t in scheduler.timesteps:
        x = scheduler.step(denoise(0.7, x, t), int(t), x).prev_sample
    ours = sample(Partial(denoise, jnp.float32(0.7)), make_schedule(betas), jnp.asarray(x_T))
    assert relative_error(ours, x.numpy()) < 1e-5


@pytest.mark.parametrize("eta", [0.0, 0.8])
def test_reports_change_no_number(eta):
    x_T = jax.random.normal(jax.random.key(0), SHAPE)
    options = {"steps": 10, "eta": eta, "key": jax.random.key(3)}
    fn = Partial(denoise, jnp.float32(0.7))
    schedule = make_schedule()
    whole = sample(fn, schedule, x_T, **options)
    for size in (1, 3, 20):
        seen = []
        chunked = sample(
            fn,
            schedule,
            x_T,
            report=lambda *done, seen=seen: seen.append(done),
            steps_per_report=size,
            **options,
        )
        assert relative_error(chunked, whole) < 1e-6
        assert seen == [(min(done, 10), 10) for done in range(size, 10 + size, size)]


def test_sampling_is_compiled_once_for_one_function():
    traces = []

    def counted(weight, x, t):
        traces.append(t)
        return weight * x

    schedule = make_schedule()
    for weight in (0.1, 0.2):
        sample(Partial(counted, jnp.float32(weight)), schedule, jnp.ones((2, 2)), steps=5)
    assert len(traces) == 1
    sample(Partial(counted, jnp.float32(0.3)), schedule, jnp.ones((2, 2)), steps=5, report=lambda *_: None)
    assert len(traces) == 2


def test_sampling_jits_and_differentiates_as_a_whole():
    schedule = make_schedule()
    x_T = jax.random.normal(jax.random.key(0), (2, 3))

    def run(weight):
        return sample(lambda x, t: denoise(weight, x, t), schedule, x_T, steps=4)

    np.testing.assert_allclose(jax.jit(run)(0.5), run(jnp.float32(0.5)), atol=1e-5)
    step = 1e-2
    slope = (run(0.5 + step).sum() - run(0.5 - step).sum()) / (2 * step)
    np.testing.assert_allclose(jax.grad(lambda w: run(w).sum())(0.5), slope, rtol=1e-2)


def test_fresh_noise_follows_the_key():
    schedule = make_schedule()
    x_T = jnp.ones((4, 4))

    def run(seed):
        return sample(lambda x, t: 0.1 * x, schedule, x_T, steps=5, eta=1.0, key=jax.random.key(seed))

    np.testing.assert_array_equal(run(0), run(0))
    assert np.abs(run(0) - run(1)).max() > 0.1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"steps": 1001}, "steps is 1001"),
        ({"steps": 1000}, "from 1 to 1000"),
        ({"spacing": "even"}, "spacing is 'even'"),
        ({"prediction_type": "x0"}, "prediction_type is 'x0'"),
        ({"eta": 0.5}, "eta is 0.5"),
        ({"steps_per_report": 0, "report": print}, "steps_per_report is 0"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        sample(lambda x, t: x, make_schedule(), jnp.zeros((1, 2)), **options)


def test_noise_prediction_without_any_signal_is_refused():
    schedule = make_schedule(rescale_zero_terminal_snr=True)
    with pytest.raises(InputError, match="zero terminal SNR"):
        sample(lambda x, t: x, schedule, jnp.zeros((1, 2)), spacing="trailing")
