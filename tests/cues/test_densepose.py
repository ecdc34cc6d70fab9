"""DensePose colours against matplotlib's viridis, and their inverse."""

import numpy as np
import pytest

from jaxanim.cues import densepose


def test_colours_are_viridis_over_purple():
    matplotlib = pytest.importorskip("matplotlib")
    viridis = matplotlib.colormaps["viridis"]
    levels = [int(k * 255 / 24) for k in range(25)]
    want = np.round(np.array([viridis(level)[:3] for level in levels]) * 255)
    assert np.abs(densepose.PALETTE.astype(int) - want).max() <= 1
    assert tuple(densepose.PALETTE[0]) == densepose.BACKGROUND == (68, 1, 84)


def test_ids_survive_colouring_and_some_noise():
    rng = np.random.default_rng(0)
    parts = rng.integers(0, 25, (2, 16, 16)).astype(np.uint8)
    picture = densepose.colored(parts)
    np.testing.assert_array_equal(densepose.part_ids(picture), parts)
    noisy = np.clip(picture.astype(int) + rng.integers(-1, 2, picture.shape), 0, 255).astype(np.uint8)
    np.testing.assert_array_equal(densepose.part_ids(noisy), parts)


def test_on_the_device_the_same_colours_in_0_to_1():
    parts = np.arange(25, dtype=np.uint8).reshape(1, 5, 5)
    np.testing.assert_allclose(np.asarray(densepose.colour_parts(parts)) * 255, densepose.colored(parts), atol=1e-4)
