"""The mesh of devices that a program is traced for, and how an array's axes lie on it.

Every mesh here has the axes of AXES. A batch is cut over "data" and "fsdp", heads and hidden widths over "tensor",
the queries of attention over "context".
"""

import contextlib
import math

import jax
from jax.sharding import AbstractMesh, AxisType, Mesh

AXES = ("data", "fsdp", "tensor", "context")
BATCH = ("data", "fsdp")


def tracing_on(mesh: Mesh | AbstractMesh) -> contextlib.AbstractContextManager:
    """A context in which what is traced is meant for `mesh`, also inside `jax.jit` and ahead of time.

    A mesh of one device changes nothing.
    """
    if mesh.size == 1:
        return contextlib.nullcontext()
    return jax.sharding.use_abstract_mesh(mesh if isinstance(mesh, AbstractMesh) else mesh.abstract_mesh)


def current_mesh() -> AbstractMesh | None:
    """The mesh that is traced for; None where that is one device, or inside a `jax.shard_map` over all its axes."""
    mesh = jax.sharding.get_abstract_mesh()
    return mesh if ways(free_axes(mesh), mesh) > 1 else None


def free_axes(mesh: AbstractMesh) -> tuple[str, ...]:
    """The axes that no `jax.shard_map` around has taken yet."""
    types = zip(mesh.axis_names, mesh.axis_types, strict=True)
    return tuple(name for name, kind in types if kind != AxisType.Manual)


def dividing(size: int, axes: tuple[str, ...], mesh: AbstractMesh) -> tuple[str, ...]:
    """Those of `axes`, in order, over which an axis of an array of `size` can be cut into equal parts."""
    taken: tuple[str, ...] = ()
    for axis in axes:
        if axis in free_axes(mesh) and mesh.shape[axis] > 1 and size % (ways(taken, mesh) * mesh.shape[axis]) == 0:
            taken = (*taken, axis)
    return taken


def ways(axes: tuple[str, ...], mesh: Mesh | AbstractMesh) -> int:
    """Into how many parts the mesh axes cut."""
    return math.prod(mesh.shape[axis] for axis in axes)
