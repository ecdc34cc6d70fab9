"""Counted operations against counts by hand."""

import chex
import jax
import jax.numpy as jnp
import pytest

from jaxanim.attention import attention
from jaxanim.flops import model_flops
from jaxanim.models.wan.config import WanConfig
from jaxanim.models.wan.transformer import WanTransformer


def shape(*sizes):
    return jax.ShapeDtypeStruct(sizes, jnp.float32)


@pytest.mark.parametrize("kernel", ["auto", "xla", "blocked"])
def test_attention_counts_as_its_two_products(kernel):
    chex.assert_equal(
        model_flops(lambda q, k: attention(q, k, k, kernel=kernel), shape(2, 300, 3, 8), shape(2, 500, 3, 8)),
        2 * (2 * 2 * 300 * 500 * 3 * 8),
    )


def test_convolution_loop_and_choice():
    def fn(x, kernel, choice):
        x = jax.lax.scan(lambda x, _: (jnp.sin(x), kernel[0, 0] @ kernel[0, 0].T), x, length=5)[0]
        y = jax.lax.conv_general_dilated(x, kernel, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        return jax.lax.cond(choice, lambda y: y, lambda y: y @ jnp.ones((7, 7)), y)

    convolution = 2 * (2 * 4 * 4 * 7) * (3 * 3 * 6)
    counted = model_flops(fn, shape(2, 8, 8, 6), shape(3, 3, 6, 7), jax.ShapeDtypeStruct((), bool))
    assert counted == 5 * 2 * 6 * 7 * 6 + convolution + 2 * (2 * 4 * 4 * 7) * 7


def test_gradients_count_three_times_the_forward_pass_whatever_is_computed_again():
    """Each linear map has one product forward and two backward, but those on the inputs, which are not learnt."""

    def counts(remat):
        c = WanConfig(
            num_layers=4, num_attention_heads=2, attention_head_dim=16, ffn_dim=48, in_channels=6, out_channels=6,
            text_dim=20, freq_dim=32, remat=remat,
        )  # fmt: skip
        inputs = shape(1, 2, 8, 8, 6), shape(1), shape(1, 7, 20)
        params = jax.eval_shape(WanTransformer(c).init, jax.random.key(0), *inputs)["params"]

        def loss(params, *inputs):
            return WanTransformer(c).apply({"params": params}, *inputs).sum()

        return model_flops(loss, params, *inputs), model_flops(jax.value_and_grad(loss), params, *inputs)

    (forward, both), again = counts("none"), counts("full")
    assert again == (forward, both)
    assert 2.9 * forward < both < 3 * forward
