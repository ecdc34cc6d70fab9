"""Where parameters and batches lie on a mesh of devices, and meshes."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from jax.experimental.mesh_utils import create_device_mesh
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding, Sharding
from jaxtyping import PyTree

from jaxanim.errors import InputError
from jaxanim.mesh import AXES, batch_cut, ways
from jaxanim.mesh import BATCH as BATCH_AXES
from jaxanim.training.layout import PARAMETERS, Table, spec_for


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
    # A mesh axis may be a part of a slice's side: 64 of 16 x 16 chips are four of its rows.
    laid = create_device_mesh(sizes, devices, allow_split_physical_axes=True)
    return Mesh(laid, AXES, axis_types=(AxisType.Auto,) * len(AXES))


@dataclasses.dataclass(frozen=True)
class Placement:
    """(path, shape) -> where a parameter goes on a mesh.

    Attributes:
      frozen: what says of a path that the parameter does not learn; by default of none.
      frozen_dtype: what such parameters are held in; those that learn are float32.
    """

    mesh: Mesh
    table: Table = PARAMETERS
    frozen: Callable[[str], bool] = lambda path: False
    frozen_dtype: str = "float32"

    def __call__(self, path: str, shape: tuple[int, ...]) -> NamedSharding:
        """Raises InputError for a large parameter that cannot be cut, see `spec_for`."""
        return NamedSharding(self.mesh, spec_for(path, shape, self.mesh, self.table))

    def dtype(self, path: str) -> str:
        """What the parameter is held in."""
        return self.frozen_dtype if self.frozen(path) else "float32"


def parameter_sharding(mesh: Mesh, table: Table = PARAMETERS) -> Placement:
    """Where the table puts parameters on `mesh`: also for `jaxanim.weights.load_weights`."""
    return Placement(mesh, table)


def shard_parameters(flat: Mapping[str, jax.Array], place: Placement) -> dict[str, jax.Array]:
    """Parameters by path, each put where and as it goes; what lies there already is not copied."""
    return {
        path: jax.device_put(leaf.astype(place.dtype(path)), place(path, leaf.shape)) for path, leaf in flat.items()
    }


def placed(params: PyTree, place: Callable[[str, tuple[int, ...]], Sharding] | None = None) -> PyTree:
    """New arrays of host arrays such as memory maps, of which each device reads its own slice alone.

    Args:
      place: (path, shape) -> where a parameter goes; None is JAX's own choice. They are float32, or what a
        `Placement` says.
    """

    def put(path, leaf):
        if place is None:
            return jnp.array(leaf, jnp.float32)
        dtype = jnp.dtype(place.dtype(path) if isinstance(place, Placement) else "float32")
        return jax.make_array_from_callback(
            leaf.shape, place(path, leaf.shape), lambda index: np.array(leaf[index]).astype(dtype)
        )

    flat = flatten_dict(params, sep="/")
    return unflatten_dict({path: put(path, leaf) for path, leaf in flat.items()}, sep="/")


def check_tensor_axis(placed: Iterable[jax.Array], mesh: Mesh | AbstractMesh) -> None:
    """Raises InputError if there is a tensor axis and it cuts none of the arrays: its devices would all do the
    same."""
    size = mesh.shape["tensor"]
    if size > 1 and not any("tensor" in str(leaf.sharding.spec) for leaf in placed):
        raise InputError(f"mesh.tensor is {size}, which divides no axis of any parameter; choose 1")


def shard_batch(batch: Mapping[str, np.ndarray], mesh: Mesh) -> dict[str, jax.Array]:
    """A host's part of the batch, cut over the mesh axes data and fsdp as `jaxanim.mesh.batch_cut` says.

    Raises InputError for rows that several hosts cannot share.
    """

    def placed(name: str, value: np.ndarray) -> jax.Array:
        rows, several = len(value) * jax.process_count(), jax.process_count() > 1
        if several and rows % ways(BATCH_AXES, mesh):
            raise InputError(
                f"a batch has {rows} rows of {name}, which do not divide over {ways(BATCH_AXES, mesh)} devices "
                "(data x fsdp) of several hosts; choose another batch_size"
            )
        sharding = NamedSharding(mesh, batch_cut((rows, *value.shape[1:]), mesh))
        return jax.make_array_from_process_local_data(sharding, value)

    return {name: placed(name, value) for name, value in batch.items()}


def check_batch_size(batch_size: int, accumulate: int, mesh: Mesh | AbstractMesh) -> None:
    """Raises InputError unless every part of a batch divides over the devices and hosts."""
    ways = mesh.shape["data"] * mesh.shape["fsdp"]
    if (batch_size // accumulate) % ways or batch_size % jax.process_count():
        raise InputError(
            f"batch_size {batch_size} in {accumulate} part(s) does not divide over {ways} devices "
            f"(data x fsdp) and {jax.process_count()} hosts"
        )
