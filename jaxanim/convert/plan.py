"""The checked bijection: every tensor to one leaf of the module's own parameter tree, and every leaf filled."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import ml_dtypes
import numpy as np
from flax.traverse_util import flatten_dict
from jax.typing import DTypeLike

from jaxanim.convert.layout import place, stacked_path
from jaxanim.convert.parts import Part
from jaxanim.convert.rules import count
from jaxanim.errors import InputError
from jaxanim.models.shapes import parameter_shapes
from jaxanim.tensor_file import LazyTensor, stack_of

STORED = tuple(np.dtype(dtype) for dtype in (np.float16, ml_dtypes.bfloat16, np.float32))


class Plan(NamedTuple):
    """One network to be written: its config, and its leaves as lazy tensors in jaxanim's layout, by path."""

    network: str
    config: Any
    leaves: Mapping[str, LazyTensor]
    parts: tuple[Part, ...]

    @property
    def size(self) -> int:
        """Number of parameters."""
        return sum(leaf.size for leaf in self.leaves.values())


def make_plan(network: str, config: Any, parts: tuple[Part, ...], dtype: np.dtype | None) -> Plan:
    """Places the tensors of `parts` (a UNet's and its motion modules', or of one part alone) in the network.

    Args:
      dtype: what every leaf is stored as; None keeps the tensors' own, which then has to be one for the network.

    Raises:
      InputError: a tensor without a leaf, a leaf without a tensor, a shape that does not fit, several dtypes, or
        one that is not stored.
    """
    expected = {
        path: tuple(leaf.shape) for path, leaf in flatten_dict(parameter_shapes(network, config), sep="/").items()
    }
    leaves, homeless = {}, []
    stacks: dict[str, dict[int, LazyTensor]] = {}
    for part in parts:
        for key, tensor in part.tensors.items():
            names, axes = place(key, len(tensor.shape))
            path, index = _home(names, expected)
            if path is None:
                homeless.append((part.path, tensor.name))
                continue
            shape = tuple(tensor.shape[axis] for axis in axes)
            wanted = expected[path] if index is None else expected[path][1:]
            if shape != wanted:
                raise InputError(
                    f"checkpoint {part.path}: {tensor.name} has shape {tensor.shape}; the {network} that its other "
                    f"tensors describe has {_theirs(wanted, axes)}"
                )
            leaf = _in_layout(part.path, tensor, axes, dtype)
            if index is None:
                leaves[path] = leaf
            else:
                stacks.setdefault(path, {})[index] = leaf
    for path, entries in stacks.items():
        if sorted(entries) == list(range(expected[path][0])):
            leaves[path] = stack_of([entries[i] for i in range(expected[path][0])])
    if homeless:
        where = homeless[0][0]
        raise InputError(
            f"checkpoint {where} holds {count([name for _, name in homeless])} with no place in the {network}; "
            "--skip leaves out what is not needed"
        )
    if missing := [path for path in expected if path not in leaves]:
        raise InputError(
            f"checkpoint {parts[0].path} lacks {len(missing)} of the {network}'s {len(expected)} tensors, such as "
            f"{missing[0]}"
        )
    if dtype is None:
        _check_one_dtype(network, parts)
    return Plan(network, config, leaves, parts)


def _home(names: tuple[str, ...], expected: Mapping[str, Any]) -> tuple[str | None, int | None]:
    """(path of the leaf, its place in the leaf's stack or None) of a tensor; (None, None) where it has no home."""
    if (path := "/".join(names)) in expected:
        return path, None
    stacks = (("/".join(stack), index) for stack, index in stacked_path(names))
    return next(((path, i) for path, i in stacks if path in expected and i < expected[path][0]), (None, None))


def stored_dtype(name: str | None) -> np.dtype | None:
    """The dtype of an option; raises InputError for one that is not stored."""
    if name is None:
        return None
    names = {jnp.dtype(dtype).name: dtype for dtype in STORED}
    if name not in names:
        raise InputError(f"dtype is {name!r}; it should be one of {', '.join(names)}")
    return names[name]


def _theirs(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, ...]:
    """A leaf's shape in PyTorch's layout, for a message; as it is where the axes' numbers differ."""
    if len(shape) != len(axes):
        return shape
    return tuple(shape[axes.index(axis)] for axis in range(len(axes)))


def _check_one_dtype(network: str, parts: tuple[Part, ...]) -> None:
    example: dict[np.dtype, tuple[Path, str]] = {}
    for part in parts:
        for tensor in part.tensors.values():
            example.setdefault(tensor.dtype, (part.path, tensor.name))
    (first, (path, name)), *others = example.items()
    if others:
        second, (other_path, other) = others[0]
        raise InputError(
            f"the {network} of {path} mixes dtypes, {first} in {name} and {second} in {other}"
            f"{'' if other_path == path else f' of {other_path}'}; say with --dtype which one to write"
        )
    if first not in STORED:
        names = ", ".join(map(str, STORED))
        raise InputError(f"the {network} of {path} is {first}; say with --dtype which of {names} to write")


def _in_layout(path: Path, tensor: LazyTensor, axes: tuple[int, ...], dtype: DTypeLike | None) -> LazyTensor:
    if not jnp.issubdtype(tensor.dtype, jnp.floating):
        raise InputError(f"checkpoint {path}: {tensor.name} is {tensor.dtype}; it should be a floating type")
    target = tensor.dtype if dtype is None else jnp.dtype(dtype)

    def read() -> np.ndarray:
        values = tensor.read().transpose(axes)
        with np.errstate(over="ignore"):
            converted = values.astype(target, order="C")
        if not _finite(converted):
            if not _finite(values):
                raise InputError(f"checkpoint {path}: {tensor.name} has values that are no numbers: it is damaged")
            raise InputError(f"checkpoint {path}: {tensor.name} has values beyond {target}; use --dtype bfloat16")
        return converted

    return LazyTensor(tensor.name, tuple(tensor.shape[axis] for axis in axes), target, read)


def _finite(values: np.ndarray) -> bool:
    """Without temporary arrays the size of the tensor: a sum is finite only if every term is, unless it
    overflows, and then the terms are looked at."""
    if not values.size:
        return True
    with np.errstate(all="ignore"):
        if math.isfinite(float(np.sum(values, dtype=np.float32))):
            return True
    return all(bool(np.isfinite(row).all()) for row in np.atleast_1d(values))
