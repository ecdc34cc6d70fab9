"""Where the character is in each frame: M_{x_i} of the Mask-Guided Decoupling Module (Sec. 3.4)."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from tokenizers import Tokenizer

from jaxanim.errors import InputError


def subject_tokens(tokenizer: Tokenizer, prompt: str, subject: str) -> Float[np.ndarray, " length"]:
    """1 for the tokens of the prompt that belong to the subject's words, 0 for all others.

    Raises InputError where a word of `subject` is none of the prompt's, or was cut off with the prompt's end.
    """
    encoding = tokenizer.encode(prompt)
    words = np.zeros(len(encoding.ids), np.float32)
    for word in subject.lower().split():
        own = [i for i in tokenizer.encode(word).ids if i not in _special(tokenizer)]
        places = [
            k for k in range(len(encoding.ids) - len(own) + 1) if own and encoding.ids[k : k + len(own)] == own
        ]
        if not places:
            raise InputError(f"subject is {subject!r}: its word {word!r} is not in the prompt {prompt!r}")
        for k in places:
            words[k : k + len(own)] = 1
    if not words.any():
        raise InputError(f"subject is {subject!r}: name the words of the prompt for who moves")
    return words


def _special(tokenizer: Tokenizer) -> set[int]:
    return set(tokenizer.encode("").ids)


def subject_map(taken: Mapping[str, Any]) -> Float[Array, "batch frames height width"]:
    """The mean of the subject's cross-attention maps at the coarsest level where down and up blocks both attend,
    16x16 for Stable Diffusion at 512 pixels, where they follow objects best (Prompt-to-Prompt, Sec. 3).

    Args:
      taken: what a UNet hands out, with `jaxanim.systems.poseanimate.dcam.word_map` as its cross-attention.
    """
    maps: dict[str, list[Any]] = {"down": [], "up": []}
    for name, block in taken.items():
        part = name.split("_")[0]
        if part in maps:
            maps[part] += [layer["attn2"] for layer in block.values() if layer.get("attn2") is not None]
    sizes = {m.shape[-2:] for m in maps["down"]} & {m.shape[-2:] for m in maps["up"]}
    coarsest = min(sizes)
    chosen = [m for m in (*maps["down"], *maps["up"]) if m.shape[-2:] == coarsest]
    return sum(chosen) / len(chosen)


def character_masks(
    maps: Float[Array, "frames height width"], size: tuple[int, int], threshold: float
) -> Float[Array, "frames out_height out_width"]:
    """1 where a frame's map, brought to `size`, exceeds `threshold` of its own range, else 0."""
    large = jax.image.resize(maps, (len(maps), *size), "linear")
    low, high = (f(large, axis=(1, 2), keepdims=True) for f in (jnp.min, jnp.max))
    return ((large - low) > threshold * (high - low)).astype(jnp.float32)
