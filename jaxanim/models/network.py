"""What a network's config knows: the module that it describes, and inputs to trace it with."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import PyTree


class Network(NamedTuple):
    """A module, shapes of inputs for its `init`, and the part of its parameters that counts, by default all."""

    module: nn.Module
    inputs: tuple[PyTree, ...]
    part: Callable[[PyTree], PyTree] = lambda params: params


@runtime_checkable
class NetworkConfig(Protocol):
    """The config of a network."""

    def network(self, role: str) -> Network:
        """The network by this config that a system calls `role`, such as "vae" or "unet"."""
        ...


def example(*shape: int, dtype: Any = jnp.float32) -> jax.ShapeDtypeStruct:
    """The shape of an example input."""
    return jax.ShapeDtypeStruct(shape, dtype)
