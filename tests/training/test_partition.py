import chex
import jax.numpy as jnp
import pytest

from jaxanim.errors import InputError
from jaxanim.training.partition import check_hold, combine, fingerprint, partition, without

PARAMS = {"unet": {"conv_in": {"kernel": jnp.ones((2, 3)), "bias": jnp.zeros(3)}, "motion": {"scale": jnp.ones(4)}}}


def test_partition_and_back():
    trainable, frozen = partition(PARAMS, ("motion/", "bias$"))
    assert set(trainable) == {"unet/motion/scale", "unet/conv_in/bias"}
    assert set(frozen) == {"unet/conv_in/kernel"}
    chex.assert_trees_all_equal(combine(trainable, frozen), PARAMS)


def test_what_is_held_is_frozen():
    assert set(partition(PARAMS, without(("^unet/",), "conv_in/k|motion"))[0]) == {"unet/conv_in/bias"}
    assert set(partition(PARAMS, without(("motion/", "bias$"), "kernel"))[0]) == {
        "unet/motion/scale", "unet/conv_in/bias",
    }  # fmt: skip
    assert without(("motion/",), None) == ("motion/",)
    check_hold(PARAMS, "conv_in/bias")
    with pytest.raises(InputError, match="hold is 'conv_on', which is in no parameter path"):
        check_hold(PARAMS, "conv_on")
    with pytest.raises(InputError, match="which is no regular expression"):
        without((), "(")


@pytest.mark.parametrize(
    ("patterns", "message"), [(("motoin",), "in no parameter path"), (("(",), "not a regular"), ((), "empty")]
)
def test_bad_patterns(patterns, message):
    with pytest.raises(InputError, match=message):
        partition(PARAMS, patterns)


def test_the_fingerprint_sees_one_bit():
    flat = {"a": jnp.arange(5.0), "b": jnp.ones((2, 2))}
    same = {"b": jnp.ones((2, 2)), "a": jnp.arange(5.0)}
    assert fingerprint(flat) == fingerprint(same)
    assert fingerprint(flat) != fingerprint(flat | {"b": jnp.ones((2, 2)).at[0, 1].add(1.2e-7)})
    assert fingerprint(flat) != fingerprint({"a": flat["a"]})
