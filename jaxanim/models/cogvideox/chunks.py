"""CogVideoX's autoencoder over a whole video: chunk after chunk in the memory of one, and tile by tile.

A chunk is 8 frames or 2 latent frames; what is left over joins the first (9 frames, 3 latents). Normalisation
looks at one chunk, so another division gives another result: this is the released one.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange
from jaxtyping import Array, Float, Key

from jaxanim.errors import InputError
from jaxanim.models.cogvideox.causal import Past
from jaxanim.models.cogvideox.vae import CogVideoXVAE, CogVideoXVAEConfig
from jaxanim.models.vae import LOGVAR_RANGE, sample_posterior

FRAMES, LATENTS = 8, 2
Run = Callable[[Array, Past | None], tuple[Array, Past]]


class Tiles(NamedTuple):
    """Overlapping tiles, whose overlaps are blended linearly; the result differs a little from that of the whole.

    Attributes:
      height, width: of a tile, in pixels.
      overlap_height, overlap_width: parts of a tile that it shares with the next.
    """

    height: int = 240
    width: int = 360
    overlap_height: float = 1 / 6
    overlap_width: float = 1 / 5


def encode(
    params: dict, config: CogVideoXVAEConfig, video: Float[Array, "b f height width in"], tiles: Tiles | None = None
) -> tuple[Float[Array, "b lf h w latent"], Float[Array, "b lf h w latent"]]:
    """Mean and log-variance (clamped to [-30, 20]) of the posterior of pixels in [-1, 1].

    4 n + 1 frames become n + 1 latent frames. Raises InputError where height or width is no multiple of
    `config.downscale`.
    """
    height, width = video.shape[2:4]
    if height % config.downscale or width % config.downscale:
        raise InputError(
            f"video is {width}x{height} (width x height): both must be multiples of {config.downscale}, the number "
            "of pixels along a latent's side"
        )

    def run(x: Array, past: Past | None) -> tuple[Array, Past]:
        return CogVideoXVAE(config).apply({"params": params}, x, past, method="encode_chunk")

    def whole(x: Array) -> Array:
        return _in_chunks(run, x, FRAMES)

    if tiles is None or (height <= tiles.height and width <= tiles.width):
        moments = whole(video)
    else:
        moments = _in_tiles(whole, video, tiles, 1, config.downscale)
    mean, logvar = jnp.split(moments, 2, axis=-1)
    return mean, jnp.clip(logvar, *LOGVAR_RANGE)


def decode(
    params: dict, config: CogVideoXVAEConfig, latents: Float[Array, "b lf h w latent"], tiles: Tiles | None = None
) -> Float[Array, "b f height width out"]:
    """Pixels, about [-1, 1] but not clipped, of latents as `encode` gives them: n latent frames become 4 n - 3
    frames if n is odd, and 4 n if it is even."""

    def run(z: Array, past: Past | None) -> tuple[Array, Past]:
        return CogVideoXVAE(config).apply({"params": params}, z, past, method="decode_chunk")

    def whole(z: Array) -> Array:
        return _in_chunks(run, z, LATENTS)

    height, width = (n * config.downscale for n in latents.shape[2:4])
    if tiles is None or (height <= tiles.height and width <= tiles.width):
        return whole(latents)
    return _in_tiles(whole, latents, tiles, config.downscale, 1)


@partial(jax.jit, static_argnames=("config", "tiles"))
def to_latents(
    params: dict,
    config: CogVideoXVAEConfig,
    video: Float[Array, "b f height width in"],
    *,
    key: Key[Array, ""] | None = None,
    tiles: Tiles | None = None,
) -> Float[Array, "b lf h w latent"]:
    """Latents of pixels in [-1, 1] for the transformer: the posterior's mean, or a draw from it where `key` is
    given, times `scaling_factor`."""
    mean, logvar = encode(params, config, video, tiles)
    return (mean if key is None else sample_posterior(key, mean, logvar)) * config.scaling_factor


@partial(jax.jit, static_argnames=("config", "tiles"))
def to_pixels(
    params: dict,
    config: CogVideoXVAEConfig,
    latents: Float[Array, "b lf h w latent"],
    *,
    tiles: Tiles | None = None,
) -> Float[Array, "b f height width out"]:
    """Pixels (about [-1, 1], not clipped) of the transformer's latents."""
    return decode(params, config, latents / config.scaling_factor, tiles)


def _in_chunks(run: Run, x: Float[Array, "b f ..."], size: int) -> Float[Array, "b g ..."]:
    """`run` on the first chunk, then on all others in a scan that carries the past."""
    chunks = max(x.shape[1] // size, 1)
    first = x.shape[1] - (chunks - 1) * size
    out, past = run(x[:, :first], None)
    if chunks == 1:
        return out
    rest = rearrange(x[:, first:], "b (n f) ... -> n b f ...", f=size)

    def step(past: Past, chunk: Array) -> tuple[Past, Array]:
        y, past = run(chunk, past)
        return past, y

    _, others = jax.lax.scan(step, past, rest)
    return jnp.concatenate([out, rearrange(others, "n b f ... -> b (n f) ...")], axis=1)


def _in_tiles(whole: Callable, x: Array, tiles: Tiles, up: int, down: int) -> Array:
    """`whole` on tiles of x, blended. The result has `up` times, or a `down`-th of, x's height and width."""
    parts = (tiles.overlap_height, tiles.overlap_width)
    # In the terms of x and of the result: one of them is in pixels, the other in latent cells.
    sizes = [n // up for n in (tiles.height, tiles.width)]
    out_sizes = [n // down for n in (tiles.height, tiles.width)]
    steps = [int(n * (1 - part)) for n, part in zip(sizes, parts, strict=True)]
    blends = [int(n * part) for n, part in zip(out_sizes, parts, strict=True)]
    for name, step in zip(("height", "width"), steps, strict=True):
        if step < 1:
            raise InputError(f"tiles have a {name} that leaves nothing beside the overlap; give larger tiles")
    rows = []
    for i in range(0, x.shape[2], steps[0]):
        rows.append([])
        for j in range(0, x.shape[3], steps[1]):
            rows[i // steps[0]].append(whole(x[:, :, i : i + sizes[0], j : j + sizes[1]]))
    return _blended(rows, blends, [n - blend for n, blend in zip(out_sizes, blends, strict=True)])


def _blended(rows: Sequence[Sequence[Array]], blends: Sequence[int], keep: Sequence[int]) -> Array:
    """Each tile faded in over the end of the one above and of the one on its left, of which `keep` pixels count.

    A tile fades from its neighbours as they were faded themselves.
    """
    done: list[list[Array]] = []
    for i, row in enumerate(rows):
        done.append([])
        for j, tile in enumerate(row):
            if i > 0:
                tile = _fade(done[i - 1][j], tile, blends[0], 2)
            if j > 0:
                tile = _fade(done[i][j - 1], tile, blends[1], 3)
            done[i].append(tile)
    return jnp.concatenate(
        [jnp.concatenate([tile[:, :, : keep[0], : keep[1]] for tile in row], axis=3) for row in done], axis=2
    )


def _fade(before: Array, tile: Array, extent: int, axis: int) -> Array:
    extent = min(extent, before.shape[axis], tile.shape[axis])
    if not extent:
        return tile
    weight = np.arange(extent, dtype=np.float32) / extent
    weight = weight.reshape(-1, *[1] * (tile.ndim - axis - 1))
    start, rest = jnp.split(tile, [extent], axis)
    end = jax.lax.slice_in_dim(before, before.shape[axis] - extent, before.shape[axis], axis=axis)
    return jnp.concatenate([end * (1 - weight) + start * weight, rest], axis)
