"""Diffusion settings by their names in a checkpoint."""

import numpy as np

from jaxanim.diffusion import make_schedule
from jaxanim.diffusion.config import DiffusionConfig


def test_defaults_are_stable_diffusion_s_and_fields_reach_the_schedule():
    sd = DiffusionConfig().schedule()
    np.testing.assert_array_equal(
        sd.alphas_cumprod, make_schedule("scaled_linear", 0.00085, 0.012, 1000).alphas_cumprod
    )
    config = DiffusionConfig(beta_schedule="linear", beta_start=0.1, beta_end=0.3, num_train_timesteps=3)
    np.testing.assert_allclose(config.schedule().alphas_cumprod, [0.9, 0.72, 0.504], rtol=1e-12)
