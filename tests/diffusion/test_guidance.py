"""Classifier-free guidance."""

import jax
import numpy as np

from jaxanim.diffusion import classifier_free


def test_guidance_extrapolates_from_unconditional_to_conditional():
    uncond, cond = jax.random.normal(jax.random.key(0), (2, 3, 4))
    np.testing.assert_allclose(classifier_free(uncond, cond, 0.0), uncond, rtol=1e-6)
    np.testing.assert_allclose(classifier_free(uncond, cond, 1.0), cond, atol=1e-6)
    np.testing.assert_allclose(classifier_free(uncond, cond, 7.5), 7.5 * cond - 6.5 * uncond, atol=1e-5)
