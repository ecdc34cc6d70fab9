"""DDIM sampling against diffusers' DDIMScheduler, at every timestep of every spacing."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from jaxanim.diffusion.betas import Betas
from jaxanim.diffusion.ddim import DDIM
from jaxanim.diffusion.process import x0_eps
from jaxanim.diffusion.sample import sample
from jaxanim.errors import InputError

SHAPE = (2, 3, 4, 4, 2)


def step_of(table, index):
    return jax.tree.map(lambda column: column[index], table)


def ddim_step(solver, step, output, x, prediction_type, key=None):
    """One step of the sampler, from what a network said."""
    step = jax.tree.map(np.float32, step)
    return solver.step(step, x, *x0_eps(prediction_type, output, x, step.signal, step.noise), key)[0]


def fresh_noise(key, index, shape):
    return jax.random.normal(jax.random.fold_in(key, index), shape)


def diffusers_scheduler(betas="scaled_linear", **options):
    pytest.importorskip("torch")
    diffusers = pytest.importorskip("diffusers")
    options = {"clip_sample": False, "steps_offset": 1} | options
    return diffusers.DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule=betas, **options)


def relative_error(ours, theirs):
    return np.max(np.abs(ours - theirs)) / np.max(np.abs(theirs))


def test_magic_animate_s_timesteps():
    ts = Betas(beta_schedule="linear").timesteps(25)
    np.testing.assert_array_equal(ts, np.arange(961, 0, -40))


@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
@pytest.mark.parametrize("steps", [1, 3, 7, 25, 30, 50, 999])
@pytest.mark.parametrize("offset", [0, 1])
def test_timesteps_are_diffusers(spacing, steps, offset):
    scheduler = diffusers_scheduler(timestep_spacing=spacing, steps_offset=offset)
    scheduler.set_timesteps(steps)
    ours = Betas(spacing=spacing, steps_offset=offset).timesteps(steps)
    np.testing.assert_array_equal(ours, scheduler.timesteps.numpy())


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
    process = Betas(
        betas, prediction_type=prediction_type, spacing=spacing, steps_offset=offset, set_alpha_to_one=to_one,
        rescale_betas_zero_snr=zero_snr,
    )  # fmt: skip
    solver, key = DDIM(eta, clip=1.3 if clip else None), jax.random.key(0) if eta else None
    table = solver.plan(process.walk(25))
    np.testing.assert_array_equal(table.t, scheduler.timesteps)

    rng = np.random.default_rng(0)
    for index, t in enumerate(scheduler.timesteps):
        x, output = (rng.normal(size=SHAPE).astype(np.float32) for _ in range(2))
        noise = np.array(fresh_noise(key, index, SHAPE)) if eta else None
        expected = scheduler.step(
            torch.from_numpy(output), int(t), torch.from_numpy(x), eta=eta,
            variance_noise=torch.from_numpy(noise) if eta else None,
        ).prev_sample.numpy()  # fmt: skip
        step = step_of(table, index)
        ours = ddim_step(solver, step, jnp.asarray(output), jnp.asarray(x), prediction_type, key)
        assert relative_error(ours, expected) < 1e-5, f"timestep {t}"


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("betas", ["linear", "scaled_linear"])
def test_each_of_a_thousand_steps_is_diffusers(betas, prediction_type):
    torch = pytest.importorskip("torch")
    scheduler = diffusers_scheduler(betas, steps_offset=0, prediction_type=prediction_type)
    scheduler.alphas_cumprod = torch.cumprod(1 - scheduler.betas.double(), dim=0)
    scheduler.set_timesteps(1000)
    solver, key = DDIM(eta=0.5), jax.random.key(0)
    table = solver.plan(Betas(betas, steps_offset=0).walk(1000))
    np.testing.assert_array_equal(table.t, np.arange(1000)[::-1])
    output, x = np.random.default_rng(0).normal(size=(2, 1000, 4, 3)).astype(np.float32)
    noise = np.array(jax.vmap(lambda index: fresh_noise(key, index, (4, 3)))(table.index))
    table = jax.tree.map(lambda a: jnp.asarray(a, jnp.float32) if a.dtype == np.float64 else a, table)
    ours = jax.vmap(
        lambda step, output, x: solver.step(
            step, x, *x0_eps(prediction_type, output, x, step.signal, step.noise), key
        )[0]
    )(table, output, x)
    for index, t in enumerate(scheduler.timesteps):
        expected = scheduler.step(
            torch.from_numpy(output[index]), int(t), torch.from_numpy(x[index]), eta=0.5,
            variance_noise=torch.from_numpy(noise[index]),
        ).prev_sample.numpy()  # fmt: skip
        assert relative_error(ours[index], expected) < 1e-5, f"timestep {t}"


def network(weight, x, t):
    """A little network that any library can compute: float32 throughout, and dependent on t."""
    return weight * x / (1.0 + 0.5 * x**2) + 0.1 * (t / 1000)


def denoise(weight, x, step):
    return network(weight, x, step.t)


@pytest.mark.parametrize("betas", ["linear", "scaled_linear"])
def test_whole_sampling_is_diffusers(betas):
    torch = pytest.importorskip("torch")
    scheduler = diffusers_scheduler(betas)
    scheduler.set_timesteps(25)
    x_T = np.random.default_rng(1).normal(size=SHAPE).astype(np.float32)
    x = torch.from_numpy(x_T)
    for t in scheduler.timesteps:
        x = scheduler.step(network(0.7, x, t), int(t), x).prev_sample
    ours = sample(Partial(denoise, jnp.float32(0.7)), Betas(betas), jnp.asarray(x_T), steps=25)
    assert relative_error(ours, x.numpy()) < 1e-5


@pytest.mark.parametrize("eta", [0.0, 0.8])
def test_reports_change_no_number(eta):
    x_T = jax.random.normal(jax.random.key(0), SHAPE)
    options = {"steps": 10, "solver": DDIM(eta), "key": jax.random.key(3)}
    fn = Partial(denoise, jnp.float32(0.7))
    whole = sample(fn, Betas(), x_T, **options)
    assert relative_error(sample(fn, Betas(), x_T, unroll=True, **options), whole) < 1e-6
    for size in (1, 3, 20):
        seen = []
        chunked = sample(
            fn,
            Betas(),
            x_T,
            report=lambda *told, seen=seen: seen.append(told),
            steps_per_report=size,
            **options,
        )
        assert relative_error(chunked, whole) < 1e-6
        assert [told[:2] for told in seen] == [(min(done, 10), 10) for done in range(size, 10 + size, size)]
        # At the end there is no noise left beside the estimate of x_0.
        assert relative_error(seen[-1][2], whole) < 1e-6
        assert size > 3 or relative_error(seen[0][2], whole) > 1e-3


def test_sampling_is_compiled_once_for_one_function():
    traces = []

    def counted(weight, x, step):
        traces.append(step.t)
        return weight * x

    for weight in (0.1, 0.2):
        sample(Partial(counted, jnp.float32(weight)), Betas(), jnp.ones((2, 2)), steps=5)
    assert len(traces) == 1
    sample(Partial(counted, jnp.float32(0.3)), Betas(), jnp.ones((2, 2)), steps=5, report=lambda *_: None)
    assert len(traces) == 2


def test_what_is_re_imposed_after_each_step_stays_and_the_path_shows_every_step():
    """Every x by a plain loop over the steps."""
    x_T, held = jax.random.normal(jax.random.key(0), (2, 2, 3))
    fn, process, steps = Partial(denoise, jnp.float32(0.7)), Betas(), 6

    def between(held, x, step):
        return x.at[0].set(held[0] * step.next_signal)

    def taken(**options):
        return sample(fn, process, x_T, steps=steps, between=Partial(between, held), **options)

    path, table = taken(trajectory=True), process.walk(steps)
    assert path.shape == (steps + 1, *x_T.shape)
    x = np.asarray(x_T, np.float64)
    for i in range(steps):
        np.testing.assert_allclose(path[i], x, atol=1e-5)
        eps = network(0.7, x, table.t[i])
        x0 = (x - table.noise[i] * eps) / table.signal[i]
        x = table.next_signal[i] * x0 + table.next_noise[i] * eps
        x[0] = held[0] * table.next_signal[i]
    np.testing.assert_allclose(path[-1], x, atol=1e-5)
    np.testing.assert_array_equal(taken(), path[-1])
    np.testing.assert_array_equal(taken(trajectory=True, report=lambda *_: None, steps_per_report=4), path)
    rest = sample(
        fn, process, path[2], steps=steps, between=Partial(between, held), only=slice(2, None), trajectory=True
    )
    np.testing.assert_array_equal(rest, path[2:])


def test_sampling_jits_and_differentiates_as_a_whole():
    x_T = jax.random.normal(jax.random.key(0), (2, 3))

    def run(weight):
        return sample(lambda x, step: denoise(weight, x, step), Betas(), x_T, steps=4)

    np.testing.assert_allclose(jax.jit(run)(0.5), run(jnp.float32(0.5)), atol=1e-5)
    step = 1e-2
    slope = (run(0.5 + step).sum() - run(0.5 - step).sum()) / (2 * step)
    np.testing.assert_allclose(jax.grad(lambda w: run(w).sum())(0.5), slope, rtol=1e-2)


def test_fresh_noise_follows_the_key():
    x_T = jnp.ones((4, 4))

    def run(seed):
        return sample(
            lambda x, step: 0.1 * x, Betas(), x_T, steps=5, solver=DDIM(eta=1.0), key=jax.random.key(seed)
        )

    np.testing.assert_array_equal(run(0), run(0))
    assert np.abs(run(0) - run(1)).max() > 0.1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"steps": 1001}, "steps is 1001"),
        ({"steps": 1000}, "from 1 to 1000"),
        ({"solver": DDIM(eta=0.5)}, "eta is 0.5"),
        ({"steps_per_report": 0, "report": print}, "steps_per_report is 0"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        sample(lambda x, step: x, Betas(), jnp.zeros((1, 2)), **{"steps": 25} | options)


def test_noise_prediction_without_any_signal_is_refused():
    process = Betas(rescale_betas_zero_snr=True, spacing="trailing")
    with pytest.raises(InputError, match="zero terminal SNR"):
        sample(lambda x, step: x, process, jnp.zeros((1, 2)), steps=25)
