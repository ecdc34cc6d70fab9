"""The loss of local contrast against its definition written out, and what it is for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxanim.training.finishing.texture import contrast, texture_loss


def literal(pixels):
    """Root mean square differences of neighbours in every patch of 8 x 8 pixels, 4 apart."""
    n, height, width, channels = pixels.shape
    rows, columns = ((side - 1 - 8) // 4 + 1 for side in (height, width))
    result = np.zeros((n, rows, columns, 2 * channels))
    for i, r, c, k in np.ndindex(n, rows, columns, channels):
        for axis, (down, right) in enumerate(((0, 1), (1, 0))):
            total = 0.0
            for y in range(4 * r, 4 * r + 8):
                for x in range(4 * c, 4 * c + 8):
                    total += (float(pixels[i, y + down, x + right, k]) - float(pixels[i, y, x, k])) ** 2
            result[i, r, c, axis * channels + k] = (total / 64 + 1e-6) ** 0.5
    return result


def test_contrast_is_that_of_neighbours_in_patches():
    pixels = np.random.default_rng(0).uniform(-1, 1, (2, 21, 16, 3)).astype(np.float32)
    np.testing.assert_allclose(contrast(jnp.asarray(pixels)), literal(pixels), rtol=1e-5)


def test_the_loss_weighs_patches_by_their_pixels():
    rng = np.random.default_rng(1)
    decoded, pixels = (rng.uniform(-1, 1, (1, 17, 17, 3)).astype(np.float32) for _ in range(2))
    weights = rng.uniform(0, 2, (1, 17, 17)).astype(np.float32)
    expected = 0.0
    square = (literal(decoded) - literal(pixels)) ** 2
    for _, r, c, _ in np.ndindex(square.shape):
        patch = weights[0, 4 * r : 4 * r + 8, 4 * c : 4 * c + 8]
        expected += patch.mean() * square[0, r, c].mean() / square.shape[-1]
    expected /= square.shape[1] * square.shape[2]
    loss = jax.jit(texture_loss)(*(jnp.asarray(x) for x in (decoded, pixels, weights)))
    assert float(loss) == pytest.approx(expected, rel=1e-4)


def test_stripes_beside_their_place_err_less_than_no_stripes():
    """Where the square error says the opposite."""
    x = np.arange(33)
    stripes, shifted = (np.where((x + shift) % 4 < 2, 1.0, -1.0) for shift in (0, 2))
    picture, moved = (
        jnp.asarray(np.broadcast_to(s[None, None, :, None], (1, 33, 33, 3)), jnp.float32)
        for s in (stripes, shifted)
    )
    plain, ones = jnp.zeros_like(picture), jnp.ones((1, 33, 33))
    assert float(texture_loss(moved, picture, ones)) < 1e-6 < 0.1 < float(texture_loss(plain, picture, ones))
    assert float(jnp.mean((moved - picture) ** 2)) > float(jnp.mean((plain - picture) ** 2))
    # A plain patch has a gradient, if none to follow: not one that is infinite.
    gradient = jax.grad(texture_loss)(plain, picture, ones)
    assert bool(jnp.all(jnp.isfinite(gradient)))
