"""The one attention contract: arguments checked once, then handed to the kernel asked for."""

from __future__ import annotations

from jaxtyping import Array, Float, Int

from jaxanim.attention.auto import automatic
from jaxanim.attention.kernel import Kernel, Request
from jaxanim.attention.kernels import KERNELS
from jaxanim.attention.sharded import on_one_device, over_devices
from jaxanim.backend import COUNTING, target_backend
from jaxanim.errors import InputError
from jaxanim.mesh import context_ways


def attention(
    q: Float[Array, "batch q_tokens heads head_dim"],
    k: Float[Array, "batch kv_tokens heads head_dim"],
    v: Float[Array, "batch kv_tokens heads head_dim"],
    *,
    kernel: str = "auto",
    bias: Float[Array, "#batch #heads #q_tokens #kv_tokens"] | None = None,
    q_segment_ids: Int[Array, "batch q_tokens"] | None = None,
    kv_segment_ids: Int[Array, "batch kv_tokens"] | None = None,
    kv_lengths: Int[Array, " batch"] | None = None,
    scale: float | None = None,
    return_lse: bool = False,
):
    """softmax(scale Q K^T + bias) V, by a kernel: "auto", "xla", "blocked", "splash" (TPU) or "cudnn" (GPU).

    A query attends to a key only where their segment ids are equal and the key's position is below its batch
    entry's `kv_lengths`. `bias` is added to the scores; `scale` is head_dim^-0.5 unless given. A query that
    may attend to nothing gets zeros (and a logsumexp of -inf) and passes no gradient. In a program traced for a
    mesh (`jaxanim.mesh`) every device computes its part.

    Returns out [batch, q_tokens, heads, head_dim] in q's dtype and, with `return_lse`, also the float32
    logsumexp of the scores [batch, q_tokens, heads], which `merge` takes. Both are differentiable.

    Raises InputError for shapes that do not fit together, a kernel that does not exist, and a kernel that
    cannot do this call.
    """
    request = make_request(
        q,
        k,
        v,
        backend=target_backend(),
        bias=bias,
        q_segment_ids=q_segment_ids,
        kv_segment_ids=kv_segment_ids,
        kv_lengths=kv_lengths,
        scale=scale,
        return_lse=return_lse,
    )
    chosen = _resolve(kernel, on_one_device(request))
    alone = chosen.cuts_itself and context_ways() == 1
    out, lse = chosen.run(request) if alone else over_devices(chosen.run, request)
    return (out, lse) if return_lse else out


def choose_kernel(
    q,
    k,
    *,
    kernel: str = "auto",
    bias=None,
    q_segment_ids=None,
    kv_segment_ids=None,
    kv_lengths=None,
    return_lse: bool = False,
    backend: str | None = None,
) -> str:
    """The name of the kernel that such a call of `attention` takes.

    `backend` is "cpu", "gpu" or "tpu"; by default JAX's own, or that of `compiling_for`. The other
    arguments are those of `attention`, or `jax.ShapeDtypeStruct`s. What "auto" chose is logged at INFO, once
    for each shape. Raises InputError as `attention` does.
    """
    request = make_request(
        q,
        k,
        k,
        backend=backend or target_backend(),
        bias=bias,
        q_segment_ids=q_segment_ids,
        kv_segment_ids=kv_segment_ids,
        kv_lengths=kv_lengths,
        return_lse=return_lse,
    )
    return _resolve(kernel, on_one_device(request)).name


def _resolve(name: str, request: Request) -> Kernel:
    if request.backend == COUNTING:
        return KERNELS["xla"]
    if name == "auto":
        return automatic(request)
    if name not in KERNELS:
        raise InputError(f"kernel is {name!r}; it should be 'auto' or one of {', '.join(map(repr, KERNELS))}")
    objection = KERNELS[name].objection(request)
    if objection is not None:
        other = automatic(request).name
        raise InputError(f"kernel {name!r} cannot do this attention: {objection}; {other!r} can (or 'auto')")
    return KERNELS[name]


def make_request(
    q,
    k,
    v,
    *,
    backend: str,
    bias=None,
    q_segment_ids=None,
    kv_segment_ids=None,
    kv_lengths=None,
    scale: float | None = None,
    return_lse: bool = False,
) -> Request:
    """The arguments of `attention` as one Request; raises InputError where their shapes do not fit."""
    if (q_segment_ids is None) != (kv_segment_ids is None):
        given, missing = ("q", "kv") if kv_segment_ids is None else ("kv", "q")
        raise InputError(f"{given}_segment_ids is given and {missing}_segment_ids is None; give both or neither")
    for name, value in (("q", q), ("k", k)):
        if len(value.shape) != 4:
            raise InputError(f"{name} has shape {value.shape}; it should be [batch, tokens, heads, head_dim]")
    batch, q_tokens, heads, head_dim = q.shape
    kv_tokens = k.shape[1]
    expected = {
        "k": (k, (batch, kv_tokens, heads, head_dim)),
        "v": (v, (batch, kv_tokens, heads, head_dim)),
        "q_segment_ids": (q_segment_ids, (batch, q_tokens)),
        "kv_segment_ids": (kv_segment_ids, (batch, kv_tokens)),
        "kv_lengths": (kv_lengths, (batch,)),
    }
    for name, (value, shape) in expected.items():
        if value is not None and value.shape != shape:
            raise InputError(
                f"{name} has shape {value.shape}; with q {q.shape} and k {k.shape} it should be {shape}"
            )
    scores = (batch, heads, q_tokens, kv_tokens)
    if bias is not None and not _broadcasts(bias.shape, scores):
        raise InputError(f"bias has shape {bias.shape}; it should be {scores}, or 1 in place of any of these")
    scale = head_dim**-0.5 if scale is None else scale
    return Request(q, k, v, scale, backend, bias, q_segment_ids, kv_segment_ids, kv_lengths, return_lse)


def _broadcasts(shape, onto) -> bool:
    return len(shape) == len(onto) and all(size in (1, whole) for size, whole in zip(shape, onto, strict=True))
