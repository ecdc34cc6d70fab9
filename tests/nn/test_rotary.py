"""Rotary embedding against the product of complex numbers, and against diffusers' tables for Wan and CogVideoX."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxanim.errors import InputError
from jaxanim.nn.rotary import rotary, rotate


def test_rotation_literally():
    """Each pair of channels is a complex number times e^(i position theta^(-2 pair / channels))."""
    grid, channels = (2, 3, 2), (4, 6, 2)
    x = np.asarray(jax.random.normal(jax.random.key(0), (1, 1 + 12, 3, 12)))
    out = np.asarray(rotate(jnp.asarray(x), rotary(grid, channels, theta=100.0), first=1))
    np.testing.assert_array_equal(out[:, 0], x[:, 0])
    token = 1
    for place in np.ndindex(grid):
        pair = 0
        for position, c in zip(place, channels, strict=True):
            for i in range(c // 2):
                z = x[0, token, :, 2 * pair] + 1j * x[0, token, :, 2 * pair + 1]
                z = z * np.exp(1j * position * 100.0 ** (-2 * i / c))
                np.testing.assert_allclose(out[0, token, :, 2 * pair], z.real, atol=1e-6)
                np.testing.assert_allclose(out[0, token, :, 2 * pair + 1], z.imag, atol=1e-6)
                pair += 1
        token += 1


def test_a_late_position_keeps_its_angle():
    """The angle 1023 radians is known to 1e-7, which float32 arithmetic would not give."""
    table = rotary((1024,), (2,))
    assert abs(table.cos[-1, 0] - np.cos(1023.0)) < 1e-7


def test_wan_s_table_is_diffusers():
    torch = pytest.importorskip("torch")
    wan = pytest.importorskip("diffusers.models.transformers.transformer_wan")
    cos, sin = wan.WanRotaryPosEmbed(128, (1, 2, 2), 1024)(torch.zeros(1, 1, 5, 6, 8))
    ours = rotary((5, 3, 4), (44, 42, 42))
    np.testing.assert_allclose(ours.cos, cos[0, :, 0, 0::2].numpy(), atol=1e-7)
    np.testing.assert_allclose(ours.sin, sin[0, :, 0, 1::2].numpy(), atol=1e-7)


def test_cogvideox_s_table_is_diffusers():
    pytest.importorskip("torch")
    embeddings = pytest.importorskip("diffusers.models.embeddings")
    cos, sin = embeddings.get_3d_rotary_pos_embed(64, None, (3, 4), 2, grid_type="slice", max_size=(6, 7))
    ours = rotary((2, 3, 4), (16, 24, 24))
    np.testing.assert_allclose(ours.cos, cos[:, 0::2].numpy(), atol=1e-6)
    np.testing.assert_allclose(ours.sin, sin[:, 1::2].numpy(), atol=1e-6)


def test_odd_channels_are_refused():
    with pytest.raises(InputError, match=r"\(3, 5\): each axis needs an even number"):
        rotary((2, 2), (3, 5))
