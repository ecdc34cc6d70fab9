"""Metrics of motion and identity against literal loops, Fréchet distance against scipy's matrix root."""

import cv2
import numpy as np
import pytest
from scipy import linalg

from jaxanim.errors import InputError
from jaxanim.metrics.frechet import frechet_distance
from jaxanim.metrics.image import l1
from jaxanim.metrics.motion import aed, akd, frame_consistency, mkr, similarity, warping_error


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_keypoints(rng):
    truth, result = rng.uniform(0, 100, (2, 4, 5, 3)).astype(np.float32)
    truth[..., 2] = result[..., 2] = 1
    truth[0, 1, 2] = 0
    result[2, 3, 2] = result[0, 1, 2] = result[3, 0, 2] = 0
    apart, missing, there = [], 0, 0
    for f in range(4):
        for p in range(5):
            if truth[f, p, 2] > 0:
                there += 1
                missing += result[f, p, 2] == 0
                if result[f, p, 2] > 0:
                    apart.append(np.hypot(*(truth[f, p, :2].astype(float) - result[f, p, :2])))
    assert akd(result, truth) == pytest.approx(np.mean(apart))
    assert mkr(result, truth) == pytest.approx(missing / there)
    assert np.isnan(mkr(result, 0 * truth))
    assert np.isnan(akd(0 * result, truth))


def test_embeddings(rng):
    a, b = rng.normal(size=(2, 5, 7)).astype(np.float32)
    assert aed(a, b) == pytest.approx(np.mean([np.sqrt(((x - y) ** 2).sum()) for x, y in zip(a, b, strict=True)]))
    cosines = [x @ y / np.sqrt((x @ x) * (y @ y)) for x, y in zip(a.astype(float), b, strict=True)]
    np.testing.assert_allclose(similarity(a, b), cosines, rtol=1e-6)
    pairs = [x @ y / np.sqrt((x @ x) * (y @ y)) for x, y in zip(a[:-1].astype(float), a[1:], strict=True)]
    assert frame_consistency(a) == pytest.approx(np.mean(pairs), rel=1e-6)
    assert np.isnan(frame_consistency(a[:1]))


def test_l1_is_of_pixels_in_0_to_1(rng):
    a, b = rng.integers(0, 256, (2, 3, 8, 9, 3), np.uint8)
    np.testing.assert_allclose(l1(a, b), [np.abs(x / 255 - y / 255).mean() for x, y in zip(a, b, strict=True)])


def test_frechet_distance_is_the_formula(rng):
    a, b = rng.normal(size=(40, 6)), 0.5 + rng.normal(size=(50, 6)) @ rng.normal(size=(6, 6))
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(cov_a + cov_b - 2 * linalg.sqrtm(cov_a @ cov_b).real)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)
    # Fewer elements than features: the covariances are singular, the distance of equal sets is still none.
    assert frechet_distance(a[:4], a[:4]) == pytest.approx(0, abs=1e-6)
    with pytest.raises(InputError, match="needs two"):
        frechet_distance(a[:1], b)


def test_what_moves_without_flicker_has_no_warping_error(rng):
    texture = cv2.GaussianBlur(rng.integers(0, 256, (90, 150, 3), np.uint8), (0, 0), 2)
    texture = cv2.normalize(texture, None, 0, 255, cv2.NORM_MINMAX)
    moving = np.stack([texture[10:74, 20 + 2 * k : 116 + 2 * k] for k in range(4)])
    smooth = warping_error(moving)
    assert smooth.shape == (3,)
    assert smooth.max() < 3e-4
    flicker = moving.copy()
    flicker[1::2] = np.clip(moving[1::2].astype(int) + 30, 0, 255)
    assert warping_error(flicker).min() > 20 * smooth.max()
    # By the true motion a video that stands still errs, though it has none of its own.
    still = np.repeat(moving[:1], 4, 0)
    assert warping_error(still).max() == 0
    assert warping_error(still, moving).min() > 10 * smooth.max()
