"""The source's inversion and its optimised embeddings as a file: they hold for every motion of one picture and
prompt, so that the next motion begins with line 3 of Algorithm 1. The frames' own belong to their poses."""

import os
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxanim.errors import InputError
from jaxanim.tensor_file import held, read_tensors, write_tensors

SAME = 0.05
"""Relative difference below which two inputs are one, computed in float32 or in half of that."""


class Source(NamedTuple):
    """What lines 1 and 2 of Algorithm 1 find: Z_0 ... Z_T, an embedding for each timestep, the subject's map."""

    trajectory: Float[Array, "steps_1 height width channels"]
    embeddings: Float[Array, "steps length dim"]
    seen: Float[Array, "map_height map_width"]


class MadeWith(NamedTuple):
    """What they depend on: the picture's latent, where embeddings begin, guidance's other branch and its scale."""

    z0: Float[Array, "height width channels"]
    start: Float[Array, "length dim"]
    constant: Float[Array, "length dim"]
    guidance: Float[Array, ""]


# What differs, in words, by field of `MadeWith`.
DIFFERS = {"z0": "reference", "start": "prompt or inversion", "constant": "prompt", "guidance": "guidance scale"}


def write_source(path: str | os.PathLike, source: Source, made_with: MadeWith) -> None:
    """Writes a safetensors file of float32 tensors, named as the fields of both."""
    fields = source._asdict() | made_with._asdict()
    write_tensors(path, held((name, np.asarray(value, np.float32)) for name, value in fields.items()))


def read_source(path: str | os.PathLike, made_with: MadeWith, steps: int) -> Source:
    """What `write_source` wrote.

    Raises:
      InputError: no file that it wrote, or one made with another number of steps, reference, prompt, guidance.
    """
    tensors = read_tensors(path, "embeddings file")
    names = (*Source._fields, *MadeWith._fields)
    if missing := [name for name in names if name not in tensors or tensors[name].dtype != np.float32]:
        raise InputError(f"embeddings file {path} holds no {missing[0]}: give one that save_embeddings wrote")
    values = {name: jnp.asarray(tensors[name].read()) for name in names}
    theirs = MadeWith(*(values.pop(name) for name in MadeWith._fields))
    source = Source(**values)
    if (given := source.embeddings.shape[:1]) != (steps,):
        raise InputError(f"embeddings file {path} is for {given[0] if given else 0} steps, and steps is {steps}")
    for name, there, here in zip(MadeWith._fields, theirs, made_with, strict=True):
        if there.shape != here.shape or not jnp.linalg.norm(there - here) <= SAME * jnp.linalg.norm(here):
            raise InputError(f"embeddings file {path} was made with another {DIFFERS[name]}")
    shapes = (steps + 1, *made_with.z0.shape), (steps, *made_with.start.shape)
    if (source.trajectory.shape, source.embeddings.shape) != shapes or source.seen.ndim != 2:
        raise InputError(f"embeddings file {path} is damaged: its tensors do not fit each other")
    return source
