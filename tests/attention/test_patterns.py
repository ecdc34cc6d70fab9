"""Patterns against loops over entries, frames and positions, and Eq. 2 of MagicAnimate written out."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxanim.attention import attention, compiling_for, cross, hybrid, merge, patterns, spatial, temporal
from jaxanim.errors import InputError
from tests.attention import literal

BATCH, FRAMES, TOKENS, HEADS, HEAD_DIM = 2, 3, 10, 2, 8
VIDEO = (BATCH, FRAMES, TOKENS, HEADS, HEAD_DIM)


def normal(seed, *shape):
    return jax.random.normal(jax.random.key(seed), shape)


def video(seed):
    return normal(seed, *VIDEO)


def equation_2(q, k, v, k_ref, v_ref):
    """Softmax(Q [K, K_ref]^T / sqrt(d)) [V, V_ref], frame by frame, the reference copied to each frame."""
    out = np.zeros(q.shape)
    plain = q.shape[0] - k_ref.shape[0]
    for b, f in np.ndindex(q.shape[:2]):
        keys, values = np.asarray(k[b, f]), np.asarray(v[b, f])
        if b >= plain:
            keys = np.concatenate([keys, k_ref[b - plain]])
            values = np.concatenate([values, v_ref[b - plain]])
        out[b, f] = literal.attention(q[b, f][None], keys[None], values[None])[0][0]
    return out


FORMS = {
    "hybrid": hybrid,
    "merged": patterns.hybrid_merged,
    "concatenated": patterns.hybrid_concatenated,
}


@pytest.mark.parametrize("kernel", ["auto", "xla", "blocked"])
@pytest.mark.parametrize("form", FORMS)
def test_hybrid_is_equation_2(form, kernel):
    q, k, v = map(video, range(3))
    k_ref, v_ref = normal(3, BATCH, 7, HEADS, HEAD_DIM), normal(4, BATCH, 7, HEADS, HEAD_DIM)
    out = FORMS[form](q, k, v, k_ref, v_ref, kernel=kernel)
    chex.assert_shape(out, VIDEO)
    np.testing.assert_allclose(out, equation_2(q, k, v, k_ref, v_ref), atol=2e-6)


def test_the_first_entries_of_a_guided_batch_see_no_reference():
    q, k, v = map(video, range(3))
    k_ref, v_ref = normal(3, 1, 7, HEADS, HEAD_DIM), normal(4, 1, 7, HEADS, HEAD_DIM)
    out = hybrid(q, k, v, k_ref, v_ref, reads=(False, True))
    np.testing.assert_allclose(out, equation_2(q, k, v, k_ref, v_ref), atol=2e-6)
    chex.assert_trees_all_close(out[:1], spatial(q[:1], k[:1], v[:1]), atol=1e-6)
    assert float(jnp.abs(out[1:] - spatial(q[1:], k[1:], v[1:])).max()) > 0.1


@pytest.mark.parametrize("kernel", ["xla", "blocked"])
def test_both_forms_of_hybrid_have_the_same_gradients(kernel):
    arrays = [
        *map(video, range(3)),
        normal(3, BATCH, 7, HEADS, HEAD_DIM),
        normal(4, BATCH, 7, HEADS, HEAD_DIM),
    ]

    def grads(form):
        def loss(*args):
            return jnp.sum(jnp.sin(form(*args, kernel=kernel)))

        return jax.grad(loss, argnums=(0, 1, 2, 3, 4))(*arrays)

    chex.assert_trees_all_close(grads(patterns.hybrid_merged), grads(patterns.hybrid_concatenated), atol=2e-6)


def test_one_projection_of_the_reference_equals_one_for_each_frame():
    """K and V of the reference from its features once, and from the features copied to every frame."""
    q, k, v = map(video, range(3))
    features, to_k, to_v = (
        normal(5, BATCH, 7, 12),
        normal(6, 12, HEADS, HEAD_DIM),
        normal(7, 12, HEADS, HEAD_DIM),
    )

    def project(x, weight):
        return jnp.einsum("...tc,chd->...thd", x, weight)

    out = hybrid(q, k, v, project(features, to_k), project(features, to_v))
    copied = jnp.repeat(features[:, None], FRAMES, axis=1)
    keys = jnp.concatenate([k, project(copied, to_k)], axis=2)
    values = jnp.concatenate([v, project(copied, to_v)], axis=2)
    chex.assert_trees_all_close(out, spatial(q, keys, values), atol=4e-6)


def test_hybrid_takes_the_form_that_the_kernel_and_length_call_for(monkeypatch):
    used = []
    for name in ("hybrid_merged", "hybrid_concatenated"):
        whole = getattr(patterns, name)
        monkeypatch.setattr(
            patterns, name, lambda *a, name=name, whole=whole, **b: used.append(name) or whole(*a, **b)
        )
    for tokens, kernel in ((256, "auto"), (1024, "auto"), (256, "blocked")):
        x = jax.ShapeDtypeStruct((1, 2, tokens, 2, 64), jnp.bfloat16)
        ref = jax.ShapeDtypeStruct((1, tokens, 2, 64), jnp.bfloat16)
        jax.eval_shape(lambda *args, kernel=kernel: hybrid(*args, kernel=kernel), x, x, x, ref, ref)
    assert used == ["hybrid_merged", "hybrid_concatenated", "hybrid_merged"]


@pytest.mark.parametrize(("backend", "kernel"), [("gpu", "cudnn"), ("gpu", "auto"), ("tpu", "splash")])
def test_hybrid_needs_no_logsumexp_from_a_kernel_that_has_none(backend, kernel):
    x = jax.ShapeDtypeStruct((1, 2, 256, 2, 64), jnp.bfloat16)
    ref = jax.ShapeDtypeStruct((1, 256, 2, 64), jnp.bfloat16)
    with compiling_for(backend):
        assert patterns.hybrid_form(x, ref, kernel) is patterns.hybrid_concatenated


def test_too_many_references_are_refused():
    q, k, v = map(video, range(3))
    ref = normal(3, BATCH + 1, 7, HEADS, HEAD_DIM)
    with pytest.raises(InputError, match=r"k_ref has 3 entries.*q has 2 entries"):
        hybrid(q, k, v, ref, ref)


@pytest.mark.parametrize("kernel", ["xla", "blocked"])
def test_spatial_attends_within_frames(kernel):
    q, k, v = map(video, range(3))
    out = spatial(q, k, v, kernel=kernel)
    for f in range(FRAMES):
        np.testing.assert_allclose(out[:, f], literal.attention(q[:, f], k[:, f], v[:, f])[0], atol=2e-6)


@pytest.mark.parametrize("kernel", ["xla", "blocked"])
def test_temporal_attends_along_frames(kernel):
    q, k, v = map(video, range(3))
    out = temporal(q, k, v, kernel=kernel)
    for t in range(TOKENS):
        expected, _ = literal.attention(q[:, :, t], k[:, :, t], v[:, :, t])
        np.testing.assert_allclose(out[:, :, t], expected, atol=2e-6)


@pytest.mark.parametrize("kernel", ["xla", "blocked"])
def test_cross_attends_from_each_frame_to_the_text(kernel):
    q = video(0)
    k, v = normal(1, BATCH, 5, HEADS, HEAD_DIM), normal(2, BATCH, 5, HEADS, HEAD_DIM)
    out = cross(q, k, v, kernel=kernel)
    for f in range(FRAMES):
        np.testing.assert_allclose(out[:, f], literal.attention(q[:, f], k, v)[0], atol=2e-6)


@pytest.mark.parametrize("kernel", ["xla", "blocked"])
def test_merge_is_attention_to_both_sets_of_keys(kernel):
    q, k, v = (normal(seed, 2, number, HEADS, HEAD_DIM) for seed, number in ((0, 6), (1, 9), (2, 9)))
    # Entry 0 sees keys of both sets; entry 1 sees none of the second set, and query 3 of it none at all.
    q_ids = jnp.zeros((2, 6), jnp.int32).at[1, 3].set(5)
    kv_ids = jnp.zeros((2, 9), jnp.int32).at[1, 4:].set(7)
    parts = [
        attention(
            q,
            k[:, part],
            v[:, part],
            kernel=kernel,
            q_segment_ids=q_ids,
            kv_segment_ids=kv_ids[:, part],
            return_lse=True,
        )
        for part in (slice(0, 4), slice(4, 9))
    ]
    expected, _ = literal.attention(q, k, v, q_ids=q_ids, kv_ids=kv_ids)
    np.testing.assert_allclose(merge(*parts[0], *parts[1]), expected, atol=2e-6)
    np.testing.assert_allclose(merge(*parts[1], *parts[0]), expected, atol=2e-6)
    gradients = jax.grad(lambda *args: jnp.sum(merge(*args)), argnums=(0, 1, 2, 3))(*parts[0], *parts[1])
    chex.assert_tree_all_finite(gradients)
