"""Where parameters and batches lie on a mesh of devices: a table of path patterns, outside the models."""

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding, PartitionSpec, Sharding
from jaxtyping import PyTree

from jaxanim.errors import InputError
from jaxanim.mesh import AXES
from jaxanim.mesh import BATCH as BATCH_AXES

Table = Sequence[tuple[str, PartitionSpec]]

PARAMETERS: Table = (
    # Projections into the heads or the hidden width are cut by columns, those out of it by rows, so that a
    # pair of them needs one sum over the tensor axis.
    (r"(to_q|to_k|to_v|net_0/proj|fc1|q_proj|k_proj|v_proj)/kernel$", PartitionSpec("fsdp", "tensor")),
    (r"(to_out_0|net_2|fc2|out_proj)/kernel$", PartitionSpec("tensor", "fsdp")),
    (r"(to_q|to_k|to_v|net_0/proj|fc1|q_proj|k_proj|v_proj)/bias$", PartitionSpec("tensor")),
    # 3x3 convolutions are HWIO.
    (r"conv[^/]*/kernel$", PartitionSpec(None, None, "fsdp", "tensor")),
    (r"embedding$", PartitionSpec("fsdp", "tensor")),
    (r"kernel$", PartitionSpec("fsdp")),
)
"""First match wins; what no pattern matches (norms, biases) lies whole on every device."""

BATCH = PartitionSpec(BATCH_AXES)


@dataclasses.dataclass(frozen=True)
class MeshShape:
    """Devices along each axis; data = -1 takes all that the others leave."""

    data: int = -1
    fsdp: int = 1
    tensor: int = 1
    context: int = 1


def make_mesh(shape: MeshShape = MeshShape(), devices: Sequence[jax.Device] | None = None) -> Mesh:
    """A mesh of all devices; raises InputError if the shape does not use exactly all of them."""
    devices = jax.devices() if devices is None else devices
    sizes = [getattr(shape, axis) for axis in AXES]
    rest = int(np.prod(sizes[1:]))
    if min(sizes[1:]) < 1 or (sizes[0] < 1 and sizes[0] != -1):
        raise InputError(f"mesh sizes must be positive (data may be -1), not {dict(zip(AXES, sizes, strict=True))}")
    if sizes[0] == -1:
        sizes[0] = max(1, len(devices) // rest)
    if int(np.prod(sizes)) != len(devices):
        raise InputError(f"mesh {dict(zip(AXES, sizes, strict=True))} does not cover {len(devices)} devices")
    return jax.make_mesh(tuple(sizes), AXES, axis_types=(AxisType.Auto,) * len(AXES), devices=devices)


def spec_for(
    path: str, shape: tuple[int, ...], mesh: Mesh | AbstractMesh, table: Table = PARAMETERS
) -> PartitionSpec:
    """The first matching pattern's spec, less the axes that do not divide their dimension."""
    for pattern, spec in table:
        if re.search(pattern, path):
            axes = [axis if _divides(axis, size, mesh) else None for axis, size in zip(spec, shape, strict=False)]
            return PartitionSpec(*axes)
    return PartitionSpec()


def _divides(axis: str | tuple[str, ...] | None, size: int, mesh: Mesh | AbstractMesh) -> bool:
    names = (axis,) if isinstance(axis, str) else axis or ()
    return size % int(np.prod([mesh.shape[name] for name in names])) == 0


def parameter_sharding(mesh: Mesh, table: Table = PARAMETERS) -> Callable[[str, tuple[int, ...]], NamedSharding]:
    """(path, shape) -> where the table puts a parameter on `mesh`: for `jaxanim.weights.load_weights`."""
    return lambda path, shape: NamedSharding(mesh, spec_for(path, shape, mesh, table))


def shard_parameters(flat: Mapping[str, jax.Array], mesh: Mesh, table: Table = PARAMETERS) -> dict[str, jax.Array]:
    """Parameters by path, each put where the table says."""
    return {
        path: jax.device_put(leaf, parameter_sharding(mesh, table)(path, leaf.shape)) for path, leaf in flat.items()
    }


def placed(params: PyTree, place: Callable[[str, tuple[int, ...]], Sharding] | None = None) -> PyTree:
    """New float32 arrays of host arrays such as memory maps, of which each device reads its own slice alone.

    Args:
      place: (path, shape) -> where a parameter goes; None is JAX's own choice.
    """

    def put(path, leaf):
        if place is None:
            return jnp.array(leaf, jnp.float32)
        sharding = place(path, leaf.shape)
        return jax.make_array_from_callback(leaf.shape, sharding, lambda index: np.array(leaf[index], np.float32))

    flat = flatten_dict(params, sep="/")
    return unflatten_dict({path: put(path, leaf) for path, leaf in flat.items()}, sep="/")


def replicated(mesh: Mesh) -> NamedSharding:
    """The whole array on every device."""
    return NamedSharding(mesh, PartitionSpec())


def shard_batch(batch: Mapping[str, np.ndarray], mesh: Mesh) -> dict[str, jax.Array]:
    """A host's part of the batch, cut along its first axis over the mesh axes data and fsdp."""
    sharding = NamedSharding(mesh, BATCH)
    return {name: jax.make_array_from_process_local_data(sharding, value) for name, value in batch.items()}


def check_batch_size(batch_size: int, accumulate: int, mesh: Mesh | AbstractMesh) -> None:
    """Raises InputError unless every part of a batch divides over the devices and hosts."""
    ways = mesh.shape["data"] * mesh.shape["fsdp"]
    if (batch_size // accumulate) % ways or batch_size % jax.process_count():
        raise InputError(
            f"batch_size {batch_size} in {accumulate} part(s) does not divide over {ways} devices "
            f"(data x fsdp) and {jax.process_count()} hosts"
        )
