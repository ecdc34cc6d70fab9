"""Which timesteps training draws, and what counts in its loss."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxanim.diffusion.betas import Betas
from jaxanim.training.losses import denoising_loss, draw_timesteps
from jaxanim.training.objective import Objective


@pytest.mark.parametrize("power", [1.0, 2.0, 4.0])
def test_timesteps_have_the_density_that_is_asked_for(power):
    drawn = np.asarray(draw_timesteps(Betas(), jax.random.key(0), 200_000, power))
    assert drawn.min() >= 0
    assert drawn.max() == 999
    for bound in (100, 500, 900):
        assert np.mean(drawn < bound) == pytest.approx((bound / 1000) ** power, abs=0.005)


def test_each_channel_counts_by_its_weight():
    config = Betas(prediction_type="epsilon")
    z0 = jax.random.normal(jax.random.key(1), (2, 3, 4, 4, 3))
    noise = jax.random.normal(jax.random.split(jax.random.key(0))[1], z0.shape)

    def nothing(x, t):
        return jnp.zeros_like(x)

    per_channel = np.mean(np.asarray(noise, np.float64) ** 2, axis=(0, 1, 2, 3))
    for weights in ((1.0, 1.0, 1.0), (2.0, 0.0, 1.0), (0.0, 3.0, 0.0)):
        loss = denoising_loss(nothing, config, z0, jax.random.key(0), Objective(channel_weights=weights))
        assert float(loss) == pytest.approx(np.mean(per_channel * weights), rel=1e-5)
    plain = denoising_loss(nothing, config, z0, jax.random.key(0))
    assert float(plain) == pytest.approx(np.mean(per_channel), rel=1e-5)
