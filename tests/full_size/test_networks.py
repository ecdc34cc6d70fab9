"""Every network of Stable Diffusion 1.5 at its real size against diffusers and transformers: one call each.

    make test-full

Random weights in float32, in one process; a parameter lives in PyTorch or in JAX, never in both, so the largest of
them (UNet with AnimateDiff v2) stays below 12 GB. An error is the largest difference over the largest value.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from jaxanim.models.clip_text import CLIPText, CLIPTextConfig
from jaxanim.models.clip_vision import CLIPVision, CLIPVisionConfig
from jaxanim.models.controlnet import ControlNet, ControlNetConfig
from jaxanim.models.motion import ANIMATEDIFF_V1, ANIMATEDIFF_V2, ANIMATEDIFF_V3
from jaxanim.models.unet import UNet, UNetConfig
from jaxanim.models.vae import VAE, VAEConfig
from tests.models import sd_oracle as oracle
from tests.models.sd_oracle import torch
from tests.systems import sd_pipelines

pytestmark = pytest.mark.full_size
TOLERANCE = 1e-4


@pytest.fixture(autouse=True)
def in_small_pieces():
    """Programs of one network are not kept for the next."""
    yield
    jax.clear_caches()


def check(name, actual, expected):
    error = oracle.relative_error(actual, expected)
    print(f"{name}: relative error {error:.1e}")
    assert error < TOLERANCE


def test_unet():
    net = oracle.make_unet(UNetConfig())
    sample, text = oracle.draws(1, (1, 1, 64, 64, 4), (1, 77, 768))
    with torch.no_grad():
        expected = net(oracle.images_to_torch(sample), torch.tensor([501]), oracle.to_torch(text)).sample
    params = oracle.take_params(net)
    actual = jax.jit(UNet(UNetConfig()).apply)({"params": params}, sample, jnp.array([501]), text)
    check("UNet at 64x64", actual, oracle.images_from_torch(expected, 1))


def test_controlnet():
    config = ControlNetConfig()
    net = oracle.make_controlnet(config)
    sample, text, cond = oracle.draws(2, (1, 1, 64, 64, 4), (1, 77, 768), (1, 1, 512, 512, 3))
    with torch.no_grad():
        arguments = oracle.images_to_torch(sample), torch.tensor([21]), oracle.to_torch(text)
        down, mid = net(*arguments, oracle.images_to_torch(cond), return_dict=False)
    params = oracle.take_params(net)
    ours = jax.jit(ControlNet(config).apply)({"params": params}, sample, jnp.array([21]), text, cond)
    for i, (actual, expected) in enumerate(zip((*ours[0], ours[1]), (*down, mid), strict=True)):
        check(f"ControlNet residual {i}", actual, oracle.images_from_torch(expected, 1))


@pytest.mark.parametrize("motion", [ANIMATEDIFF_V1, ANIMATEDIFF_V2, ANIMATEDIFF_V3], ids=["v1", "v2", "v3"])
def test_video_unet(motion):
    """diffusers takes the ResNets' GroupNorm per frame and the motion modules' over all frames."""
    config = UNetConfig(motion=dataclasses.replace(motion, pool_frames=True))
    net = oracle.make_video_unet(config)
    frames = 8
    sample, text = oracle.draws(3, (1, frames, 16, 24, 4), (1, 77, 768))
    with torch.no_grad():
        expected = net(
            oracle.video_to_torch(sample), torch.tensor([301]), oracle.to_torch(text.repeat(frames, axis=0))
        ).sample
    params = oracle.take_params(net)
    actual = jax.jit(UNet(config).apply)({"params": params}, sample, jnp.array([301]), text)
    check("UNet with motion modules", actual, oracle.video_from_torch(expected))


def test_vae():
    config = VAEConfig()
    net = sd_pipelines.make_vae(config)
    (pixels,) = oracle.draws(4, (1, 1, 512, 512, 3))
    with torch.no_grad():
        posterior = net.encode(oracle.images_to_torch(pixels)).latent_dist
        decoded = net.decode(posterior.mean).sample
    params = oracle.take_params(net)
    moments = jax.jit(lambda p, x: VAE(config).apply({"params": p}, x, method="encode"))(params, pixels)
    for name, actual, expected in zip(("mean", "logvar"), moments, (posterior.mean, posterior.logvar), strict=True):
        check(f"VAE encoding at 512x512, {name}", actual, oracle.images_from_torch(expected, 1))
    latents = jnp.asarray(oracle.images_from_torch(posterior.mean, 1))
    ours = jax.jit(lambda p, x: VAE(config).apply({"params": p}, x, method="decode"))(params, latents)
    check("VAE decoding at 512x512", ours, oracle.images_from_torch(decoded, 1))


def test_clip_text():
    config = CLIPTextConfig()
    net = sd_pipelines.make_text_encoder(config)
    ids = np.random.default_rng(5).integers(0, 49405, (2, 77))
    ids[:, 0], ids[0, 9:], ids[1, -1:] = 49406, 49407, 49407
    with torch.no_grad():
        expected = net(input_ids=torch.from_numpy(ids)).last_hidden_state.numpy()
    params = oracle.take_params(net)
    actual = jax.jit(CLIPText(config).apply)({"params": params}, jnp.asarray(ids, jnp.int32))
    check("CLIP text, 77 tokens", actual, expected)


def test_clip_vision():
    import transformers

    net = oracle.randomise(
        transformers.CLIPVisionModelWithProjection(
            transformers.CLIPVisionConfig(
                hidden_size=1024, intermediate_size=4096, num_hidden_layers=24, num_attention_heads=16,
                projection_dim=768, patch_size=14, image_size=224,
            )
        ),
        0,
    )  # fmt: skip
    (pixels,) = oracle.draws(6, (1, 1, 224, 224, 3))
    with torch.no_grad():
        expected = net(pixel_values=oracle.images_to_torch(pixels))
    params = oracle.take_params(net)
    hidden, _, embedding = jax.jit(CLIPVision(CLIPVisionConfig()).apply)({"params": params}, pixels[:, 0])
    check("CLIP ViT-L/14, last hidden state", hidden, expected.last_hidden_state.numpy())
    check("CLIP ViT-L/14, image embedding", embedding, expected.image_embeds.numpy())
