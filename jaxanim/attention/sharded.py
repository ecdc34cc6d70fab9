"""An attention call over a mesh of devices: each runs the kernel on its own entries, heads and queries.

A kernel written by hand cannot be cut by the compiler, which would have every device compute all of it, or refuse.
Batch entries and heads do not meet in attention; queries may be cut too ("context"), and then all keys and values
are gathered on every device, whose gradients JAX sums over the devices.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.sharding import AbstractMesh
from jax.sharding import PartitionSpec as P
from jaxtyping import Array

from jaxanim.attention.kernel import Request
from jaxanim.mesh import BATCH, current_mesh, dividing, free_axes, ways

Run = Callable[[Request], tuple[Array, Array | None]]


@dataclasses.dataclass(frozen=True)
class Cut:
    """The mesh axes that cut batch entries, heads and queries; an axis that divides none of them cuts nothing."""

    batch: tuple[str, ...]
    heads: tuple[str, ...]
    queries: tuple[str, ...]


def cut_of(request: Request, mesh: AbstractMesh) -> Cut:
    """How a request is cut; queries need not come out even."""
    batch, _, heads, _ = request.q.shape
    context = ("context",) if "context" in free_axes(mesh) and request.q_tokens >= mesh.shape["context"] else ()
    return Cut(dividing(batch, BATCH, mesh), dividing(heads, ("tensor",), mesh), context)


def on_one_device(request: Request) -> Request:
    """The request that each device of the mesh gets, as shapes; by it a kernel is chosen."""
    mesh = current_mesh()
    if mesh is None:
        return request
    cut = cut_of(request, mesh)
    batch, tokens, heads, head_dim = request.q.shape
    batch, heads = batch // ways(cut.batch, mesh), heads // ways(cut.heads, mesh)

    def shaped(x, tokens):
        return jax.ShapeDtypeStruct((batch, tokens, heads, head_dim), x.dtype)

    k, v = (shaped(x, request.kv_tokens) for x in (request.k, request.v))
    return dataclasses.replace(request, q=shaped(request.q, -(-tokens // ways(cut.queries, mesh))), k=k, v=v)


def over_devices(run: Run, request: Request) -> tuple[Array, Array | None]:
    """`run(request)`, in `jax.shard_map` where the program is traced for several devices."""
    mesh = current_mesh()
    if mesh is None:
        return run(request)
    cut, tokens = cut_of(request, mesh), request.q_tokens
    missing = -tokens % ways(cut.queries, mesh)
    padded = _with_more_queries(request, missing)
    specs = {
        "q": P(cut.batch, cut.queries, cut.heads),
        "k": P(cut.batch, None, cut.heads),
        "v": P(cut.batch, None, cut.heads),
        "q_segment_ids": P(cut.batch, cut.queries),
        "kv_segment_ids": P(cut.batch),
        "kv_lengths": P(cut.batch),
    }
    if request.bias is not None:
        axes = zip(padded.bias.shape, (cut.batch, cut.heads, cut.queries, None), strict=True)
        specs["bias"] = P(*(None if size == 1 else axis for size, axis in axes))
    arrays = {name: getattr(padded, name) for name in specs if getattr(padded, name) is not None}

    def local(arrays: dict[str, Array]) -> tuple[Array, Array | None]:
        return run(dataclasses.replace(padded, **arrays))

    rows = P(cut.batch, cut.queries, cut.heads)
    out, lse = jax.shard_map(
        local,
        in_specs=({name: specs[name] for name in arrays},),
        out_specs=(rows, rows if request.return_lse else None),
        axis_names=set(free_axes(mesh)),
        # Pallas kernels do not say over which axes their results vary.
        check_vma=False,
    )(arrays)
    return out[:, :tokens], None if lse is None else lse[:, :tokens]


def _with_more_queries(request: Request, missing: int) -> Request:
    """The request with queries of zeros at the end, whose results nobody reads."""
    if not missing:
        return request

    def longer(x, axis):
        if x is None or x.shape[axis] == 1:
            return x
        return jnp.pad(x, [(0, missing if i == axis else 0) for i in range(x.ndim)])

    return dataclasses.replace(
        request,
        q=longer(request.q, 1),
        q_segment_ids=longer(request.q_segment_ids, 1),
        bias=longer(request.bias, 2),
    )
