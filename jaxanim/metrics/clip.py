"""Image embeddings by CLIP, for CLIP-I and the consistency of frames."""

import os
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8

from jaxanim.models.clip_vision import CLIPVision, normalise
from jaxanim.weights import load_weights


class ClipImages:
    """CLIP's image encoder from a weights folder that holds it (`python -m jaxanim.convert` of a CLIP).

    Raises InputError for a folder without one.
    """

    def __init__(self, folder: str | os.PathLike, at_once: int = 8):
        config, params = load_weights(folder, networks=("image_encoder",))["image_encoder"]
        encode = partial(CLIPVision(config).apply, {"params": jax.tree.map(jnp.asarray, params)})
        self._run = jax.jit(lambda pixels: encode(normalise(pixels, config.image_size))[2])
        self._at_once = at_once

    def __call__(self, video: UInt8[np.ndarray, "frames height width 3"]) -> Float[np.ndarray, "frames length"]:
        """The embedding of every frame, in the space that CLIP shares with text."""
        parts = [video[k : k + self._at_once] for k in range(0, len(video), self._at_once)]
        return np.concatenate([np.asarray(self._run(jnp.asarray(part, jnp.float32) / 127.5 - 1)) for part in parts])
