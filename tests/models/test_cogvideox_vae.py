"""CogVideoX's autoencoder against diffusers': whole, in chunks of every kind, and in tiles."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxanim.errors import InputError
from jaxanim.models.cogvideox.chunks import Tiles, decode, encode, to_latents, to_pixels
from jaxanim.models.cogvideox.vae import CogVideoXVAEConfig
from jaxanim.models.shapes import parameter_shapes
from tests.convert.converted import convert
from tests.models import cogvideox_oracle as oracle
from tests.models.cogvideox_oracle import diffusers, torch

# Sizes of which steps and overlaps are whole latent cells.
TILES = Tiles(48, 40)


@pytest.fixture(scope="module")
def pair():
    net = oracle.make_vae()
    network, config, params = convert(net.state_dict(), dict(net.config))
    assert network == "cogvideox_vae"
    return net, config, params


@pytest.fixture(scope="module")
def both(pair):
    """Compiled once for each shape."""
    _, config, params = pair

    def compiled(fn, tiles=None):
        program = jax.jit(lambda x: fn(params, config, x, tiles))
        return lambda x: jax.tree.map(np.asarray, program(x))

    return compiled


def draw(*shape):
    return jnp.asarray(np.random.default_rng(0).uniform(-1, 1, shape), jnp.float32)


def to_torch(x):
    return torch.from_numpy(np.moveaxis(np.asarray(x), -1, 1).copy())


def from_torch(x):
    return np.moveaxis(x.numpy(), 1, -1)


def tiled(net):
    net.enable_tiling(48, 40)
    return net


def test_config_and_names(pair):
    _, config, params = pair
    fields = {name: value for name, value in oracle.VAE_SIZES.items() if not name.startswith("sample_")}
    assert config == CogVideoXVAEConfig(**fields)
    chex.assert_trees_all_equal_shapes(params, parameter_shapes("vae", config))


@pytest.mark.parametrize("frames", [1, 9, 17], ids=["a picture", "one chunk", "two chunks"])
def test_encodes_as_diffusers(pair, both, frames):
    net = pair[0]
    video = draw(1, frames, 16, 24, 3)
    with torch.no_grad():
        expected = net.encode(to_torch(video)).latent_dist
    mean, logvar = both(encode)(video)
    assert mean.shape == (1, (frames - 1) // 4 + 1, 2, 3, 4)
    assert oracle.relative_error(mean, from_torch(expected.mean)) < 1e-5
    assert oracle.relative_error(logvar, from_torch(expected.logvar)) < 1e-5


@pytest.mark.parametrize("latents", [1, 3, 4, 7], ids=["a picture", "one chunk", "an even number", "three chunks"])
def test_decodes_as_diffusers(pair, both, latents):
    net = pair[0]
    z = draw(1, latents, 2, 3, 4)
    with torch.no_grad():
        expected = from_torch(net.decode(to_torch(z)).sample)
    ours = both(decode)(z)
    assert ours.shape == expected.shape == (1, 4 * latents - 3 * (latents % 2), 16, 24, 3)
    assert oracle.relative_error(ours, expected) < 1e-5


def test_tiles_as_diffusers(pair, both):
    net = tiled(oracle.make_vae())
    video = draw(1, 1, 56, 48, 3)
    z = draw(1, 3, 7, 6, 4)
    with torch.no_grad():
        moments = net.encode(to_torch(video)).latent_dist
        pixels = from_torch(net.decode(to_torch(z)).sample)
    assert oracle.relative_error(both(encode, TILES)(video)[0], from_torch(moments.mean)) < 1e-5
    assert oracle.relative_error(both(decode, TILES)(z), pixels) < 1e-5
    whole = draw(1, 1, 16, 16, 3)
    np.testing.assert_array_equal(both(encode, TILES)(whole)[0], both(encode)(whole)[0])
    with pytest.raises(InputError, match="tiles have a height that leaves nothing"):
        decode(pair[2], pair[1], z, Tiles(48, 40, overlap_height=1.0))


def test_scales_and_draws(pair):
    _, config, params = pair
    video = draw(1, 1, 16, 16, 3)
    mean, logvar = encode(params, config, video)
    np.testing.assert_allclose(to_latents(params, config, video), mean * 0.7, atol=1e-5)
    key = jax.random.key(3)
    noise = jax.random.normal(key, mean.shape)
    drawn = to_latents(params, config, video, key=key)
    np.testing.assert_allclose(drawn, (mean + jnp.exp(0.5 * logvar) * noise) * 0.7, atol=1e-5)
    pixels = to_pixels(params, config, drawn)
    np.testing.assert_allclose(pixels, decode(params, config, drawn / 0.7), atol=1e-4)
    with pytest.raises(InputError, match=r"video is 20x16.*multiples of 8"):
        to_latents(params, config, draw(1, 1, 16, 20, 3))


def test_full_size():
    with torch.device("meta"):
        net = diffusers.AutoencoderKLCogVideoX()
    config = CogVideoXVAEConfig()
    leaves = jax.tree.leaves(parameter_shapes("vae", config))
    assert sum(leaf.size for leaf in leaves) == sum(p.numel() for p in net.parameters()) == 215_583_907
