"""Rectified flow against its equations written out, and Euler's method on a straight line."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxanim.diffusion.flow import Flow
from jaxanim.diffusion.process import add_noise, target, x0_eps
from jaxanim.diffusion.sample import sample
from jaxanim.errors import InputError


def test_levels_and_targets_literally_per_sample_and_per_token():
    flow = Flow()
    x0, eps = jax.random.normal(jax.random.key(0), (2, 2, 3, 4))
    for t in (jnp.array([250.5, 1000.0]), jnp.array([[0, 10, 999], [500, 1, 1000]])):
        s = np.asarray(t, np.float64).reshape(*t.shape, *([1] * (3 - t.ndim))) / 1000
        np.testing.assert_allclose(add_noise(flow, x0, eps, t), (1 - s) * x0 + s * eps, atol=1e-6)
        np.testing.assert_allclose(target(flow, x0, eps, t), eps - x0, atol=1e-6)
        x_t, velocity = add_noise(flow, x0, eps, t), target(flow, x0, eps, t)
        again = x0_eps(flow.prediction_type, velocity, x_t, jnp.float32(1 - s), jnp.float32(s))
        np.testing.assert_allclose(again, (x0, eps), atol=1e-5)


@pytest.mark.parametrize("shift", [1.0, 3.0, 5.0])
def test_walk_literally(shift):
    walk = Flow(shift).walk(50)
    even = [1 - i / 50 for i in range(51)]
    levels = np.array([shift * s / (1 + (shift - 1) * s) for s in even])
    np.testing.assert_allclose(walk.t, 1000 * levels[:-1], rtol=1e-12)
    np.testing.assert_allclose(walk.noise, levels[:-1], rtol=1e-12)
    np.testing.assert_allclose(walk.next_noise, levels[1:], rtol=1e-12)
    np.testing.assert_allclose(walk.signal + walk.noise, 1, rtol=1e-12)
    assert (walk.t[0], walk.next_noise[-1]) == (1000, 0)
    if shift == 5:
        assert walk.noise[-1] == pytest.approx(0.09259, abs=1e-5)  # what DiffSynth's rule ends on


def test_sampling_steps_by_velocity_times_the_change_of_level():
    """DDIM's step on a straight line is Euler's: x + (s_next - s) v."""

    def velocity(x, t):
        return 0.4 * x / (1 + x**2) + t / 2000

    flow, x_T = Flow(3.0), jax.random.normal(jax.random.key(0), (3, 4))
    x, walk = np.asarray(x_T, np.float64), flow.walk(7)
    for i in range(7):
        x = x + (walk.next_noise[i] - walk.noise[i]) * velocity(x, walk.t[i])
    ours = sample(lambda x, step: velocity(x, step.t), flow, x_T, steps=7)
    np.testing.assert_allclose(ours, x, atol=1e-5)


def test_training_times_are_shifted_uniform_ones():
    t = np.asarray(Flow(5.0).draw(jax.random.key(0), 100_000))
    assert 0 <= t.min() < t.max() <= 1000
    for u in (0.1, 0.5, 0.9):
        assert np.mean(t < 1000 * 5 * u / (1 + 4 * u)) == pytest.approx(u, abs=0.01)


def test_impossible_numbers_are_refused():
    with pytest.raises(InputError, match="shift is 0"):
        Flow(0.0)
    with pytest.raises(InputError, match="steps is 0"):
        Flow().walk(0)
