"""3x3 convolutions with fewer products, by Winograd's minimal filtering (Lavin and Gray, "Fast Algorithms for
Convolutional Neural Networks", arXiv 1509.09308, section 4.1): Y = A^T [(G g G^T) * (B^T d B)] A for a tile d."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange
from jaxtyping import Array, Float

from jaxanim.nn.matmul import matmul

Images = Float[Array, "batch height width channels"]
Kernel = Float[Array, "3 3 channels features"]
# Arrays of one shape by row and column.
Grid = list[list[Array]]

# Where F(2, 3) and F(4, 3) evaluate their polynomials, beside infinity. These points for four outputs round less
# coarsely than the usual 0, +-1, +-2; tests/bench/bench_conv.py prints how far results are from XLA's.
POINTS = {2: (0.0, 1.0, -1.0), 4: (0.0, 0.75, -0.75, 1.5, -1.5)}


# (B^T, G, A^T)
Matrices = tuple[np.ndarray, np.ndarray, np.ndarray]

# Of a picture with every pixel doubled, both outputs along one direction from pixels a, b, c and taps u, v, w:
# u (a - b) + (u + v + w) b and (u + v + w) b + w (c - b), three products in place of six.
DOUBLED: Matrices = (
    np.array([[1, -1, 0], [0, 1, 0], [0, -1, 1]]),
    np.array([[1, 0, 0], [1, 1, 1], [0, 0, 1]]),
    np.array([[1, 1, 0], [0, 1, 1]]),
)


@functools.cache
def cook_toom(outputs: int) -> Matrices:
    """(B^T [n, n], G [n, 3], A^T [outputs, n]) of F(outputs, 3), n = outputs + 2, by the construction of Toom and
    Cook: filter and data are polynomials, multiplied by their values at n - 1 points and at infinity."""
    points = np.array(POINTS[outputs])
    n = len(points) + 1
    b_t, g, a_t = np.zeros((n, n)), np.zeros((n, 3)), np.zeros((outputs, n))
    for i, point in enumerate(points):
        others = np.delete(points, i)
        b_t[i, :-1] = np.poly(others)[::-1]
        g[i] = point ** np.arange(3) / np.prod(point - others)
        a_t[:, i] = point ** np.arange(outputs)
    b_t[-1], g[-1, -1], a_t[-1, -1] = np.poly(points)[::-1], 1, 1
    return b_t, g, a_t


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def winograd(x: Images, kernel: Kernel, outputs: int) -> Float[Array, "batch height width features"]:
    """3x3 convolution with one pixel of zeros around, `outputs` x `outputs` pixels at a time: 2 takes 4 products
    for each pixel and 4 takes 2.25, where the plain way takes 9.

    Height and width must be multiples of `outputs`. 4 rounds about four times as coarsely as 2.
    """
    return _filtered(x, kernel, cook_toom(outputs), outputs)


def doubled(x: Images, kernel: Kernel) -> Float[Array, "batch rows columns features"]:
    """The same convolution of x after nearest-neighbour doubling: 9 products for each pixel of x in place of 36."""
    return _filtered(x, kernel, DOUBLED, 1)


def _filtered(x: Images, kernel: Kernel, matrices: Matrices, step: int) -> Array:
    """Y of all tiles, which lie `step` pixels of x apart, put together."""
    b_t, g, a_t = matrices
    tiles, taps = _tiles(x, b_t, step), _both_sides(g, [[kernel[i, j] for j in range(3)] for i in range(3)])
    # Single products rather than one with a batch axis, which XLA's CPU compiler makes a slower program of.
    products = [[matmul(d, k) for d, k in zip(*rows, strict=True)] for rows in zip(tiles, taps, strict=True)]
    out = jnp.stack([jnp.stack(row, 3) for row in _both_sides(a_t, products)], 2)
    return rearrange(out, "b h p w q c -> b (h p) (w q) c")


def _forward(x: Images, kernel: Kernel, outputs: int):
    return winograd(x, kernel, outputs), (x, kernel)


def _backward(outputs: int, saved: tuple[Images, Kernel], slope: Array):
    """The gradients, by the same transforms: autodiff would spread every tile over a picture of zeros."""
    x, kernel = saved
    b_t, g, a_t = cook_toom(outputs)
    slopes = [[slope[:, p::outputs, q::outputs] for q in range(outputs)] for p in range(outputs)]
    pairs = zip(_tiles(x, b_t, outputs), _both_sides(a_t.T, slopes), strict=True)
    products = [[jnp.tensordot(d, s, axes=[(0, 1, 2)] * 2) for d, s in zip(*rows, strict=True)] for rows in pairs]
    taps = jnp.stack([jnp.stack(row) for row in _both_sides(g.T, products)])
    return winograd(slope, kernel[::-1, ::-1].swapaxes(2, 3), outputs), taps


winograd.defvjp(_forward, _backward)


def _tiles(x: Images, b_t: np.ndarray, step: int) -> Grid:
    """B^T d B of all tiles: an array [batch, tile rows, tile columns, channels] for each place in a tile."""
    _, height, width, _ = x.shape
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))

    def place(i: int, j: int) -> Array:
        return padded[:, i : i + height - step + 1 : step, j : j + width - step + 1 : step]

    return _both_sides(b_t, [[place(i, j) for j in range(len(b_t))] for i in range(len(b_t))])


def _both_sides(matrix: np.ndarray, grid: Grid) -> Grid:
    """matrix @ grid @ matrix.T for a square grid of arrays, in sums and differences alone where 1 and -1 allow."""
    half = [[_combine(row, column) for column in zip(*grid, strict=True)] for row in matrix]
    return [[_combine(row, line) for row in matrix] for line in half]


def _combine(coefficients: np.ndarray, arrays) -> Array:
    pairs = [(float(c), array) for c, array in zip(coefficients, arrays, strict=True) if c]
    terms = [array if c == 1 else -array if c == -1 else c * array for c, array in pairs]
    return sum(terms[1:], start=terms[0])
