"""MagicAnimate's training: Eqs. 5 to 7 against literal transcriptions, and what learns in which stage."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxanim.cues.densepose import PALETTE
from jaxanim.models.appearance import AppearanceEncoder
from jaxanim.models.controlnet import ControlNet
from jaxanim.models.unet import UNet
from jaxanim.systems.magicanimate.losses import TRAINABLE, draw_kind, loss
from jaxanim.training.partition import combine, partition
from tests.systems.tiny import tiny


def batch(frames: int):
    rng = np.random.default_rng(0)
    return {
        "target": jnp.asarray(rng.normal(size=(2, frames, 4, 4, 4)), jnp.float32),
        "reference": jnp.asarray(rng.normal(size=(2, 4, 4, 4)), jnp.float32),
        "parts": jnp.asarray(rng.integers(0, 25, (2, frames, 32, 32)), jnp.uint8),
    }


FRAMES = {1: 1, 2: 3}


@functools.cache
def compiled(stage):
    config, _ = tiny(image=stage == 1)
    return jax.jit(jax.value_and_grad(lambda learn, rest, data, key: loss(combine(learn, rest), config, data, key)))


def loss_and_gradients(stage, data, key):
    """The loss, and its gradient by what the stage trains: one program for all tests."""
    return compiled(stage)(*partition(tiny(image=stage == 1).params, TRAINABLE[stage]), data, key)


@pytest.mark.parametrize(
    "stage", [pytest.param(1, id="stage 1, Eq. 5", marks=pytest.mark.slow), pytest.param(2, id="stage 2, Eq. 6")]
)
def test_loss_is_the_equation_written_out(stage):
    config, params = tiny(image=stage == 1)
    data, key = batch(FRAMES[stage]), jax.random.key(4)
    key_t, key_noise = jax.random.split(key)
    ts = np.asarray(jax.random.randint(key_t, (2,), 0, 1000))
    noise = np.asarray(jax.random.normal(key_noise, data["target"].shape))
    alphas = np.cumprod(1 - np.linspace(0.00085, 0.012, 1000))
    text = params["empty_prompt"][None]
    appearance = jax.jit(AppearanceEncoder(config.unet).apply)
    unet, control = jax.jit(UNet(config.unet).apply), jax.jit(ControlNet(config.controlnet).apply)
    square = []
    for entry in range(2):
        t = ts[entry]
        z_t = np.sqrt(alphas[t]) * data["target"][entry] + np.sqrt(1 - alphas[t]) * noise[entry]
        z_t = jnp.asarray(z_t, jnp.float32)[None]
        cond = jnp.asarray(PALETTE[np.asarray(data["parts"][entry])], jnp.float32)[None] / 255
        t = jnp.array([t])
        y_a = appearance({"params": params["appearance_encoder"]}, data["reference"][entry][None, None], t, text)
        down, mid = control({"params": params["controlnet"]}, z_t, t, text, cond)
        eps = unet({"params": params["unet"]}, z_t, t, text, down_residuals=down, mid_residual=mid, reference=y_a)
        square.append((np.asarray(eps[0], np.float64) - noise[entry]) ** 2)
    ours, _ = loss_and_gradients(stage, data, key)
    chex.assert_trees_all_close(float(ours), float(np.mean(square)), rtol=1e-5)


@pytest.mark.parametrize("stage", [1, 2])
def test_gradients_reach_exactly_what_the_stage_trains(stage):
    _, params = tiny(image=stage == 1)
    trainable, frozen = partition(params, TRAINABLE[stage])
    chex.assert_trees_all_equal(combine(trainable, frozen), params)
    names = {path.split("/")[0] for path in trainable}
    assert names == ({"appearance_encoder", "controlnet"} if stage == 1 else {"unet"})
    if stage == 2:
        assert all("motion_modules" in path for path in trainable)
        assert not any("motion_modules" in path for path in frozen)
    _, gradients = loss_and_gradients(stage, batch(FRAMES[stage]), jax.random.key(0))
    silent = [path for path, g in gradients.items() if not np.any(g)]
    # The encoder's last norm1 is all that its truncated block keeps; everything else must learn.
    assert gradients.keys() == trainable.keys()
    assert not silent, silent


def test_kinds_follow_the_thresholds_of_eq_7():
    assert [draw_kind(r, 0.2, 0.5) for r in (0.0, 0.2, 0.21, 0.49, 0.5, 0.99)] == [
        "image", "image", "pair", "pair", "video", "video",
    ]  # fmt: skip
    # Stage 1 has no videos, whatever r is.
    assert {draw_kind(r, 0.3, 1.0) for r in np.linspace(0, 0.9999, 50)} == {"image", "pair"}


def test_reference_and_pose_both_matter():
    data = batch(FRAMES[1])

    def run(**changes):
        return float(loss_and_gradients(1, data | changes, jax.random.key(0))[0])

    assert run() != run(reference=-data["reference"])
    assert run() != run(parts=24 - data["parts"])
