"""Part matching by attention (PoseAnything, Eqs. 8 and 11): which segment of a later frame is the same part as one
of the first frame's."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxanim.systems.poseanything.parts import NO_PART

BLOCK = 27
"""Whose self-attention the parts are matched by (App. C)."""
LEAST_T = 975.0
"""It is looked at while t is greater (App. C)."""


def attention_weight(
    q: Float[Array, "rows heads head_dim"],
    k: Float[Array, "tokens heads head_dim"],
    first: Bool[Array, "parts rows"],
    later: Bool[Array, "frames segments rows"],
) -> Float[Array, "parts frames segments"]:
    """attn_weight[m_0j][m_it] of Eq. 8: how much the tokens of part j in the first frame attend to those of segment
    t in frame i, the mean over both, summed over heads; 0 where either is empty.

    The softmax runs over all tokens; only the first frame's rows of it are ever computed, one head at a time.

    Args:
      q: queries of the first frame's tokens. k: keys of all frames' tokens, the first frame's among them.
      first: m_0j on the first frame's tokens.
      later: m_it on each frame's tokens, of all frames.
    """
    chosen = _means(first)
    scale = q.shape[-1] ** -0.5

    def head(total, qk):
        q, k = (x.astype(jnp.float32) for x in qk)
        return total + chosen @ jax.nn.softmax(scale * q @ k.T, axis=-1), None

    heads = (q.swapaxes(0, 1), k.swapaxes(0, 1))
    total, _ = jax.lax.scan(head, jnp.zeros((len(first), len(k)), jnp.float32), heads)
    frames, _, rows = later.shape
    return jnp.einsum("jix,itx->jit", total.reshape(len(first), frames, rows), _means(later))


def _means(masks: Bool[Array, "*axes rows"]) -> Float[Array, "*axes rows"]:
    """Weights that take the mean over a mask's tokens."""
    masks = masks.astype(jnp.float32)
    return masks / jnp.maximum(masks.sum(-1, keepdims=True), 1)


def match(weight: Float[np.ndarray, "parts frames segments"]) -> Int[np.ndarray, "frames parts"]:
    """Eq. 8: j' = argmax_t attn_weight[m_0j][m_it] for each frame i and part j; NO_PART where nothing is attended
    to, as in a frame without a pose. The first frame's parts are their own."""
    weight = np.asarray(weight)
    found = np.where(weight.max(-1) > 0, weight.argmax(-1), NO_PART).T.astype(np.int32)
    parts = np.arange(weight.shape[0])
    found[0] = np.where(found[0] == NO_PART, NO_PART, parts)
    return found


def matched_masks(
    masks: Bool[np.ndarray, "frames segments rows columns"], found: Int[np.ndarray, "frames parts"]
) -> Bool[np.ndarray, "frames parts rows columns"]:
    """m_ij' of each frame in the place of its part j; empty where it has none."""
    taken = np.take_along_axis(masks, np.maximum(found, 0)[:, :, None, None], axis=1)
    return taken & (found != NO_PART)[:, :, None, None]


def matched_ids(
    ids: Int[np.ndarray, "frames rows columns"],
    weight: Float[np.ndarray, "parts frames segments"],
    found: Int[np.ndarray, "frames parts"],
) -> Int[np.ndarray, "frames rows columns"]:
    """Each token's segment as the part of the first frame that it is matched with, NO_PART where it has none.

    Where two parts choose one segment it goes to the one that attends to it more, so that a token has one part.
    """
    weight = np.asarray(weight)
    parts, frames, segments = weight.shape
    chosen = (found[:, :, None] == np.arange(segments)) & (found[:, :, None] != NO_PART)
    by_segment = np.where(chosen, weight.swapaxes(0, 1), -1.0)
    part = np.where(by_segment.max(1) >= 0, by_segment.argmax(1), NO_PART)
    # The first frame holds the parts themselves.
    part[0] = np.where(np.arange(segments) < parts, np.arange(segments), NO_PART)
    there = np.isin(part, np.unique(ids[0][ids[0] != NO_PART]))
    part = np.where(there, part, NO_PART)
    taken = np.take_along_axis(part, np.maximum(ids, 0).reshape(frames, -1), axis=1).reshape(ids.shape)
    return np.where(ids == NO_PART, NO_PART, taken).astype(np.int32)
