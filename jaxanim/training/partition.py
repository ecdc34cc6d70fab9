"""Splitting a parameter tree into a trainable and a frozen part, by patterns over parameter paths."""

import difflib
import re
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import Array, UInt32

from jaxanim.errors import InputError
from jaxanim.training.task import Params

FlatParams = dict[str, Any]
"""Parameters, or their shapes, by path, such as "encoder/conv_in/kernel"."""


def partition(
    params: Params, trainable: Sequence[str], *, hold: str | None = None, thaw: str | None = None
) -> tuple[FlatParams, FlatParams]:
    """(trainable, frozen) parameters by path.

    A path is trainable if any of the regular expressions `trainable`, or `thaw`, is found in it and `hold` is not.

    Raises InputError for an expression that is none or is found in no path: a misspelt one would otherwise freeze
    silently what was meant to learn, or train what was not.
    """
    flat = flatten_dict(params, sep="/")
    if not trainable:
        raise InputError("trainable is empty: there would be nothing to train")
    for name, patterns in (("trainable", trainable), ("hold", [hold]), ("thaw", [thaw])):
        for pattern in patterns:
            check_expression(name, pattern)
            if pattern is not None and not any(re.search(pattern, path) for path in flat):
                near = difflib.get_close_matches(pattern, flat, n=3, cutoff=0.0)
                raise InputError(f"{name} is {pattern!r}, which is in no parameter path; paths are like {near}")
    chosen = {path for path in flat if learns(path, trainable, hold=hold, thaw=thaw)}
    if not chosen:
        raise InputError(f"hold is {hold!r}, which leaves nothing to train")
    return (
        {path: leaf for path, leaf in flat.items() if path in chosen},
        {path: leaf for path, leaf in flat.items() if path not in chosen},
    )


def learns(path: str, trainable: Sequence[str], *, hold: str | None = None, thaw: str | None = None) -> bool:
    """Whether a parameter is in the first part of `partition`."""
    learn = [*trainable, *([] if thaw is None else [thaw])]
    return any(re.search(pattern, path) for pattern in learn) and (hold is None or not re.search(hold, path))


def check_expression(name: str, pattern: str | None) -> None:
    """Raises InputError, with the `name` of what it was given as, if `pattern` is no regular expression."""
    try:
        re.compile(pattern or "")
    except re.error as error:
        raise InputError(f"{name} is {pattern!r}, which is no regular expression: {error}") from error


def combine(*parts: FlatParams) -> Params:
    """The nested tree of all the parts: the inverse of `partition`."""
    return unflatten_dict({path: leaf for part in parts for path, leaf in part.items()}, sep="/")


def checksum(flat: FlatParams) -> int:
    """A 32-bit checksum of the bits, equal on any number of devices: integer sums have no order."""
    total = len(flat)
    for i, bits in enumerate(jax.device_get([_sum_of_bits(flat[path]) for path in sorted(flat)])):
        total = (total * 31 + int(bits) + i) % 2**32
    return total


@jax.jit
def _sum_of_bits(leaf: Array) -> UInt32[Array, ""]:
    """Compiled once for each shape; one program over all the leaves would take the compiler seconds."""
    return jnp.sum(jax.lax.bitcast_convert_type(leaf.astype(jnp.float32), jnp.uint32), dtype=jnp.uint32)
