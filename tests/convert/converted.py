"""A PyTorch network's parameters by the converter itself, in memory."""

from pathlib import Path

import jax.numpy as jnp
from flax.traverse_util import unflatten_dict

from jaxanim.convert.parts import find_parts
from jaxanim.convert.plan import make_plan
from jaxanim.convert.source import Source
from jaxanim.tensor_file import held


def convert(state, json=None):
    """(network, config, parameters) of a state dict of PyTorch tensors or NumPy arrays."""
    arrays = {key: value.detach().numpy() if hasattr(value, "detach") else value for key, value in state.items()}
    (part,) = find_parts(Source(Path("memory"), held(arrays.items()), json or {}))
    plan = make_plan(part.network, part.config, (part,), None)
    params = unflatten_dict(
        {tuple(path.split("/")): jnp.asarray(leaf.read()) for path, leaf in plan.leaves.items()}
    )
    return part.network, part.config, params
