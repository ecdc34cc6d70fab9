"""Splitting a parameter tree into a trainable and a frozen part, by patterns over parameter paths."""

import difflib
import re
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import Array, UInt32

from jaxanim.errors import InputError
from jaxanim.training.task import Params

FlatParams = dict[str, jax.Array]
"""Parameters by path, such as "encoder/conv_in/kernel"."""


def partition(params: Params, trainable: Sequence[str]) -> tuple[FlatParams, FlatParams]:
    """(trainable, frozen) parameters by path; a path is trainable if any of the regular expressions is found
    in it.

    Raises InputError for a pattern that is no regular expression or is found in no path: a misspelt pattern
    would otherwise freeze silently what was meant to learn.
    """
    flat = flatten_dict(params, sep="/")
    for pattern in trainable:
        try:
            found = any(re.search(pattern, path) for path in flat)
        except re.error as error:
            raise InputError(f"trainable pattern {pattern!r} is not a regular expression: {error}") from error
        if not found:
            near = difflib.get_close_matches(pattern, flat, n=3, cutoff=0.0)
            raise InputError(f"trainable pattern {pattern!r} is in no parameter path; paths are like {near}")
    if not trainable:
        raise InputError("trainable is empty: there would be nothing to train")
    chosen = {path for path in flat if any(re.search(pattern, path) for pattern in trainable)}
    return (
        {path: leaf for path, leaf in flat.items() if path in chosen},
        {path: leaf for path, leaf in flat.items() if path not in chosen},
    )


def without(trainable: Sequence[str], hold: str | None) -> tuple[str, ...]:
    """Patterns for `partition`: of the same parameters, but those in whose path the expression `hold` is found.

    Raises InputError if `hold` is no regular expression.
    """
    if hold is None:
        return tuple(trainable)
    try:
        re.compile(hold)
    except re.error as error:
        raise InputError(f"hold is {hold!r}, which is no regular expression: {error}") from error
    return tuple(f"^(?!.*(?:{hold})).*?(?:{pattern})" for pattern in trainable)


def check_hold(params: Params, hold: str | None) -> None:
    """Raises InputError if `hold` is found in no path: a misspelt one would silently hold nothing."""
    if hold is not None and not any(re.search(hold, path) for path in flatten_dict(params, sep="/")):
        raise InputError(f"hold is {hold!r}, which is in no parameter path; an example is 'cond_embedding'")


def combine(*parts: FlatParams) -> Params:
    """The nested tree of all the parts: the inverse of `partition`."""
    return unflatten_dict({path: leaf for part in parts for path, leaf in part.items()}, sep="/")


def fingerprint(flat: FlatParams) -> int:
    """A 32-bit checksum of the bits, equal on any number of devices: integer sums have no order."""
    total = len(flat)
    for i, bits in enumerate(jax.device_get([_sum_of_bits(flat[path]) for path in sorted(flat)])):
        total = (total * 31 + int(bits) + i) % 2**32
    return total


@jax.jit
def _sum_of_bits(leaf: Array) -> UInt32[Array, ""]:
    """Compiled once for each shape; one program over all the leaves would take the compiler seconds."""
    return jnp.sum(jax.lax.bitcast_convert_type(leaf.astype(jnp.float32), jnp.uint32), dtype=jnp.uint32)
