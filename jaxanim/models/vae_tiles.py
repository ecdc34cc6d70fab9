"""Decoding large pictures in tiles, exactly: no seam, for nothing differs from decoding the whole.

A tile differs from the same place of the whole picture in three ways, and each is removed. Convolutions reach over
its edge: a tile is cut out with as much margin as they reach, and the margin is thrown away. The mid block's
attention sees the whole picture: it and the low resolutions, which need little memory, run untiled. GroupNorm takes
its mean and variance over the whole picture: these come first, one normalisation after another, each from a pass
over all tiles in which the earlier ones are known already. So the decoder's tail, the last two resolutions, is
computed several times over: about five times the work of decoding the whole, in a fraction of its memory.
"""

import itertools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxanim.nn.norm import group_mean

Path = tuple[str, ...]


class Grid(NamedTuple):
    """Tiles of a feature map of `shape` (rows, columns), all of one size, the last ones overlapping the last
    but one.

    `starts` [tiles, 2] are their first rows and columns, `own` [tiles, 2] the first that no earlier tile has;
    `windows` [tiles, 2] are where the cut-outs of size `window`, tile and margin, start.
    """

    size: tuple[int, int]
    window: tuple[int, int]
    starts: np.ndarray
    own: np.ndarray
    windows: np.ndarray


def make_grid(shape: tuple[int, int], most: int, margin: int) -> Grid:
    """The fewest tiles of at most `most` rows and columns; margins end at the map's border."""
    sides = []
    for length in shape:
        size = -(-length // -(-length // most))
        window = min(size + 2 * margin, length)
        own = np.arange(0, length, size)
        starts = np.minimum(own, length - size)
        sides.append((size, window, starts, own, np.clip(starts - margin, 0, length - window)))
    size, window, *places = zip(*sides, strict=True)
    return Grid(size, window, *(np.array(list(itertools.product(*pair)), np.int32) for pair in places))


def run_in_tiles(
    tail: Callable[[dict, Float[Array, "1 1 h w c"]], tuple[Float[Array, "1 1 y x out"], dict]],
    x: Float[Array, "1 1 height width c"],
    norms: list[Path],
    groups: int,
    *,
    most: int,
    margin: int,
) -> Float[Array, "1 1 rows columns out"]:
    """`tail(statistics, x)[0]` of the whole map, computed in tiles of at most `most` cells a side.

    Args:
      tail: layers that are local but for their GroupNorms. It returns its output and every norm's input by
        path; `statistics` gives norms their mean and variance.
      norms: paths of the norms, in the order in which they run; `groups` is how many groups they have.
      margin: how many cells of x the layers reach to each side.
    """
    grid = make_grid(x.shape[2:4], most, margin)
    known: dict[Path, tuple[Array, Array]] = {}

    def cut(tile):
        start, own, window = tile
        part = jax.lax.dynamic_slice(x, (0, 0, *window, 0), (1, 1, *grid.window, x.shape[-1]))
        return part, start - window, own - start

    def inside(h, part, offset):
        scale = h.shape[2] // part.shape[2]
        sizes = tuple(side * scale for side in grid.size)
        return jax.lax.dynamic_slice(h, (0, 0, *(offset * scale), 0), (1, 1, *sizes, h.shape[-1])), scale

    def moments(path):
        def of_tile(tile):
            part, offset, skip = cut(tile)
            h, scale = inside(tail(known, part)[1][path], part, offset)
            h = h[0, 0].astype(jnp.float32)
            rows, columns = (jnp.arange(n) >= s * scale for n, s in zip(h.shape[:2], skip, strict=True))
            counted = (rows[:, None] & columns[None])[..., None]
            count = jnp.sum(counted, dtype=jnp.float32)
            mean = jnp.sum(jnp.where(counted, h, 0), (0, 1)) / count
            return count, mean, jnp.sum(jnp.where(counted, jnp.square(h - mean), 0), (0, 1))

        return pool(*jax.lax.map(of_tile, grid[2:]), groups)

    for path in norms:
        known[path] = moments(path)

    def paint(canvas, tile):
        part, offset, _ = cut(tile)
        out, scale = inside(tail(known, part)[0], part, offset)
        return jax.lax.dynamic_update_slice(canvas, out, (0, 0, *(tile[0] * scale), 0)), None

    part = jax.eval_shape(lambda: cut(tuple(jnp.asarray(a[0]) for a in grid[2:]))[0])
    shape = jax.eval_shape(lambda p: tail(known, p)[0], part)
    scale = shape.shape[2] // part.shape[2]
    canvas = jnp.zeros((1, 1, x.shape[2] * scale, x.shape[3] * scale, shape.shape[-1]), shape.dtype)
    return jax.lax.scan(paint, canvas, grid[2:])[0]


def pool(
    count: Float[Array, " tiles"],
    mean: Float[Array, "tiles channels"],
    squares: Float[Array, "tiles channels"],
    groups: int,
) -> tuple[Float[Array, "1 channels"], Float[Array, "1 channels"]]:
    """GroupNorm's mean and variance of the whole from every tile's count, mean and sum of squared deviations
    (Chan, Golub and LeVeque 1979, Eq. 2.1, for any number of parts)."""
    share = (count / count.sum())[:, None]
    total = jnp.sum(share * mean, 0, keepdims=True)
    group = group_mean(total, groups)
    spread = jnp.sum(squares, 0, keepdims=True) / count.sum() + jnp.sum(share * jnp.square(mean - total), 0)
    return group, group_mean(spread + jnp.square(total - group), groups)
