"""Every network's parameters from its config alone: their shapes, with nothing allocated, and fresh ones."""

from jaxtyping import Array, Key, PyTree

from jaxanim.models.network import NetworkConfig
from jaxanim.models.parameters import shapes_of


def parameter_shapes(role: str, config: NetworkConfig) -> PyTree:
    """The parameter tree of the network that a system calls `role`, with shapes in place of arrays."""
    module, inputs, part = config.network(role)
    return part(shapes_of(module, *inputs))


def fresh_params(role: str, config: NetworkConfig, key: Key[Array, ""]) -> PyTree:
    """Parameters drawn by the network's initialisers. The network itself is not computed."""
    module, inputs, part = config.network(role)
    return part(module.lazy_init(key, *inputs)["params"])
