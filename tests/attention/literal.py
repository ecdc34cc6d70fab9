"""Attention written out in float64 numpy loops, one query at a time: slow and plain, to compare with."""

import numpy as np


def attention(q, k, v, *, bias=None, q_ids=None, kv_ids=None, lengths=None, scale=None):
    """(out, lse); a query that sees no key gets zeros and -inf."""
    q, k, v = (np.asarray(x, np.float64) for x in (q, k, v))
    batch, q_tokens, heads, head_dim = q.shape
    kv_tokens = k.shape[1]
    scale = head_dim**-0.5 if scale is None else scale
    bias = np.zeros(()) if bias is None else np.asarray(bias, np.float64)
    bias = np.broadcast_to(bias, (batch, heads, q_tokens, kv_tokens))
    out, lse = np.zeros(q.shape), np.full(q.shape[:3], -np.inf)
    for b, i, h in np.ndindex(q.shape[:3]):
        seen = np.ones(kv_tokens, bool)
        if q_ids is not None:
            seen &= np.asarray(kv_ids)[b] == np.asarray(q_ids)[b, i]
        if lengths is not None:
            seen &= np.arange(kv_tokens) < np.asarray(lengths)[b]
        if not seen.any():
            continue
        scores = scale * k[b, seen, h] @ q[b, i, h] + bias[b, h, i, seen]
        weights = np.exp(scores - scores.max())
        out[b, i, h] = weights @ v[b, seen, h] / weights.sum()
        lse[b, i, h] = scores.max() + np.log(weights.sum())
    return out, lse
