"""Whole videos through Wan's autoencoder, in memory that does not grow with their length."""

from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

from jaxanim.errors import InputError
from jaxanim.models.vae import sample_posterior
from jaxanim.models.wan.tiles import decode_in_tiles, encode_in_tiles
from jaxanim.models.wan.vae import WanVAE, encoder_cut
from jaxanim.models.wan.vae_config import WanVAEConfig


@partial(jax.jit, static_argnames=("config", "frames_at_once", "tile"))
def to_latents(
    params: dict,
    config: WanVAEConfig,
    pixels: Float[Array, "batch frames height width in"],
    *,
    key: Key[Array, ""] | None = None,
    frames_at_once: int | None = 4,
    tile: int | None = None,
) -> Float[Array, "batch latents h w latent"]:
    """Latents of unit variance of pixels in [-1, 1]: of the posterior's mean, or of a draw where `key` is given.

    After the first frame `frames_at_once` frames are encoded together (as many whole latents as that holds, one
    at least); None takes the whole video at once, which is quicker to differentiate, as one is taken that has no
    more. With `tile` frames are encoded in tiles of about so many pixels a side, with the same result
    (`jaxanim.models.wan.tiles`).

    Raises InputError where the number of frames is not 4n + 1 (1 more than a multiple of `frames_per_latent`), or
    height or width no multiple of `downscale`.
    """
    frames, height, width = pixels.shape[1:4]
    check_frames(frames, config)
    if height % config.downscale or width % config.downscale:
        raise InputError(
            f"pixels are {width}x{height} (width x height): both must be multiples of {config.downscale}, the "
            "number of pixels along a latent's side"
        )
    mean_of, std_of = jnp.asarray(config.latents_mean), jnp.asarray(config.latents_std)

    every, at_once = config.frames_per_latent, _latents_at_once(config, frames_at_once)
    method = "encode"
    if _has_tiles(tile, pixels.shape[2:4]):
        head_every = 2 ** sum(config.temporal_downsample[: encoder_cut(config)])
        tail_every = every // head_every
        pixels = encode_in_tiles(
            params, config, pixels, tile, lambda fn, x: _by_pieces(fn, x, every, tail_every, at_once)
        )
        every, method = tail_every, "encode_tail"

    def encode(piece: Array, past: PyTree = None) -> tuple:
        (mean, logvar), kept = WanVAE(config).apply({"params": params}, piece, past, method=method)
        mean = (mean - mean_of) / std_of
        return (mean if key is None else (mean, logvar - 2 * jnp.log(std_of))), kept

    latents = _by_pieces(encode, pixels, every, 1, at_once)
    return latents if key is None else sample_posterior(key, *latents)


@partial(jax.jit, static_argnames=("config", "frames_at_once", "tile"))
def to_pixels(
    params: dict,
    config: WanVAEConfig,
    latents: Float[Array, "batch latents h w latent"],
    *,
    frames_at_once: int | None = 4,
    tile: int | None = None,
) -> Float[Array, "batch frames height width in"]:
    """Pixels in [-1, 1] of latents of unit variance; `frames_at_once` and `tile` are as in `to_latents`."""
    mean_of, std_of = jnp.asarray(config.latents_mean), jnp.asarray(config.latents_std)
    every, at_once = config.frames_per_latent, _latents_at_once(config, frames_at_once)
    if _has_tiles(tile, [side * config.downscale for side in latents.shape[2:4]]):
        return decode_in_tiles(
            params, config, latents * std_of + mean_of, tile, lambda fn, z: _by_pieces(fn, z, 1, every, at_once)
        )

    def decode(piece: Array, past: PyTree = None) -> tuple:
        return WanVAE(config).apply({"params": params}, piece * std_of + mean_of, past, method="decode")

    return _by_pieces(decode, latents, 1, every, at_once)


def _has_tiles(tile: int | None, sides: Sequence[int]) -> bool:
    if tile is not None and tile < 1:
        raise InputError(f"tile is {tile}: give the side of a tile in pixels, or None to take frames whole")
    return tile is not None and max(sides) > tile


def check_frames(frames: int, config: WanVAEConfig) -> None:
    """Raises InputError unless the frames are the first and whole latents after it."""
    every = config.frames_per_latent
    if (frames - 1) % every:
        fewer = frames - (frames - 1) % every
        raise InputError(
            f"the video has {frames} frames; Wan takes {every}n + 1, so {fewer} of them would be taken (or give "
            f"{fewer + every})"
        )


def _latents_at_once(config: WanVAEConfig, frames_at_once: int | None) -> int | None:
    if frames_at_once is not None and frames_at_once < 1:
        raise InputError(f"frames_at_once is {frames_at_once}: give a number of frames, 1 or more, or None for all")
    return None if frames_at_once is None else max(1, frames_at_once // config.frames_per_latent)


def _by_pieces(
    fn: Callable, video: Float[Array, "batch n *rest"], every: int, out_every: int, at_once: int | None
) -> PyTree:
    """fn (piece, past) -> (arrays, kept) over a video, results in a row.

    A latent is `every` frames of `video` and `out_every` of the result; the first is one frame of each. Pieces are
    cut out of the video, and written into the result, in place: no other array grows with the number of frames.
    """
    groups = (video.shape[1] - 1) // every
    if at_once is None or groups <= at_once:
        return fn(video)[0]
    size = max(n for n in range(1, at_once + 1) if groups % n == 0)
    first, kept = fn(video[:, :1])
    length = 1 + groups * out_every
    out = jax.tree.map(lambda y: jnp.zeros((y.shape[0], length, *y.shape[2:]), y.dtype).at[:, :1].set(y), first)

    def step(state: tuple, i: jax.Array) -> tuple:
        out, kept = state
        piece = jax.lax.dynamic_slice_in_dim(video, 1 + i * size * every, size * every, axis=1)
        y, kept = fn(piece, kept)
        at = 1 + i * size * out_every
        out = jax.tree.map(lambda whole, part: jax.lax.dynamic_update_slice_in_dim(whole, part, at, 1), out, y)
        return (out, kept), None

    return jax.lax.scan(step, (out, kept), jnp.arange(groups // size))[0][0]
