"""The one layout rule between PyTorch state dicts and parameter trees.

Names: a list index becomes part of its list's name, `resnets.1.conv1` to `resnets_1/conv1`.
Leaves: convolution weight OI... to kernel ...IO, linear weight [out, in] to kernel [in, out], norm weight to
scale, embedding table to embedding, bias to bias; a bare parameter keeps its name and its values.
The rule loses nothing: `to_torch(from_torch(state))` is `state`.

A stack of equal blocks is one block whose leaves have a leading axis more: `blocks_0/...`, `blocks_1/...` become
`blocks/...` (`stacked_path`).
"""

import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from jaxanim.errors import InputError

# Names that end in a number in PyTorch too, and so are not list indices.
NUMBERED_NAMES = frozenset({"linear_1", "linear_2", "wi_0", "wi_1"})
# Leaf names that `to_torch` writes "weight"; a PyTorch parameter with such a name could not be told apart.
WEIGHTS = frozenset({"kernel", "scale", "embedding"})
# Embedding tables whose names do not end in "embedding": T5's.
TABLES = frozenset({"shared", "relative_attention_bias"})
INDEXED = re.compile(r"(.+)_(\d+)")


def from_torch(state_dict: Mapping[str, np.ndarray]) -> dict:
    """Parameter tree of a PyTorch state dict; arrays keep their dtype.

    Raises InputError for a key that the rule cannot bring back, or two keys that meet in one leaf.
    """
    params: dict = {}
    for key, value in state_dict.items():
        value = np.asarray(value)
        (*path, leaf), axes = place(key, value.ndim)
        value = value.transpose(axes)
        node = params
        for name in path:
            node = node.setdefault(name, {})
            if not isinstance(node, dict):
                raise InputError(f"key {key!r} goes through {name!r}, which is a parameter itself")
        if leaf in node:
            raise InputError(f"key {key!r} meets another key in the same parameter")
        node[leaf] = value
    return params


def place(key: str, ndim: int) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """(path of the leaf, axes to transpose the tensor by) of a PyTorch parameter with `ndim` axes.

    Raises InputError for a key that the rule cannot bring back.
    """
    *path, leaf = _join_indices(key)
    same = tuple(range(ndim))
    if leaf in WEIGHTS:
        raise InputError(f"key {key!r} ends in {leaf!r}; no PyTorch parameter of these networks does")
    if leaf != "weight":
        return (*path, leaf), same
    if ndim == 1:
        return (*path, "scale"), same
    if ndim == 2 and path and (path[-1].endswith("embedding") or path[-1] in TABLES):
        return (*path, "embedding"), same
    return (*path, "kernel"), (*same[2:], *same[1::-1])


def stacked_path(path: Sequence[str]) -> Iterator[tuple[tuple[str, ...], int]]:
    """(path, index) of every stack that the leaf at `path` might be an entry of, the outermost first."""
    for depth, name in enumerate(path[:-1]):
        if match := INDEXED.fullmatch(name):
            yield (*path[:depth], match[1], *path[depth + 1 :]), int(match[2])


def to_torch(params: Mapping) -> dict[str, np.ndarray]:
    """State dict of a parameter tree: the inverse of `from_torch`."""
    state = {}
    for path, value in _leaves(params, ()):
        *modules, leaf = path
        value = np.asarray(value)
        if leaf in WEIGHTS:
            leaf, value = "weight", _weight_to_torch(leaf, value)
        state[".".join([*map(_split_index, modules), leaf])] = value
    return state


def _join_indices(key: str) -> list[str]:
    path: list[str] = []
    for part in key.split("."):
        if part.isdecimal() and path:
            path[-1] += f"_{part}"
        elif part.isdecimal() or (INDEXED.fullmatch(part) and part not in NUMBERED_NAMES):
            raise InputError(f"key {key!r} has the name {part!r}, which would be read back as a list index")
        else:
            path.append(part)
    return path


def _split_index(name: str) -> str:
    match = INDEXED.fullmatch(name)
    return name if match is None or name in NUMBERED_NAMES else f"{_split_index(match[1])}.{match[2]}"


def _weight_to_torch(leaf: str, value: np.ndarray) -> np.ndarray:
    return np.moveaxis(value, (-1, -2), (0, 1)) if leaf == "kernel" else value


def _leaves(tree: Mapping, path: tuple[str, ...]):
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, (*path, name))
        else:
            yield (*path, name), value
