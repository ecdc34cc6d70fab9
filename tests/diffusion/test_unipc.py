"""Flow's three rules, Euler and UniPC against diffusers' schedulers, step by step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("torch")

from jaxanim.diffusion.ddim import DDIM
from jaxanim.diffusion.flow import Flow
from jaxanim.diffusion.sample import sample
from jaxanim.diffusion.unipc import UniPC
from jaxanim.errors import InputError
from tests.models.sd_oracle import diffusers, torch

STEPS = 9


def unipc(steps, sigmas=None):
    scheduler = diffusers.UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=5.0, solver_order=2, solver_type="bh2"
    )
    scheduler.set_timesteps(steps) if sigmas is None else scheduler.set_timesteps(sigmas=sigmas)
    return scheduler


def euler(steps):
    """diffusers shifts what it is given once more unless its own shift is 1."""
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=1.0)
    even = np.linspace(1, 0, steps + 1)[:-1]
    scheduler.set_timesteps(sigmas=5 * even / (1 + 4 * even))
    return scheduler


CASES = {
    "diffsynth": (DDIM(), euler),
    "diffusers": (UniPC(), unipc),
    "official": (UniPC(), lambda steps: unipc(steps, np.linspace(0.999, 0, steps + 1)[:-1])),
}


def velocity(x, t, module):
    """Of no straight line, so that the order of a solver shows."""
    return 0.8 * module.sin(3 * x) + 0.5 * x + t / 1000


@pytest.mark.parametrize("rule", CASES)
@pytest.mark.parametrize("steps", [1, 2, STEPS])
def test_every_step_is_diffusers(rule, steps):
    solver, make = CASES[rule]
    x_T = jax.random.normal(jax.random.key(0), (2, 3, 4))
    scheduler = make(steps)
    x, expected = torch.from_numpy(np.array(x_T)), []
    for t in scheduler.timesteps:
        x = scheduler.step(velocity(x, t, torch).float(), t, x, return_dict=False)[0]
        expected.append(x.numpy())
    flow = Flow(5.0, rule=rule)
    ours = sample(lambda x, step: velocity(x, step.t, jnp), flow, x_T, steps=steps, solver=solver, trajectory=True)
    np.testing.assert_allclose(flow.walk(steps).t, scheduler.timesteps.numpy(), rtol=1e-6)
    np.testing.assert_allclose(ours[1:], np.stack(expected), rtol=2e-5, atol=2e-5)


def test_fifty_steps_of_each_rule():
    """First time and last level, as the schedulers that people use have them."""
    last = {"diffsynth": 0.09259, "diffusers": 0.09678, "official": 0.09251}
    for rule, (_, make) in CASES.items():
        walk = Flow(5.0, rule=rule).walk(50)
        scheduler = make(50)
        np.testing.assert_allclose(walk.noise, scheduler.sigmas.numpy()[:-1], atol=1e-7)
        np.testing.assert_allclose(walk.t, scheduler.timesteps.numpy(), rtol=1e-6)
        assert walk.noise[-1] == pytest.approx(last[rule], abs=1e-5)
        assert walk.t[0] == (1000 if rule == "diffsynth" else 999)
        assert walk.next_noise[-1] == 0
    differ = Flow(rule="diffusers").walk(50).t != Flow(rule="official").walk(50).t
    assert differ.sum() == 27


def test_unipc_converges_faster_than_euler():
    """Against two hundred times as many steps of Euler."""
    x_T = jax.random.normal(jax.random.key(1), (50,))

    def end(rule, solver, steps):
        return sample(
            lambda x, step: velocity(x, step.t, jnp), Flow(3.0, rule=rule), x_T, steps=steps, solver=solver
        )

    truth = end("diffsynth", DDIM(), 4000)
    errors = [
        float(jnp.abs(end("official", UniPC(), 20) - truth).max()),
        float(jnp.abs(end("diffsynth", DDIM(), 20) - truth).max()),
    ]
    assert errors[0] < errors[1] / 3, errors


def test_a_clean_frame_stays_imposed():
    """`between` puts the clean first frame back after each step; the others are as without it."""
    x_T = jax.random.normal(jax.random.key(2), (1, 3, 4))
    clean = jnp.full((1, 1, 4), 0.25)

    def impose(x, step):
        return x.at[:, :1].set(clean)

    def denoise(x, step):
        return velocity(x, step.t, jnp)

    flow = Flow(rule="diffusers")
    free = sample(denoise, flow, x_T, steps=5, solver=UniPC())
    held = sample(denoise, flow, impose(x_T, None), steps=5, solver=UniPC(), between=impose)
    np.testing.assert_array_equal(held[:, :1], clean)
    np.testing.assert_array_equal(held[:, 1:], free[:, 1:])


def test_bad_input():
    with pytest.raises(InputError, match="'diffusers' or 'official'"):
        sample(lambda x, step: x, Flow(), jnp.ones((2,)), steps=3, solver=UniPC())
    with pytest.raises(InputError, match="rule is 'kohya': it must be one of diffsynth, diffusers, official"):
        Flow(rule="kohya")
