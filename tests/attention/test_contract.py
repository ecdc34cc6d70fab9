"""Arguments are checked, kernels refuse what they cannot do, and "auto" chooses one that can."""

import logging

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxanim.attention import attention, choose_kernel, compiling_for
from jaxanim.attention import auto as auto_module
from jaxanim.attention.kernels import KERNELS, cudnn
from jaxanim.errors import InputError


def tokens(number, *, batch=2, heads=2, head_dim=64, dtype=jnp.float32):
    return jax.ShapeDtypeStruct((batch, number, heads, head_dim), dtype)


def ids(number, batch=2):
    return jax.ShapeDtypeStruct((batch, number), jnp.int32)


LENGTHS = jax.ShapeDtypeStruct((2,), jnp.int32)
BIAS = jax.ShapeDtypeStruct((1, 1, 8, 8), jnp.float32)


@pytest.mark.parametrize(
    ("kernel", "options", "words"),
    [
        ("flash", {}, ["'flash'", "'blocked'", "'auto'"]),
        ("blocked", {"bias": BIAS}, ["'blocked'", "bias", "'xla'"]),
        ("splash", {}, ["'splash'", "'tpu'", "'cpu'"]),
        ("splash", {"backend": "tpu", "return_lse": True}, ["return_lse"]),
        ("splash", {"backend": "tpu", "bias": BIAS, "return_lse": True}, ["bias and no return_lse"]),
        ("cudnn", {}, ["'gpu'", "'cpu'"]),
        ("cudnn", {"backend": "gpu"}, ["float32", "bfloat16"]),
        ("cudnn", {"backend": "gpu", "q_segment_ids": ids(8), "kv_segment_ids": ids(8)}, ["segment_ids"]),
        ("cudnn", {"backend": "gpu", "return_lse": True}, ["return_lse"]),
    ],
)
def test_a_kernel_that_cannot_do_the_call_says_so(kernel, options, words):
    with pytest.raises(InputError) as error:
        choose_kernel(tokens(8), tokens(8), kernel=kernel, **options)
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("head_dim", "backend", "kernel", "dtype"),
    [
        (60, "tpu", "splash", jnp.float32),
        (512, "tpu", "splash", jnp.float32),
        (60, "gpu", "cudnn", jnp.bfloat16),
    ],
)
def test_head_sizes_out_of_reach_are_named(head_dim, backend, kernel, dtype):
    x = tokens(8, head_dim=head_dim, dtype=dtype)
    with pytest.raises(InputError, match=f"head_dim is {head_dim}"):
        choose_kernel(x, x, kernel=kernel, backend=backend)


@pytest.mark.parametrize(("capability", "words"), [((7, 5), "compute capability 7.5"), ((8, 0), "at most 128")])
def test_cudnn_asks_the_gpu(monkeypatch, capability, words):
    monkeypatch.setattr(cudnn, "_compute_capability", lambda: capability)
    x = tokens(8, head_dim=160, dtype=jnp.bfloat16)
    with pytest.raises(InputError, match=words):
        choose_kernel(x, x, kernel="cudnn", backend="gpu")


def test_cudnn_with_a_bias_wants_even_lengths():
    q, k = tokens(8, dtype=jnp.float16), tokens(7, dtype=jnp.float16)
    bias = jax.ShapeDtypeStruct((1, 1, 1, 7), jnp.float16)
    with pytest.raises(InputError, match="8 and 7 tokens"):
        choose_kernel(q, k, kernel="cudnn", backend="gpu", bias=bias)


@pytest.mark.parametrize(
    ("q", "k", "options", "words"),
    [
        (tokens(8), tokens(8, heads=4), {}, r"^k has shape \(2, 8, 4, 64\).*\(2, 8, 2, 64\)"),
        (tokens(8), tokens(8, batch=1), {}, "^k has shape"),
        (ids(8), tokens(8), {}, r"^q has shape \(2, 8\).*head_dim"),
        (tokens(8), tokens(9), {"q_segment_ids": ids(8)}, "kv_segment_ids is None"),
        (
            tokens(8),
            tokens(9),
            {"q_segment_ids": ids(8), "kv_segment_ids": ids(8)},
            "^kv_segment_ids has shape",
        ),
        (tokens(8), tokens(9), {"kv_lengths": ids(8)}, r"^kv_lengths has shape \(2, 8\).*\(2,\)"),
        (tokens(8), tokens(9), {"bias": BIAS}, r"^bias has shape \(1, 1, 8, 8\).*\(2, 2, 8, 9\)"),
    ],
)
def test_shapes_that_do_not_fit_are_named(q, k, options, words):
    with pytest.raises(InputError, match=words):
        choose_kernel(q, k, **options)


@pytest.mark.parametrize(
    ("backend", "number", "dtype", "options", "expected"),
    [
        ("cpu", 64, jnp.float32, {}, "xla"),
        ("cpu", 256, jnp.float32, {}, "blocked"),
        ("cpu", 256, jnp.float32, {"return_lse": True, "kv_lengths": LENGTHS}, "blocked"),
        ("gpu", 256, jnp.bfloat16, {}, "cudnn"),
        ("gpu", 256, jnp.bfloat16, {"kv_lengths": LENGTHS}, "cudnn"),
        ("gpu", 256, jnp.bfloat16, {"return_lse": True}, "xla"),
        ("gpu", 256, jnp.float32, {}, "xla"),
        ("gpu", 2**14, jnp.float32, {}, "blocked"),
        ("tpu", 256, jnp.bfloat16, {}, "xla"),
        ("tpu", 4096, jnp.bfloat16, {}, "splash"),
        ("tpu", 4096, jnp.bfloat16, {"q_segment_ids": ids(4096), "kv_segment_ids": ids(4096)}, "splash"),
        ("tpu", 2**14, jnp.bfloat16, {"return_lse": True}, "blocked"),
        ("tpu", 2**14, jnp.bfloat16, {"bias": jax.ShapeDtypeStruct((1, 1, 1, 2**14), jnp.float32)}, "xla"),
    ],
)
def test_auto_chooses_by_backend_and_shape(backend, number, dtype, options, expected):
    x = tokens(number, dtype=dtype)
    chosen = choose_kernel(x, x, backend=backend, **options)
    assert chosen == expected
    assert choose_kernel(x, x, backend=backend, kernel=chosen, **options) == chosen  # it may be asked for by name


def test_blocked_on_a_gpu_is_told_with_the_reason(capsys):
    x = tokens(2**14)
    for _ in range(2):
        choose_kernel(x, x, backend="gpu")
    (line,) = capsys.readouterr().err.splitlines()
    assert "'blocked'" in line
    assert "float32; it should be bfloat16 or float16" in line
    choose_kernel(tokens(2**14, dtype=jnp.bfloat16), tokens(2**14, dtype=jnp.bfloat16), backend="gpu")
    assert capsys.readouterr().err == ""


def test_auto_computes_with_what_it_chose():
    q, k, v = jax.random.normal(jax.random.key(0), (3, 1, 130, 2, 8))
    chosen = choose_kernel(q, k)
    np.testing.assert_array_equal(attention(q, k, v), attention(q, k, v, kernel=chosen))


def test_the_choice_is_logged_once(caplog):
    auto_module._log_choice.cache_clear()
    with caplog.at_level(logging.INFO, logger="jaxanim"):
        for number in (300, 300, 301):
            choose_kernel(tokens(number), tokens(number))
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 2
    assert "'blocked'" in lines[0]
    assert "cpu" in lines[0]
    assert "(2, 300, 2, 64)" in lines[0]


def test_compiling_for_another_backend_holds_inside_its_context_only():
    x = tokens(4096, dtype=jnp.bfloat16)
    with compiling_for("tpu"):
        assert choose_kernel(x, x) == "splash"
        assert choose_kernel(x, x, backend="gpu") == "cudnn"
    assert choose_kernel(x, x) == "blocked"


@pytest.mark.parametrize("name", ["blocked", "splash", "cudnn"])
def test_an_asked_for_kernel_is_never_replaced(name):
    """What a kernel says that it lacks raises by name, on every backend."""
    x = tokens(8, dtype=jnp.bfloat16)
    lacking = {"bias": {"bias": BIAS}, "return_lse": {"return_lse": True}}
    for feature, options in lacking.items():
        if feature not in KERNELS[name].supports:
            for backend in ("cpu", "gpu", "tpu"):
                with pytest.raises(InputError, match=feature):
                    choose_kernel(x, x, kernel=name, backend=backend, **options)
