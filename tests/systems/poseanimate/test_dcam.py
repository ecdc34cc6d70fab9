"""Eqs. 7 to 10 of PoseAnimate against the equations written out frame by frame."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxanim.attention.patterns import Site
from jaxanim.systems.poseanimate.dcam import at_size, dual_consistency, dual_consistency_pattern, word_map

LAMBDAS = (0.7, 0.15, 0.15)
SHAPE = (2, 4, 12, 2, 8)


@pytest.fixture(scope="module")
def qkv():
    return tuple(jax.random.normal(key, SHAPE) for key in jax.random.split(jax.random.key(0), 3))


@pytest.fixture(scope="module")
def masks():
    masks = np.random.default_rng(1).random(SHAPE[:3]) > 0.4
    masks[0, 2] = True  # a frame with no background
    masks[1, 1] = False  # and one with no character
    return masks


def attend(q, k, v, allowed=None):
    """Eq. 7 for one frame and head: q [t, d], k and v [s, d]."""
    scores = q @ k.T / np.sqrt(q.shape[-1])
    if allowed is not None:
        scores = np.where(allowed, scores, -np.inf)
    weights = np.exp(scores - np.maximum(scores.max(-1, keepdims=True), -1e9))
    total = weights.sum(-1, keepdims=True)
    return np.divide(weights, total, out=np.zeros_like(weights), where=total > 0) @ v


def literal(q, k, v, masks=None, outside="zeroed"):
    """Eqs. 8, 9 and 10 as they stand, each frame, head and part by itself."""
    q, k, v = (np.asarray(x) for x in (q, k, v))
    out = np.zeros_like(q)
    for b, h in np.ndindex(q.shape[0], q.shape[3]):
        Q, K, V = (x[b, :, :, h].astype(np.float64) for x in (q, k, v))
        out[b, 0, :, h] = attend(Q[0], K[0], V[0])
        for i in range(1, q.shape[1]):
            if masks is None:
                parts = [attend(Q[i], K[j], V[j]) for j in (0, i - 1, i)]
                out[b, i, :, h] = sum(share * part for share, part in zip(LAMBDAS, parts, strict=True))
                continue
            M = masks[b].astype(np.float64)
            character, background = 0, 0
            for share, j in zip(LAMBDAS, (0, i - 1, i), strict=True):
                if outside == "zeroed":
                    inside = attend(Q[i], M[j][:, None] * K[j], M[j][:, None] * V[j])
                    rest = attend(Q[i], (1 - M[j])[:, None] * K[j], (1 - M[j])[:, None] * V[j])
                else:
                    inside = attend(Q[i], K[j], V[j], masks[b, j][None])
                    rest = attend(Q[i], K[j], V[j], ~masks[b, j][None])
                character, background = character + share * inside, background + share * rest
            out[b, i, :, h] = M[i][:, None] * character + (1 - M[i])[:, None] * background
    return out


def test_dual_consistency_is_equation_8(qkv):
    chex.assert_trees_all_close(jax.jit(dual_consistency)(*qkv), literal(*qkv), atol=2e-6)


@pytest.mark.parametrize("outside", ["zeroed", "left_out"])
def test_masks_decouple_as_equations_9_and_10(qkv, masks, outside):
    ours = jax.jit(dual_consistency, static_argnames="outside")(*qkv, jnp.asarray(masks), outside=outside)
    chex.assert_trees_all_close(ours, literal(*qkv, masks, outside), atol=2e-6)


@pytest.mark.parametrize("kernel", ["xla", "blocked"])
def test_any_kernel_does(qkv, masks, kernel):
    ours = dual_consistency(*qkv, jnp.asarray(masks), kernel=kernel)
    chex.assert_trees_all_close(ours, literal(*qkv, masks), atol=2e-6)


def test_frame_0_is_undisturbed_and_one_frame_is_plain_attention(qkv, masks):
    q, k, v = qkv
    alone = dual_consistency(q[:, :1], k[:, :1], v[:, :1])
    chex.assert_trees_all_equal(dual_consistency(q, k, v, jnp.asarray(masks))[:, :1], alone)


def test_only_up_blocks_are_replaced(qkv, masks):
    grid = jnp.asarray(masks.reshape(2, 4, 3, 4), jnp.float32)
    pattern = dual_consistency_pattern(grid)
    out, extra = pattern(Site("up", 1, 0, (3, 4)), *qkv, None)
    assert extra is None
    chex.assert_trees_all_close(out, literal(*qkv, masks), atol=2e-6)
    for part in ("down", "mid"):
        out, _ = pattern(Site(part, 0, 0, (3, 4)), *qkv, None)
        each = [literal(*(x[:, i : i + 1] for x in qkv)) for i in range(SHAPE[1])]
        chex.assert_trees_all_close(out, np.concatenate(each, 1), atol=2e-6)


def test_one_video_s_masks_hold_for_every_guidance_branch(qkv, masks):
    grid = jnp.asarray(masks.reshape(2, 4, 3, 4), jnp.float32)[:1]
    out, _ = dual_consistency_pattern(grid)(Site("up", 1, 0, (3, 4)), *qkv, None)
    chex.assert_trees_all_close(out, literal(*qkv, np.repeat(masks[:1], 2, 0)), atol=2e-6)


def test_masks_at_a_feature_map_s_size_are_true_where_most_is_covered():
    masks = np.zeros((1, 1, 4, 4), np.float32)
    masks[0, 0, :2, :3] = 1
    assert at_size(jnp.asarray(masks), (2, 2)).tolist() == [[[[True, False], [False, False]]]]


def test_word_maps_are_the_share_of_attention_that_goes_to_the_words(qkv):
    q, k, v = qkv
    text_k, text_v = k[:, 0], v[:, 0]
    words = np.zeros(12, np.float32)
    words[[2, 5]] = 1
    out, told = word_map(jnp.asarray(words), Site("down", 0, 0, (3, 4)), q, text_k, text_v)
    expected, shown = np.zeros((2, 4, 12)), np.zeros(q.shape)
    for b, i, h in np.ndindex(2, 4, 2):
        scores = q[b, i, :, h] @ text_k[b, :, h].T / np.sqrt(8)
        weights = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
        expected[b, i] += weights[:, [2, 5]].sum(-1) / 2
        shown[b, i, :, h] = weights @ text_v[b, :, h]
    chex.assert_trees_all_close(told, expected.reshape(2, 4, 3, 4), atol=1e-6)
    chex.assert_trees_all_close(out, shown, atol=2e-6)
    own = [jnp.repeat(x[:, None], 4, 1) for x in (text_k, text_v)]
    chex.assert_trees_all_close(
        word_map(jnp.asarray(words), Site("down", 0, 0, (3, 4)), q, *own)[1], told, atol=1e-6
    )
