"""Classifier-free guidance."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxanim.diffusion.guidance import guided
from jaxanim.errors import InputError


@pytest.mark.parametrize("in_turn", [False, True])
def test_guidance_extrapolates_from_unconditional_to_conditional(in_turn):
    uncond, cond = jax.random.normal(jax.random.key(0), (2, 2, 3, 4))

    def run(scale):
        return guided(jnp.concatenate, uncond, cond, scale, in_turn=in_turn)

    np.testing.assert_allclose(run(0.0), uncond, rtol=1e-6)
    np.testing.assert_allclose(run(1.0), cond, atol=1e-6)
    np.testing.assert_allclose(run(7.5), 7.5 * cond - 6.5 * uncond, atol=1e-5)


@pytest.mark.parametrize("in_turn", [False, True])
def test_several_conditions_each_have_their_scale(in_turn):
    plain, first, second = jax.random.normal(jax.random.key(0), (3, 2, 3, 4))
    out = guided(jnp.concatenate, plain, (first, second), (3.0, -0.5), in_turn=in_turn)
    np.testing.assert_allclose(out, plain + 3 * (first - plain) - 0.5 * (second - plain), atol=1e-5)


def test_conditions_are_given_at_once_or_in_turn():
    seen = []

    def predict(conditions):
        seen.append(conditions)
        return jnp.ones((len(conditions), 2), jnp.bfloat16)

    out = guided(predict, "plain", "text", 2.0)
    assert (out.shape, out.dtype) == ((1, 2), jnp.float32)
    assert seen == [("plain", "text")]
    guided(predict, "plain", "text", 2.0, in_turn=True)
    assert {("plain",), ("text",)} == set(seen[1:])


def test_scales_and_conditions_go_together():
    with pytest.raises(InputError, match="scale has 2 numbers"):
        guided(jnp.concatenate, jnp.ones((1, 1)), (jnp.ones((1, 1)),), (1.0, 2.0))
