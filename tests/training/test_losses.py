"""Which timesteps training draws."""

import jax
import numpy as np
import pytest

from jaxanim.training.losses import draw_timesteps


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_timesteps_have_the_density_that_is_asked_for(power):
    drawn = np.asarray(draw_timesteps(jax.random.key(0), 200_000, 1000, power))
    assert drawn.min() >= 0
    assert drawn.max() == 999
    for bound in (100, 500, 900):
        assert np.mean(drawn < bound) == pytest.approx((bound / 1000) ** power, abs=0.005)
