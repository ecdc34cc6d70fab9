"""Every kernel against PyTorch's attention and a literal transcription, forward and backward."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxanim.attention import attention
from jaxanim.attention.contract import make_request
from jaxanim.attention.kernels import KERNELS, blocked, splash
from tests.attention import literal

BATCH, Q_TOKENS, KV_TOKENS, HEADS, HEAD_DIM = 2, 150, 170, 2, 40


def run(kernel, q, k, v, **options):
    """Splash off TPU, in interpret mode, without the contract's check of the backend."""
    if kernel != "splash":
        return attention(q, k, v, kernel=kernel, **options)
    return splash.run(make_request(q, k, v, backend="tpu", **options), interpret=True)[0]


def inputs(q_tokens=Q_TOKENS, kv_tokens=KV_TOKENS, head_dim=HEAD_DIM, seed=0):
    rng = np.random.default_rng(seed)
    shapes = [(BATCH, tokens, HEADS, head_dim) for tokens in (q_tokens, kv_tokens, kv_tokens)]
    return [jnp.asarray(rng.standard_normal(shape), jnp.float32) for shape in shapes]


def restrictions(names, q_tokens=Q_TOKENS, kv_tokens=KV_TOKENS):
    """Segments where some query sees nothing (id 3), and an entry whose length hides most keys."""
    rng = np.random.default_rng(7)
    options = {}
    if "segments" in names:
        options["q_segment_ids"] = jnp.asarray(rng.integers(0, 4, (BATCH, q_tokens)), jnp.int32)
        options["kv_segment_ids"] = jnp.asarray(rng.integers(0, 3, (BATCH, kv_tokens)), jnp.int32)
    if "lengths" in names:
        options["kv_lengths"] = jnp.asarray([kv_tokens - 3, 5], jnp.int32)
    return options


def torch_attention_and_grads(q, k, v, cotangent, options):
    torch = pytest.importorskip("torch")
    leaves = [torch.tensor(np.asarray(x), dtype=torch.float64).transpose(1, 2).requires_grad_() for x in (q, k, v)]
    mask = np.ones((BATCH, 1, q.shape[1], k.shape[1]), bool)
    if "q_segment_ids" in options:
        mask &= (
            np.asarray(options["q_segment_ids"])[:, :, None] == np.asarray(options["kv_segment_ids"])[:, None]
        )[:, None]
    if "kv_lengths" in options:
        mask &= (np.arange(k.shape[1]) < np.asarray(options["kv_lengths"])[:, None])[:, None, None]
    # PyTorch's convention for a query that sees nothing has changed between versions: leave such queries out of its sight.
    seen = mask.any(-1, keepdims=True)
    out = torch.nn.functional.scaled_dot_product_attention(*leaves, attn_mask=torch.tensor(mask | ~seen))
    out = out * torch.tensor(seen)
    grads = torch.autograd.grad(out, leaves, torch.tensor(np.asarray(cotangent, np.float64)).transpose(1, 2))
    return [x.detach().transpose(1, 2).numpy() for x in (out, *grads)]


@pytest.mark.parametrize("kernel", ["xla", "blocked", "splash"])
@pytest.mark.parametrize("restricted", [(), ("segments",), ("lengths",), ("segments", "lengths")], ids="+".join)
def test_output_and_gradients_are_pytorchs(kernel, restricted):
    q, k, v = inputs()
    options = restrictions(restricted)
    cotangent = jnp.cos(q)
    expected = torch_attention_and_grads(q, k, v, cotangent, options)

    @jax.jit
    def ours(q, k, v):
        out, pull = jax.vjp(functools.partial(run, kernel, **options), q, k, v)
        return out, *pull(cotangent)

    found = ours(q, k, v)
    chex.assert_trees_all_equal_shapes_and_dtypes(found[0], q)
    chex.assert_trees_all_equal_shapes_and_dtypes(found[1:], (q, k, v))
    for ours_, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours_, theirs, rtol=0, atol=2e-6 * max(1, np.abs(theirs).max()))


@pytest.mark.parametrize("kernel", ["xla", "blocked"])
@pytest.mark.parametrize("restricted", [(), ("segments", "lengths")], ids="+".join)
def test_logsumexp_is_the_literal_one(kernel, restricted):
    q, k, v = inputs(33, 40, 16)
    options = restrictions(restricted, 33, 40)
    out, lse = attention(q, k, v, kernel=kernel, scale=0.4, return_lse=True, **options)
    names = {"q_ids": "q_segment_ids", "kv_ids": "kv_segment_ids", "lengths": "kv_lengths"}
    slow = {short: options[name] for short, name in names.items() if name in options}
    expected_out, expected_lse = literal.attention(q, k, v, scale=0.4, **slow)
    chex.assert_shape(lse, q.shape[:3])
    chex.assert_type(lse, jnp.float32)
    np.testing.assert_allclose(out, expected_out, atol=2e-6)
    np.testing.assert_allclose(lse, expected_lse, atol=2e-6)


def test_bias_is_added_to_the_scores():
    q, k, v = inputs(12, 20, 8)
    full = jax.random.normal(jax.random.key(3), (BATCH, HEADS, 12, 20))
    for bias in (full, full[:1], full[:, :1], full[:, :, :1], full[:1, :1]):
        expected, _ = literal.attention(q, k, v, bias=bias)
        np.testing.assert_allclose(attention(q, k, v, kernel="xla", bias=bias), expected, atol=2e-6)


def test_the_gradient_of_the_bias_is_pytorchs():
    torch = pytest.importorskip("torch")
    q, k, v = inputs(5, 6, 8)
    bias = jax.random.normal(jax.random.key(4), (1, HEADS, 1, 6))
    found = jax.grad(lambda bias: jnp.sum(attention(q, k, v, kernel="xla", bias=bias) * q))(bias)
    theirs = [torch.tensor(np.asarray(x), dtype=torch.float64).transpose(1, 2) for x in (q, k, v)]
    mask = torch.tensor(np.asarray(bias), dtype=torch.float64).requires_grad_()
    out = torch.nn.functional.scaled_dot_product_attention(*theirs, attn_mask=mask.expand(BATCH, HEADS, 5, 6))
    (expected,) = torch.autograd.grad((out * theirs[0]).sum(), mask)
    np.testing.assert_allclose(found, expected, atol=4e-6)


@pytest.mark.parametrize("restricted", [(), ("segments", "lengths")], ids="+".join)
def test_blocked_gives_the_gradients_of_the_logsumexp(restricted):
    q, k, v = inputs(33, 40, 16)
    options = restrictions(restricted, 33, 40)

    def loss(q, k, v, kernel):
        out, lse = attention(q, k, v, kernel=kernel, return_lse=True, **options)
        return jnp.sum(jnp.sin(out)) + jnp.sum(jnp.where(jnp.isneginf(lse), 0, jnp.cos(lse)))

    grads = jax.jit(jax.grad(loss, argnums=(0, 1, 2)), static_argnums=3)
    for found, expected in zip(grads(q, k, v, "blocked"), grads(q, k, v, "xla"), strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
@pytest.mark.parametrize(
    ("blocks", "scores"), [((16, 32), 2**20), ((64, 13), 2000), ((7, 100), 1), ((64, 100), 600)]
)
def test_blocked_does_not_depend_on_its_blocks(monkeypatch, blocks, scores, backend):
    monkeypatch.setattr(blocked, "CPU_SCORES", scores)
    for name in ("FORWARD_BLOCK", "CPU_FORWARD_BLOCK", "BACKWARD_BLOCK"):
        monkeypatch.setattr(blocked, name, blocks)
    q, k, v = inputs(61, 100, 16)
    options = restrictions(("segments", "lengths"), 61, 100)

    def ours(q, k, v):
        return blocked.run(make_request(q, k, v, backend=backend, return_lse=True, **options))

    expected, pull = jax.vjp(functools.partial(attention, kernel="xla", return_lse=True, **options), q, k, v)
    found, our_pull = jax.vjp(ours, q, k, v)
    chex.assert_trees_all_close(found, expected, atol=2e-6)
    cotangents = (jnp.cos(q), jnp.ones(q.shape[:3]))
    chex.assert_trees_all_close(our_pull(cotangents), pull(cotangents), atol=4e-6)


def test_blocked_holds_less_than_the_scores():
    shape = jax.ShapeDtypeStruct((1, 4096, 2, 16), jnp.float32)

    def step(kernel, q, k, v):
        out, pull = jax.vjp(functools.partial(attention, kernel=kernel), q, k, v)
        return pull(out)

    held = {}
    for kernel in ("xla", "blocked"):
        compiled = jax.jit(functools.partial(step, kernel)).lower(shape, shape, shape).compile()
        held[kernel] = compiled.memory_analysis().temp_size_in_bytes
    scores = 2 * 4096 * 4096 * 4
    assert held["blocked"] < scores / 4 < scores < held["xla"]


@pytest.mark.parametrize("kernel", ["xla", "blocked", "splash"])
def test_a_query_that_sees_nothing_gets_zeros_and_no_gradient(kernel):
    q, k, v = inputs(10, 12, 8)
    lengths = jnp.asarray([12, 0], jnp.int32)
    fn = functools.partial(run, kernel, kv_lengths=lengths)
    out, pull = jax.vjp(fn, q, k, v)
    grads = pull(jnp.ones_like(q))
    chex.assert_tree_all_finite((out, grads))
    chex.assert_trees_all_equal(out[1], jnp.zeros_like(out[1]))
    for grad in grads:
        chex.assert_trees_all_equal(grad[1], jnp.zeros_like(grad[1]))
    assert float(jnp.abs(out[0]).max()) > 0.1


@pytest.mark.parametrize("kernel", ["xla", "blocked", "splash"])
def test_half_precision_in_and_out_with_float32_sums(kernel):
    q, k, v = (x.astype(jnp.bfloat16) for x in inputs(40, 300, 16))
    out = run(kernel, q, k, v)
    chex.assert_type(out, jnp.bfloat16)
    expected, _ = literal.attention(*(np.asarray(x, np.float32) for x in (q, k, v)))
    np.testing.assert_allclose(np.asarray(out, np.float32), expected, atol=4e-3)


@pytest.mark.parametrize("kernel", ["xla", "blocked"])
def test_large_scores_do_not_overflow(kernel):
    q, k, v = inputs(9, 11, 8)
    out = attention(100 * q, 100 * k, v, kernel=kernel)
    expected, _ = literal.attention(100 * q, 100 * k, v)
    np.testing.assert_allclose(out, expected, atol=2e-4)


@pytest.mark.parametrize("head_dim", [64, 80, 128, 160])
def test_splash_takes_the_head_sizes_of_the_backbones(head_dim):
    q, k, v = inputs(130, 77, head_dim)
    np.testing.assert_allclose(run("splash", q, k, v), literal.attention(q, k, v)[0], atol=4e-6)


@pytest.mark.parametrize("kernel", ["xla", "blocked"])
def test_a_kernel_is_traced_once_for_a_shape(kernel):
    chex.clear_trace_counter()

    def attend(q, k, v):
        return attention(q, k, v, kernel=kernel)

    step = jax.jit(chex.assert_max_traces(attend, n=1))
    q, k, v = inputs(16, 16, 8)
    chex.assert_trees_all_close(step(q + 1, k, v), attention(q + 1, k, v, kernel=kernel), atol=1e-6)
    step(q, k, v)


def test_kernels_are_known_by_their_own_names():
    assert {name: kernel.name for name, kernel in KERNELS.items()} == {
        name: name for name in ("xla", "blocked", "splash", "cudnn")
    }
