"""Convolutions done in the cheapest of several equal ways; parameters are as in `flax.linen.Conv`.

Each function takes the place of `lax.conv_general_dilated` in `nn.Conv(..., conv_general_dilated=...)`.
"""

import jax
import jax.numpy as jnp
from einops import rearrange
from jaxtyping import Array, Float

from jaxanim.nn.matmul import matmul, on_cpu
from jaxanim.nn.winograd import Images, Kernel, doubled, winograd

# What pays on a CPU, by tests/bench/bench_conv.py. Rows are pixels of the result; width is the product of channels
# and features over their sum, the products done for each number moved. Narrower layers gain too, in gradients most,
# but a training step that is full of them takes twice as long to compile.
FEW_ROWS, LARGE_KERNEL = 256, 2**18
ROWS, WIDTH = {2: 512, 4: 4096}, {2: 120, 4: 200}


def conv1x1(x: Images, kernel: Float[Array, "1 1 channels features"], strides, padding, **options) -> Array:
    """1x1 convolution: one matrix product, which XLA's convolution on CPUs is slower than."""
    return matmul(x, kernel[0, 0], options.get("precision"))


def conv3x3(x: Images, kernel: Kernel, strides, padding, **options) -> Float[Array, "batch rows columns features"]:
    """3x3 convolution, as `lax.conv_general_dilated` computes it.

    XLA's CPU convolution is slow where a large kernel meets few pixels: one matrix product of gathered patches is
    faster. Winograd's forms need 2.25 or 4 times fewer products. GPU and TPU choose for themselves, so elsewhere
    and in all other cases this is XLA's own.
    """

    def plain(x, kernel):
        return jax.lax.conv_general_dilated(x, kernel, strides, padding, **options)

    if not on_cpu(x, kernel) or isinstance(padding, str):
        return plain(x, kernel)
    channels, features = kernel.shape[2:]
    shape = jax.eval_shape(plain, x, kernel).shape
    rows, width = shape[0] * shape[1] * shape[2], channels * features / (channels + features)
    if rows <= FEW_ROWS and channels * features >= LARGE_KERNEL:
        return by_patches(x, kernel, strides, padding)
    for outputs in (4, 2):
        same = shape[:3] == x.shape[:3] and list(padding) == [(1, 1), (1, 1)]
        whole = same and x.shape[1] % outputs == x.shape[2] % outputs == 0
        if whole and rows >= ROWS[outputs] and width >= WIDTH[outputs]:
            return winograd(x, kernel, outputs)
    return plain(x, kernel)


def conv_by_taps(
    x: Float[Array, "batch frames height width channels"],
    kernel: Float[Array, "taps side side channels features"],
    stride: int = 1,
) -> Float[Array, "batch later height width features"]:
    """Convolution over `taps` frames, `stride` apart and without padding, and over space with zeros around.

    On a CPU one convolution over space for each tap, for which there are quicker ways than XLA's.
    """
    taps, side = kernel.shape[:2]
    around = [(side // 2, side // 2)] * 2
    if not on_cpu(x, kernel):
        return jax.lax.conv_general_dilated(
            x, kernel, (stride, 1, 1), [(0, 0), *around], dimension_numbers=("NDHWC", "DHWIO", "NDHWC")
        )
    batch, frames = x.shape[0], x.shape[1] - taps + 1
    convolve = {1: conv1x1, 3: conv3x3}[side]
    plane = jax.lax.conv_dimension_numbers((1, 1, 1, 1), (1, 1, 1, 1), ("NHWC", "HWIO", "NHWC"))

    def tap(i: int) -> Array:
        images = rearrange(x[:, i : i + frames : stride], "b f h w c -> (b f) h w c")
        return convolve(images, kernel[i], (1, 1), around, dimension_numbers=plane)

    return rearrange(sum(map(tap, range(1, taps)), tap(0)), "(b f) h w c -> b f h w c", b=batch)


def doubled_conv3x3(
    x: Images, kernel: Kernel, strides, padding, **options
) -> Float[Array, "batch rows columns features"]:
    """`conv3x3` of x after nearest-neighbour doubling, without making the doubled image.

    Two of the three taps in each direction fall on the same pixel of x: every output of the four in a doubled pixel
    is a 2x2 convolution with summed taps, 16 products in place of 36; on a CPU 9 matrix products do.
    """
    if on_cpu(x, kernel):
        return doubled(x, kernel)
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


def partly_shared(convolve, own: int, blocks: int):
    """`convolve` for x whose batch is several blocks of rows, one after the other, that agree from channel `own`
    on.

    A convolution is a sum over channels, so those are convolved once for all blocks.
    """

    def convolve_in_parts(x: Images, kernel: Array, *args, **options) -> Array:
        if own >= x.shape[-1]:
            return convolve(x, kernel, *args, **options)
        common = convolve(x[: len(x) // blocks, ..., own:], kernel[..., own:, :], *args, **options)
        return convolve(x[..., :own], kernel[..., :own, :], *args, **options) + jnp.tile(common, (blocks, 1, 1, 1))

    return convolve_in_parts


def by_patches(
    x: Images, kernel: Kernel, strides=(1, 1), padding=((1, 1), (1, 1))
) -> Float[Array, "batch rows columns features"]:
    """The convolution as one matrix product of all 3x3 patches."""
    down, right = strides
    padded = jnp.pad(x, ((0, 0), *padding, (0, 0)))
    rows, columns = padded.shape[1] - 2, padded.shape[2] - 2
    patches = [padded[:, i : i + rows : down, j : j + columns : right] for i in range(3) for j in range(3)]
    return jnp.concatenate(patches, -1) @ rearrange(kernel, "i j c features -> (i j c) features")
