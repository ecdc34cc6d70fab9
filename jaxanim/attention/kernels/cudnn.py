"""cuDNN's fused attention for NVIDIA GPUs, through `jax.nn.dot_product_attention`.

It has no logsumexp here: JAX returns one but drops its gradient (jax 0.10), so that whatever were built on it
would train wrongly without a word.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from jaxanim.attention.kernel import Kernel, Request

AMPERE, HOPPER = (8, 0), (9, 0)


def limits(request: Request) -> str | None:
    """cuDNN's own: half precision, head sizes, and even lengths with a bias (for its backward pass)."""
    if request.backend != "gpu":
        return f"it runs on 'gpu' and the backend is {request.backend!r}"
    capability = _compute_capability()
    if capability is not None and capability < AMPERE:
        return f"the GPU has compute capability {capability[0]}.{capability[1]}; it should be 8.0 or more"
    dtypes = {str(x.dtype) for x in (request.q, request.k, request.v)}
    if len(dtypes) > 1 or not dtypes <= {"float16", "bfloat16"}:
        found = ", ".join(sorted(dtypes))
        return f"q, k and v have dtype {found}; it should be bfloat16 or float16, one for all"
    head_dim, most = request.q.shape[-1], 256 if capability is None or capability >= HOPPER else 128
    if head_dim % 8 or head_dim > most:
        return f"q's head_dim is {head_dim}; it should be a multiple of 8 and at most {most} on this GPU"
    if request.bias is not None and (request.q_tokens % 2 or request.kv_tokens % 2):
        tokens = f"{request.q_tokens} and {request.kv_tokens}"
        return f"with a bias q and k have {tokens} tokens; both should be even"
    return None


def run(request: Request):
    """Lengths become cuDNN's padding mask; the bias is passed on in q's dtype."""
    q_tokens, kv_tokens = request.q_tokens, request.kv_tokens
    bias, lengths = request.bias, request.kv_lengths
    if bias is not None:
        bias = jnp.broadcast_to(bias, (*bias.shape[:2], q_tokens, kv_tokens)).astype(request.q.dtype)
    if lengths is not None:
        lengths = jnp.maximum(lengths, 1).astype(jnp.int32)
    out = jax.nn.dot_product_attention(
        request.q,
        request.k,
        request.v,
        bias,
        scale=request.scale,
        key_value_seq_lengths=lengths,
        implementation="cudnn",
    )
    if request.kv_lengths is not None:  # an entry without keys: the contract's 0, whatever cuDNN makes of it
        out = jnp.where((request.kv_lengths > 0)[:, None, None, None], out, 0)
    return out, None


def _compute_capability() -> tuple[int, int] | None:
    """Of the first NVIDIA GPU; None where there is none to ask (compiling ahead of time)."""
    try:
        version = jax.local_devices(backend="gpu")[0].compute_capability
    except RuntimeError:
        return None
    major, _, minor = str(version).partition(".")
    return (int(major), int(minor)) if major.isdigit() and minor.isdigit() else (0, 0)


KERNEL = Kernel("cudnn", run, frozenset({"bias", "kv_lengths"}), limits)
