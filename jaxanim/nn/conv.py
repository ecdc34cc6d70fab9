"""3x3 convolutions done in the cheapest of several equal ways; parameters are as in `flax.linen.Conv`.

Each function takes the place of `lax.conv_general_dilated` in `nn.Conv(..., conv_general_dilated=...)`.
"""

import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange
from jaxtyping import Array, Float

from jaxanim.backend import target_backend

Images = Float[Array, "batch height width channels"]
Kernel = Float[Array, "3 3 channels features"]

# Winograd's F(2x2, 3x3) in the form of Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks",
# arXiv 1509.09308, section 4.1: Y = A^T [(G g G^T) * (B^T d B)] A.
B_T = np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]])
G = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
A_T = np.array([[1, 1, 1, 0], [0, 1, -1, -1]])

FEW_ROWS, LARGE_KERNEL = 256, 2**18
MANY_ROWS, WIDE = 512, 240


def conv3x3(x: Images, kernel: Kernel, strides, padding, **options) -> Float[Array, "batch rows columns features"]:
    """3x3 convolution of stride 1 with one pixel of zeros around, as `lax.conv_general_dilated` computes it.

    XLA's CPU convolution is slow where a large kernel meets few pixels: one matrix product of gathered patches is
    faster. Winograd's form needs 2.25 times fewer products, which pays for wide layers (tests/bench/bench_conv.py).
    GPU and TPU choose for themselves, so elsewhere and in all other cases this is XLA's own.
    """
    rows, (wide, features) = x.shape[0] * x.shape[1] * x.shape[2], kernel.shape[2:]
    if target_backend() == "cpu" and x.dtype == kernel.dtype == jnp.float32:
        if rows <= FEW_ROWS and wide * features >= LARGE_KERNEL:
            return by_patches(x, kernel)
        even = x.shape[1] % 2 == x.shape[2] % 2 == 0
        if even and rows >= MANY_ROWS and wide * features / (wide + features) >= WIDE:
            return by_winograd(x, kernel)
    return jax.lax.conv_general_dilated(x, kernel, strides, padding, **options)


def doubled_conv3x3(
    x: Images, kernel: Kernel, strides, padding, **options
) -> Float[Array, "batch rows columns features"]:
    """`conv3x3` of x after nearest-neighbour doubling, without making the doubled image.

    Two of the three taps in each direction fall on the same pixel of x: every output of the four in a doubled pixel
    is a 2x2 convolution with summed taps, 16 products in place of 36.
    """
    kernel = kernel.astype(jnp.promote_types(kernel.dtype, jnp.float32))

    def phase(row: int, column: int):
        taps = _sum_taps(_sum_taps(kernel, row, 0), column, 1).astype(x.dtype)
        around = [(1 - row, row), (1 - column, column)]
        return jax.lax.conv_general_dilated(x, taps, (1, 1), around, **options)

    phases = jnp.stack([jnp.stack([phase(row, column) for column in (0, 1)], 3) for row in (0, 1)], 2)
    return rearrange(phases, "b h p w q c -> b (h p) (w q) c")


def _sum_taps(kernel: Array, phase: int, axis: int) -> Array:
    """The two taps along `axis` that the first (0) or second (1) pixel of a doubled one sees."""
    first, middle, last = jnp.split(kernel, 3, axis)
    pair = (first, middle + last) if phase == 0 else (first + middle, last)
    return jnp.concatenate(pair, axis)


def by_patches(x: Images, kernel: Kernel) -> Float[Array, "batch height width features"]:
    """The convolution as one matrix product of all 3x3 patches."""
    _, height, width, _ = x.shape
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    patches = [padded[:, i : i + height, j : j + width] for i in range(3) for j in range(3)]
    return jnp.concatenate(patches, -1) @ rearrange(kernel, "i j c features -> (i j c) features")


def by_winograd(x: Images, kernel: Kernel) -> Float[Array, "batch height width features"]:
    """The convolution by 16 products for each 2x2 outputs; height and width must be even."""
    _, height, width, _ = x.shape
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    tiles = [[padded[:, i : i + height - 1 : 2, j : j + width - 1 : 2] for j in range(4)] for i in range(4)]
    taps = [[kernel[i, j] for j in range(3)] for i in range(3)]
    tiles, taps = _both_sides(B_T, tiles), _both_sides(G, taps)
    # Sixteen products rather than one with a batch axis, which XLA's CPU compiler makes a slower program of.
    products = [[tiles[i][j] @ taps[i][j] for j in range(4)] for i in range(4)]
    out = jnp.stack([jnp.stack(row, 3) for row in _both_sides(A_T, products)], 2)
    return rearrange(out, "b h p w q c -> b (h p) (w q) c")


def _both_sides(matrix: np.ndarray, grid: list[list[Array]]) -> list[list[Array]]:
    """matrix @ grid @ matrix.T for a square grid of arrays, in sums and differences alone where 1 and -1 allow."""
    half = [[_combine(row, column) for column in zip(*grid, strict=True)] for row in matrix]
    return [[_combine(row, line) for row in matrix] for line in half]


def _combine(coefficients: np.ndarray, arrays) -> Array:
    pairs = [(float(c), array) for c, array in zip(coefficients, arrays, strict=True) if c]
    terms = [array if c == 1 else -array if c == -1 else c * array for c, array in pairs]
    return sum(terms[1:], start=terms[0])
