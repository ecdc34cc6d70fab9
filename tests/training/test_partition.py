import chex
import jax.numpy as jnp
import pytest

from jaxanim.errors import InputError
from jaxanim.training.partition import check_expression, checksum, combine, partition

PARAMS = {"unet": {"conv_in": {"kernel": jnp.ones((2, 3)), "bias": jnp.zeros(3)}, "motion": {"scale": jnp.ones(4)}}}


def test_partition_and_back():
    trainable, frozen = partition(PARAMS, ("motion/", "bias$"))
    assert set(trainable) == {"unet/motion/scale", "unet/conv_in/bias"}
    assert set(frozen) == {"unet/conv_in/kernel"}
    chex.assert_trees_all_equal(combine(trainable, frozen), PARAMS)


def test_what_is_held_is_frozen():
    assert set(partition(PARAMS, ("^unet/",), hold="conv_in/k|motion")[0]) == {"unet/conv_in/bias"}
    assert set(partition(PARAMS, ("motion/", "bias$"), hold="kernel")[0]) == {
        "unet/motion/scale", "unet/conv_in/bias",
    }  # fmt: skip
    assert set(partition(PARAMS, ("motion/",), hold=None)[0]) == {"unet/motion/scale"}
    assert set(partition(PARAMS, ("^unet/",), hold="conv_in/bias")[1]) == {"unet/conv_in/bias"}
    with pytest.raises(InputError, match="hold is 'conv_on', which is in no parameter path"):
        partition(PARAMS, ("motion/",), hold="conv_on")
    with pytest.raises(InputError, match="which is no regular expression"):
        check_expression("hold", "(")
    with pytest.raises(InputError, match="hold is 'scale', which leaves nothing to train"):
        partition(PARAMS, ("motion/",), hold="scale")


def test_what_is_thawed_learns_unless_it_is_held():
    assert set(partition(PARAMS, ("motion/",), thaw="conv_in")[0]) == {
        "unet/motion/scale", "unet/conv_in/bias", "unet/conv_in/kernel",
    }  # fmt: skip
    assert set(partition(PARAMS, ("motion/",), thaw="conv_in", hold="kernel")[0]) == {
        "unet/motion/scale", "unet/conv_in/bias",
    }  # fmt: skip
    with pytest.raises(InputError, match="thaw is 'conv_on', which is in no parameter path"):
        partition(PARAMS, ("motion/",), thaw="conv_on")


@pytest.mark.parametrize(
    ("patterns", "message"),
    [(("motoin",), "in no parameter path"), (("(",), "no regular expression"), ((), "empty")],
)
def test_bad_patterns(patterns, message):
    with pytest.raises(InputError, match=message):
        partition(PARAMS, patterns)


def test_the_checksum_sees_one_bit():
    flat = {"a": jnp.arange(5.0), "b": jnp.ones((2, 2))}
    same = {"b": jnp.ones((2, 2)), "a": jnp.arange(5.0)}
    assert checksum(flat) == checksum(same)
    assert checksum(flat) != checksum(flat | {"b": jnp.ones((2, 2)).at[0, 1].add(1.2e-7)})
    assert checksum(flat) != checksum({"a": flat["a"]})
