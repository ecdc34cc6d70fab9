"""PSNR, SSIM and L1 of images, computed in float64 on the host.

Pixels are uint8, or float in [-1, 1]; both are brought to [0, 255] first, so the two may be mixed.
"""

import numpy as np
from jaxtyping import Bool, Float64, Num, Shaped

PEAK = 255.0


def levels(pixels: Num[np.ndarray, "*shape"]) -> Float64[np.ndarray, "*shape"]:
    """uint8 pixels, or float pixels in [-1, 1], as float64 levels in [0, 255].

    Raises:
      ValueError: for any other integer type, whose range would be a guess.
    """
    pixels = np.asarray(pixels)
    if pixels.dtype == np.uint8:
        return pixels.astype(np.float64)
    if not np.issubdtype(pixels.dtype, np.floating):
        raise ValueError(f"pixels have dtype {pixels.dtype}; they should be uint8, or float in [-1, 1]")
    return (pixels.astype(np.float64) + 1) * (PEAK / 2)


def psnr(
    result: Num[np.ndarray, "*frames height width channels"],
    truth: Num[np.ndarray, "*frames height width channels"],
    mask: Shaped[np.ndarray, "*frames height width"] | None = None,
) -> Float64[np.ndarray, "*frames"]:
    """Peak signal-to-noise ratio of each image in dB: 10 log10(255^2 / mean squared error).

    Args:
      mask: where given, the error is the mean over the pixels it marks (any value above 0.5, or above 127 in
        uint8); an image with no marked pixel gives nan. Equal images give inf.
    """
    error = ((levels(result) - levels(truth)) ** 2).mean(-1)
    inside = np.ones(error.shape) if mask is None else marked(mask).astype(np.float64)
    area = inside.sum((-2, -1))
    with np.errstate(divide="ignore", invalid="ignore"):
        return 10 * np.log10(PEAK**2 / ((error * inside).sum((-2, -1)) / area))


def l1(
    result: Num[np.ndarray, "*frames height width channels"],
    truth: Num[np.ndarray, "*frames height width channels"],
) -> Float64[np.ndarray, "*frames"]:
    """Mean absolute difference of each image, of pixels in [0, 1]."""
    return np.abs(levels(result) - levels(truth)).mean((-3, -2, -1)) / PEAK


def marked(mask: Shaped[np.ndarray, "*shape"]) -> Bool[np.ndarray, "*shape"]:
    """A mask, bool, float in [0, 1] or uint8 in 0..255, as bool."""
    mask = np.asarray(mask)
    if mask.dtype == np.uint8:
        return mask > 127
    return mask > 0.5


def ssim(
    result: Num[np.ndarray, "*frames height width channels"],
    truth: Num[np.ndarray, "*frames height width channels"],
) -> Float64[np.ndarray, "*frames"]:
    """Structural similarity of each image (Wang et al. 2004, Eq. 13), the mean over pixels and channels.

    The window is theirs: Gaussian, 11 x 11, standard deviation 1.5; K1 = 0.01, K2 = 0.03. Only windows that
    lie wholly inside the image count, so both sides have to be 11 pixels or more.
    """
    x, y = levels(result), levels(truth)
    if min(x.shape[-3:-1]) < _WINDOW.size:
        raise ValueError(f"images are {x.shape[-3]}x{x.shape[-2]}; ssim needs 11 pixels a side")
    scores = [_ssim(x[frame], y[frame]) for frame in np.ndindex(x.shape[:-3])]
    return np.array(scores).reshape(x.shape[:-3])


def _ssim(x: Float64[np.ndarray, "h w c"], y: Float64[np.ndarray, "h w c"]) -> float:
    c1, c2 = (0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2
    mean_x, mean_y = _window_mean(x), _window_mean(y)
    variance_x = _window_mean(x * x) - mean_x**2
    variance_y = _window_mean(y * y) - mean_y**2
    covariance = _window_mean(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * covariance + c2) / (variance_x + variance_y + c2)
    return float((luminance * structure).mean())


def _window_mean(image: Float64[np.ndarray, "h w c"]) -> np.ndarray:
    for axis in (0, 1):
        size = image.shape[axis] - _WINDOW.size + 1
        image = sum(weight * np.take(image, range(i, i + size), axis=axis) for i, weight in enumerate(_WINDOW))
    return image


def _gaussian(radius: int, sigma: float) -> Float64[np.ndarray, " taps"]:
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return weights / weights.sum()


_WINDOW = _gaussian(5, 1.5)
