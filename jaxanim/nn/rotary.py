"""Rotary position embedding (Su et al. 2021, Sec. 3.2) along several axes: each has some of a head's channels."""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxanim.errors import InputError


class Rotary(NamedTuple):
    """Cosine and sine of the angle by which each pair of channels is turned at each token."""

    cos: Float[Array | np.ndarray, "tokens pairs"]
    sin: Float[Array | np.ndarray, "tokens pairs"]


def rotary(grid: Sequence[int], channels: Sequence[int], theta: float = 10_000.0) -> Rotary:
    """The table of a grid of tokens, the last axis running fastest, in float32 from angles in float64.

    Args:
      grid: number of positions along each axis, such as (frames, height, width).
      channels: how many of a head's channels, in this order, turn with each axis; pair i of an axis with c channels
        turns by theta^(-2 i / c) a position.

    Raises InputError for odd numbers of channels.
    """
    if any(c % 2 for c in channels):
        raise InputError(f"channels are {tuple(channels)}: each axis needs an even number of them")
    places = np.meshgrid(*(np.arange(n, dtype=np.float64) for n in grid), indexing="ij")
    angles = np.concatenate(
        [
            place.reshape(-1, 1) * theta ** (-np.arange(0, c, 2, dtype=np.float64) / c)
            for place, c in zip(places, channels, strict=True)
        ],
        axis=1,
    )
    return Rotary(np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32))


def rotate(
    x: Float[Array, "batch tokens heads head_dim"], table: Rotary, first: int = 0
) -> Float[Array, "batch tokens heads head_dim"]:
    """Neighbouring channels (2i, 2i + 1) of each token turned as the plane's points, in float32.

    The first `first` tokens, which have no position (text), stay as they are.
    """
    kept, x_ = x[:, :first], x[:, first:].astype(jnp.float32)
    cos, sin = (part[None, :, None] for part in table)
    a, b = x_[..., 0::2], x_[..., 1::2]
    turned = jnp.stack([a * cos - b * sin, a * sin + b * cos], axis=-1).reshape(x_.shape).astype(x.dtype)
    return jnp.concatenate([kept, turned], axis=1) if first else turned
