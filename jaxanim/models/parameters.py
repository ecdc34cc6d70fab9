"""Parameter trees of one network made from those of another."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import PyTree


def copy_part(tree: dict, source: dict) -> dict:
    """Copies of those leaves of `source` that `tree` has (so that either tree may be donated or updated)."""
    return {
        name: copy_part(value, source[name]) if isinstance(value, dict) else jnp.array(source[name])
        for name, value in tree.items()
    }


def shapes_of(module: nn.Module, *inputs: PyTree) -> PyTree:
    """The parameter tree of `module`, with shapes in place of arrays; a module is traced once and remembered."""
    # A copy of the dictionaries, for whoever asks may take leaves out.
    return jax.tree.map(lambda leaf: leaf, _traced(module, *inputs))


@functools.lru_cache(maxsize=64)
def _traced(module: nn.Module, *inputs: PyTree) -> PyTree:
    return jax.eval_shape(module.init, jax.random.key(0), *inputs)["params"]
