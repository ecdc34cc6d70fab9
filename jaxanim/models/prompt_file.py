"""Embeddings of prompts in a file, so that a text encoder of billions of parameters is never in memory beside the
network that it serves: a safetensors file with one tensor [tokens, channels] for each prompt, under the prompt."""

import os
from collections.abc import Iterable, Mapping

import ml_dtypes
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float

from jaxanim.errors import InputError
from jaxanim.tensor_file import held, read_tensors, write_tensors


def save_prompts(
    path: str | os.PathLike, embeddings: Mapping[str, Float[ArrayLike, "tokens channels"]], dtype=ml_dtypes.bfloat16
) -> None:
    """Writes embeddings by prompt; zeros at the end, which padding is for Wan, take no room."""
    arrays = []
    for prompt, embedding in embeddings.items():
        embedding = np.asarray(embedding)
        used = np.flatnonzero(np.any(embedding != 0, axis=1))
        arrays.append((prompt, embedding[: used[-1] + 1 if len(used) else 1].astype(dtype)))
    write_tensors(path, held(arrays))


def load_prompts(
    path: str | os.PathLike, prompts: Iterable[str], length: int
) -> Float[np.ndarray, "prompts length channels"]:
    """Embeddings of `prompts` with `length` tokens, float32, filled up with zeros.

    Raises InputError for a prompt that the file does not hold, or one that has more tokens there.
    """
    tensors = read_tensors(path)
    rows = []
    for prompt in prompts:
        if prompt not in tensors:
            raise InputError(f"{path} holds no embedding of the prompt {prompt!r}; it holds {len(tensors)} others")
        row = tensors[prompt].read().astype(np.float32)
        if len(row) > length:
            raise InputError(f"{path} holds {prompt!r} with {len(row)} tokens; this model takes {length}")
        rows.append(np.pad(row, ((0, length - len(row)), (0, 0))))
    return np.stack(rows)
