"""UNet, motion modules and ControlNet against diffusers' PyTorch classes, on random weights of reduced width."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("torch")

from jaxanim.models.controlnet import ControlNet, controlnet_config
from jaxanim.models.motion import ANIMATEDIFF_V1, ANIMATEDIFF_V2, ANIMATEDIFF_V3
from jaxanim.models.unet import UNet
from tests.models import sd_oracle as oracle
from tests.models.sd_oracle import NARROW, TINY, assert_close, torch


@pytest.mark.parametrize(("config", "size"), [(NARROW, (8, 16)), (TINY, (5, 7))], ids=["sd15_depth", "odd_size"])
def test_unet_equals_diffusers(config, size):
    """A batch of videos equals diffusers run on every frame with its entry's text and timestep."""
    net = oracle.make_unet(config)
    sample, text = oracle.draws(1, (2, 3, *size, 4), (2, 5, 24))
    t = np.array([7, 901])
    with torch.no_grad():
        expected = net(
            oracle.images_to_torch(sample),
            torch.from_numpy(t.repeat(3)),
            oracle.to_torch(text.repeat(3, axis=0)),
        ).sample
    actual = jax.jit(UNet(config).apply)({"params": oracle.params_of(net)}, sample, jnp.asarray(t), text)
    assert_close(actual, oracle.images_from_torch(expected, 3))


@pytest.mark.parametrize("motion", [ANIMATEDIFF_V1, ANIMATEDIFF_V2, ANIMATEDIFF_V3], ids=["v1", "v2", "v3"])
def test_video_unet_equals_diffusers(motion):
    # diffusers takes the ResNets' statistics per frame and the motion modules' over all frames, for every version.
    motion = dataclasses.replace(motion, heads=4, norm_num_groups=8, pool_frames=True)
    config = dataclasses.replace(TINY, motion=motion, pool_frames=False)
    net = oracle.make_video_unet(config)
    sample, text = oracle.draws(4, (2, 5, 6, 8, 4), (2, 5, 24))
    t = np.array([3, 700])
    with torch.no_grad():
        expected = net(
            oracle.video_to_torch(sample), torch.from_numpy(t), oracle.to_torch(text.repeat(5, axis=0))
        ).sample
    actual = jax.jit(UNet(config).apply)({"params": oracle.params_of(net)}, sample, jnp.asarray(t), text)
    assert_close(actual, oracle.video_from_torch(expected))


def test_controlnet_equals_diffusers_and_feeds_the_unet():
    config = controlnet_config(NARROW, conditioning_embedding_out_channels=(4, 8, 12, 16))
    control, unet = oracle.make_controlnet(config, seed=5), oracle.make_unet(NARROW)
    sample, text, cond = oracle.draws(6, (2, 1, 8, 8, 4), (2, 5, 24), (2, 1, 64, 64, 3))
    t, scale = np.array([11, 640]), 0.7
    with torch.no_grad():
        arguments = oracle.images_to_torch(sample), torch.from_numpy(t), oracle.to_torch(text)
        down, mid = control(*arguments, oracle.images_to_torch(cond), conditioning_scale=scale, return_dict=False)
        expected = unet(*arguments, down_block_additional_residuals=down, mid_block_additional_residual=mid).sample

    @jax.jit
    def run(control_params, unet_params):
        arguments = sample, jnp.asarray(t), text
        down, mid = ControlNet(config).apply({"params": control_params}, *arguments, cond, scale=scale)
        out = UNet(NARROW).apply({"params": unet_params}, *arguments, down_residuals=down, mid_residual=mid)
        return *down, mid, out

    ours = run(oracle.params_of(control), oracle.params_of(unet))
    for a, b in zip(ours, (*down, mid, expected), strict=True):
        assert_close(a, oracle.images_from_torch(b, 1))
