"""Large frames through Wan's autoencoder in tiles, exactly: no seam, for nothing differs from the whole.

A tile is cut out with as much margin as the convolutions reach, and the margin is thrown away; the norms see one
pixel each. Attention in the middle sees the whole frame, so the layers around it run untiled, at resolutions that
need little memory: the decoder's for every tile anew, piece by piece; the encoder's after all tiles, whose features
are kept meanwhile. Each tile goes through the whole video by itself.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from jaxanim.models.vae_tiles import Grid, make_grid
from jaxanim.models.wan.vae import WanVAE, encoder_cut
from jaxanim.models.wan.vae_config import WanVAEConfig

ByPieces = Callable[[Callable, Float[Array, "batch n *rest"]], PyTree]
"""(fn, video) -> results of `fn` (piece, past) -> (array, kept) in a row."""


def decode_in_tiles(
    params: dict,
    config: WanVAEConfig,
    latents: Float[Array, "batch latents h w latent"],
    tile: int,
    by_pieces: ByPieces,
) -> Float[Array, "batch frames height width in"]:
    """Pixels of latents with the posterior's own mean and spread, in tiles of about `tile` pixels a side."""
    vae, ups = WanVAE(config), len(config.temporal_downsample)
    doubled = min(ups, 1)  # by the first block, which is before the cut
    scale = config.patch_size * 2 ** (ups - doubled)
    reach = 1  # of conv_out; then, backwards, two convolutions in each residual block and one after each doubling
    for i in reversed(range(1, len(config.dim_mult))):
        if i < ups:
            reach = -(-(reach + 1) // 2)
        reach += 2 * (config.num_res_blocks + 1)
    sides = tuple(side * 2**doubled for side in latents.shape[2:4])
    grid = make_grid(sides, max(1, tile // scale), reach)

    def of_tile(start: Array, window: Array) -> Array:
        def fn(piece: Array, past: tuple = (None, None)) -> tuple:
            x, head = vae.apply({"params": params}, piece, past[0], method="decode_head")
            part = _cut(x, window, grid.window)
            y, tail = vae.apply({"params": params}, part, past[1], method="decode_tail")
            return _cut(y, (start - window) * scale, [side * scale for side in grid.size]), (head, tail)

        return by_pieces(fn, latents)

    return _paint(of_tile, grid, scale, sides)


def encode_in_tiles(
    params: dict,
    config: WanVAEConfig,
    pixels: Float[Array, "batch frames height width in"],
    tile: int,
    by_pieces: ByPieces,
) -> Float[Array, "batch f y x channels"]:
    """What the encoder's first part makes of pixels, in tiles of about `tile` pixels a side, for `encode_tail`."""
    vae, cut = WanVAE(config), encoder_cut(config)
    scale = config.patch_size * 2**cut
    reach = 0
    for _ in range(cut):
        reach = 2 * reach + 2 + 2 * config.num_res_blocks
    sides = tuple(side // scale for side in pixels.shape[2:4])
    grid = make_grid(sides, max(1, tile // scale), -(-(reach + 1) // 2**cut))

    def of_tile(start: Array, window: Array) -> Array:
        def fn(piece: Array, past: PyTree = None) -> tuple:
            part = _cut(piece, window * scale, [side * scale for side in grid.window])
            y, kept = vae.apply({"params": params}, part, past, method="encode_head")
            return _cut(y, start - window, grid.size), kept

        return by_pieces(fn, pixels)

    return _paint(of_tile, grid, 1, sides)


def _paint(of_tile: Callable, grid: Grid, scale: int, sides: tuple[int, int]) -> Array:
    """The tiles side by side; the last ones overlap those before, with the same values."""
    places = jnp.asarray(grid.starts), jnp.asarray(grid.windows)
    one = jax.eval_shape(of_tile, *(jax.ShapeDtypeStruct((2,), jnp.int32) for _ in places))
    canvas = jnp.zeros((*one.shape[:2], *(side * scale for side in sides), one.shape[-1]), one.dtype)

    def step(canvas: Array, place: tuple) -> tuple:
        start, window = place
        return jax.lax.dynamic_update_slice(canvas, of_tile(start, window), (0, 0, *(start * scale), 0)), None

    return jax.lax.scan(step, canvas, places)[0]


def _cut(x: Float[Array, "batch frames h w c"], at: Array, size: Sequence[int]) -> Float[Array, "b f y x c"]:
    return jax.lax.dynamic_slice(x, (0, 0, *at, 0), (*x.shape[:2], *size, x.shape[-1]))
