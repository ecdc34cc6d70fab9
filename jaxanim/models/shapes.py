"""Every network's parameters from its config alone: their shapes, with nothing allocated, and fresh ones."""

from collections.abc import Callable

import jax
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import Array, Key, PyTree

from jaxanim.models.network import NetworkConfig
from jaxanim.models.parameters import shapes_of


def parameter_shapes(role: str, config: NetworkConfig) -> PyTree:
    """The parameter tree of the network that a system calls `role`, with shapes in place of arrays."""
    module, inputs, part = config.network(role)
    return part(shapes_of(module, *inputs))


def fresh_params(
    role: str,
    config: NetworkConfig,
    key: Key[Array, ""],
    place: Callable[[str, tuple[int, ...]], jax.sharding.Sharding] | None = None,
) -> PyTree:
    """Parameters drawn by the network's initialisers. The network itself is not computed.

    Args:
      place: (path, shape) -> where a parameter goes, its path beginning with `role`. Over several devices each
        draws its own part alone.
    """
    module, inputs, part = config.network(role)

    def drawn(key: Key[Array, ""]) -> PyTree:
        return part(module.lazy_init(key, *inputs)["params"])

    if place is None:
        return drawn(key)
    shapes = flatten_dict(parameter_shapes(role, config), sep="/")
    places = {path: place(f"{role}/{path}", leaf.shape) for path, leaf in shapes.items()}
    if all(len(sharding.device_set) == 1 for sharding in places.values()):
        return drawn(key)  # leaf by leaf: one program of them all takes long to compile
    return jax.jit(drawn, out_shardings=unflatten_dict(places, sep="/"))(key)
