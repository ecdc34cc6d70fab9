"""The mesh of devices that a program is traced for, and how an array's axes lie on it.

Every mesh here has the axes of AXES. A batch is cut over "data" and "fsdp", heads and hidden widths over "tensor",
the queries of attention over "context".
"""

import contextlib
import math

import jax
import jax.numpy as jnp
from jax.sharding import AbstractMesh, AxisType, Mesh, PartitionSpec
from jaxtyping import Array, PyTree

AXES = ("data", "fsdp", "tensor", "context")
BATCH = ("data", "fsdp")
VIDEO_AXES = 4
"""So many axes has an array whose second are frames: [rows, frames, height, width], or with channels."""


def tracing_on(mesh: Mesh | AbstractMesh | None) -> contextlib.AbstractContextManager:
    """A context in which what is traced is meant for `mesh`, also inside `jax.jit` and ahead of time.

    None, or a mesh of one device, changes nothing.
    """
    if mesh is None or mesh.size == 1:
        return contextlib.nullcontext()
    return jax.sharding.use_abstract_mesh(mesh if isinstance(mesh, AbstractMesh) else mesh.abstract_mesh)


def current_mesh() -> AbstractMesh | None:
    """The mesh that is traced for; None where that is one device, or inside a `jax.shard_map` over all its axes."""
    mesh = jax.sharding.get_abstract_mesh()
    return mesh if ways(free_axes(mesh), mesh) > 1 else None


def free_axes(mesh: Mesh | AbstractMesh) -> tuple[str, ...]:
    """The axes that no `jax.shard_map` around has taken yet."""
    types = zip(mesh.axis_names, mesh.axis_types, strict=True)
    return tuple(name for name, kind in types if kind != AxisType.Manual)


def dividing(size: int, axes: tuple[str, ...], mesh: Mesh | AbstractMesh) -> tuple[str, ...]:
    """Those of `axes`, in order, over which an axis of an array of `size` can be cut into equal parts."""
    taken: tuple[str, ...] = ()
    for axis in axes:
        if axis in free_axes(mesh) and mesh.shape[axis] > 1 and size % (ways(taken, mesh) * mesh.shape[axis]) == 0:
            taken = (*taken, axis)
    return taken


def ways(axes: tuple[str, ...], mesh: Mesh | AbstractMesh) -> int:
    """Into how many parts the mesh axes cut."""
    return math.prod(mesh.shape[axis] for axis in axes)


def batch_cut(shape: tuple[int, ...], mesh: Mesh | AbstractMesh, frames: bool = True) -> PartitionSpec:
    """How [rows, ...] are cut over "data" and "fsdp": rows, and where these are too few, with `frames`, also the
    frames of [rows, frames, height, width, ...] over the axes that are left."""
    rows = dividing(shape[0], BATCH, mesh)
    if not frames or len(shape) < VIDEO_AXES:
        return PartitionSpec(rows or None)
    left = tuple(axis for axis in BATCH if axis not in rows)
    return PartitionSpec(rows or None, dividing(shape[1], left, mesh) or None)


def constrain_batch(x: Array, frames: bool = True) -> Array:
    """What a network hands from block to block, laid out as `batch_cut` says, its channels whole on every device.

    Parameters are cut along their channels; left to choose, the compiler may cut what meets them likewise, and rows
    no longer.
    """
    mesh = _laying(x)
    if mesh is None:
        return x
    return jax.lax.with_sharding_constraint(x, batch_cut(x.shape, mesh, frames))


def constrain_tokens(x: Array) -> Array:
    """[rows, ..., tokens, channels] laid out over the mesh: rows over "data" and "fsdp", tokens over "context"
    where it divides them (`even_tokens`), channels whole."""
    mesh = _laying(x)
    if mesh is None:
        return x
    rows, context = dividing(x.shape[0], BATCH, mesh), dividing(x.shape[-2], ("context",), mesh)
    if not (rows or context):
        return x
    between = [None] * (x.ndim - 3)
    return jax.lax.with_sharding_constraint(x, PartitionSpec(rows or None, *between, context or None, None))


def gather_tokens(x: Array) -> Array:
    """[rows, tokens, heads, head_dim] with all tokens on every device: keys and values."""
    mesh = _laying(x)
    if mesh is None:
        return x
    rows, heads = dividing(x.shape[0], BATCH, mesh), dividing(x.shape[2], ("tensor",), mesh)
    return jax.lax.with_sharding_constraint(x, PartitionSpec(rows or None, None, heads or None, None))


def whole(params: PyTree[Array]) -> PyTree[Array]:
    """Parameters on every device, for a loop: it would gather what is cut in each of its turns."""
    return jax.tree.map(
        lambda x: x if _laying(x) is None else jax.lax.with_sharding_constraint(x, PartitionSpec()), params
    )


def _laying(x: Array) -> AbstractMesh | None:
    """The mesh to lay `x` out on; None also for an array that is there, computed outside any program."""
    return current_mesh() if isinstance(x, jax.core.Tracer) else None


def even_tokens(x: Array) -> Array:
    """[..., tokens, channels] with tokens of zeros at the end, until "context" divides them."""
    missing = -x.shape[-2] % context_ways()
    return jnp.pad(x, [(0, 0)] * (x.ndim - 2) + [(0, missing), (0, 0)]) if missing else x


def context_ways() -> int:
    """Over how many devices tokens are cut in what is traced."""
    mesh = current_mesh()
    return mesh.shape["context"] if mesh is not None and "context" in free_axes(mesh) else 1
