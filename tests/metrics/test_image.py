import chex
import numpy as np
import pytest
from skimage import data
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from jaxanim.metrics.image import levels, psnr, ssim


@pytest.fixture
def pair():
    """Two frames of a photograph, and the same with noise [2, 64, 80, 3]."""
    photograph = data.astronaut()[40:104, 180:260]
    truth = np.stack([photograph, photograph[:, ::-1]])
    noise = np.random.default_rng(0).normal(0, 12, truth.shape)
    return (truth + noise).clip(0, 255).astype(np.uint8), truth


def test_psnr_equals_scikit_image(pair):
    result, truth = pair
    expected = [peak_signal_noise_ratio(t, r, data_range=255) for r, t in zip(result, truth, strict=True)]
    chex.assert_trees_all_close(psnr(result, truth), np.array(expected), rtol=1e-12)


def test_ssim_equals_scikit_image_with_the_papers_window(pair):
    result, truth = pair
    expected = [
        structural_similarity(
            t, r, data_range=255, channel_axis=-1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
        for r, t in zip(result, truth, strict=True)
    ]
    chex.assert_trees_all_close(ssim(result, truth), np.array(expected), rtol=1e-10)


def test_float_pixels_mean_the_same_as_uint8(pair):
    result, truth = pair
    as_float = result.astype(np.float32) / 127.5 - 1
    chex.assert_trees_all_close(psnr(as_float, truth), psnr(result, truth), rtol=1e-5)
    chex.assert_trees_all_close(ssim(as_float, truth), ssim(result, truth), rtol=1e-5)


def test_masked_psnr_is_the_psnr_of_the_marked_pixels(pair):
    result, truth = pair
    mask = np.random.default_rng(1).random(truth.shape[:3]) > 0.7
    expected = [
        peak_signal_noise_ratio(t[m], r[m], data_range=255) for r, t, m in zip(result, truth, mask, strict=True)
    ]
    for form in (mask, mask.astype(np.float32), mask.astype(np.uint8) * 255):
        chex.assert_trees_all_close(psnr(result, truth, form), np.array(expected), rtol=1e-12)


def test_pixels_outside_the_mask_do_not_count(pair):
    result, truth = pair
    mask = np.zeros(truth.shape[:3], np.uint8)
    mask[:, 10:30, 10:30] = 255
    spoiled = np.where(mask[..., None] > 0, result, 0).astype(np.uint8)
    chex.assert_trees_all_equal(psnr(spoiled, truth, mask), psnr(result, truth, mask))


def test_equal_images_and_empty_masks(pair):
    _, truth = pair
    assert np.isposinf(psnr(truth, truth)).all()
    assert np.isnan(psnr(truth, truth, np.zeros(truth.shape[:3], bool))).all()
    chex.assert_trees_all_close(ssim(truth, truth), np.ones(2), rtol=1e-12)


def test_other_integers_and_tiny_images_are_refused():
    with pytest.raises(ValueError, match="int64"):
        levels(np.zeros((4, 4, 3), np.int64))
    with pytest.raises(ValueError, match="11 pixels"):
        ssim(np.zeros((8, 20, 3), np.uint8), np.zeros((8, 20, 3), np.uint8))
