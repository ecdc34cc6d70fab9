"""CogVideoX1.5-5B-I2V against diffusers: the transformer at its real width with two layers, the autoencoder whole.

make test-full
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxanim.models.cogvideox.chunks import decode, encode
from jaxanim.models.cogvideox.transformer import CogVideoXTransformer
from tests.convert.converted import convert
from tests.models import cogvideox_oracle as oracle
from tests.models.cogvideox_oracle import diffusers, torch

pytestmark = pytest.mark.full_size
TOLERANCE = 1e-4


def test_transformer():
    torch.manual_seed(0)
    net = diffusers.CogVideoXTransformer3DModel(
        num_attention_heads=48, num_layers=2, in_channels=32, out_channels=16, sample_height=300, sample_width=300,
        sample_frames=81, patch_size_t=2, use_rotary_positional_embeddings=True, ofs_embed_dim=512,
    ).eval()  # fmt: skip
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1, 4, 16, 24, 32)).astype(np.float32)
    text = rng.normal(size=(1, 226, 4096)).astype(np.float32)
    expected = oracle.predict(net, x, text, np.array([961]))
    _, config, params = convert(net.state_dict())
    del net
    inputs = jnp.asarray(x), jnp.asarray(text), jnp.array([961])
    actual = jax.jit(CogVideoXTransformer(config).apply)({"params": params}, *inputs).sample
    error = oracle.relative_error(actual, expected)
    print(f"CogVideoX transformer, two layers: relative error {error:.1e}")
    assert error < TOLERANCE


def test_vae():
    torch.manual_seed(0)
    net = diffusers.AutoencoderKLCogVideoX(scaling_factor=0.7, invert_scale_latents=True).eval()
    _, config, params = convert(net.state_dict(), dict(net.config))
    rng = np.random.default_rng(0)
    video = rng.uniform(-1, 1, (1, 17, 64, 96, 3)).astype(np.float32)
    z = rng.normal(size=(1, 5, 8, 12, 16)).astype(np.float32)
    with torch.no_grad():
        mean = net.encode(torch.from_numpy(np.moveaxis(video, -1, 1).copy())).latent_dist.mean.numpy()
        pixels = net.decode(torch.from_numpy(np.moveaxis(z, -1, 1).copy())).sample.numpy()
    del net
    ours = jax.jit(lambda p, x: encode(p, config, x)[0])(params, jnp.asarray(video))
    error = oracle.relative_error(ours, np.moveaxis(mean, 1, -1))
    print(f"CogVideoX autoencoder, 17 frames encoded: relative error {error:.1e}")
    assert error < TOLERANCE
    ours = jax.jit(lambda p, x: decode(p, config, x))(params, jnp.asarray(z))
    error = oracle.relative_error(ours, np.moveaxis(pixels, 1, -1))
    print(f"CogVideoX autoencoder, 5 latent frames decoded: relative error {error:.1e}")
    assert error < TOLERANCE
