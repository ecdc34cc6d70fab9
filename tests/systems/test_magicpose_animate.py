"""MagicPose's sampler against a literal loop over steps, windows and branches, as the released pipeline does it."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxanim.errors import InputError
from jaxanim.models.appearance import AppearanceEncoder
from jaxanim.models.controlnet import ControlNet
from jaxanim.models.unet import UNet
from jaxanim.models.unet_config import image_form
from jaxanim.models.vae import VAE
from jaxanim.systems.base import Memory, Sampling
from jaxanim.systems.conditions import embed_pose, per_entry
from jaxanim.systems.magicpose.animate import Options, animate, window_offset
from jaxanim.systems.magicpose.denoise import appearance, predict
from tests.systems import literal as written_out
from tests.systems.tiny_pose import FLAT, tiny_pose

FRAMES, SIDE = 7, 32
SAMPLING = Sampling(steps=2, guidance=2.0, window=4, overlap=1)


def inputs():
    rng = np.random.default_rng(0)
    reference = jnp.asarray(rng.uniform(-1, 1, (SIDE, SIDE, 3)), jnp.float32)
    motion = jnp.asarray(rng.uniform(0, 1, (FRAMES, SIDE, SIDE, 3)), jnp.float32)
    return reference, motion


def run(**changes):
    config, params = tiny_pose()
    reference, motion = inputs()
    arguments = {"sampling": SAMPLING} | changes
    return animate(params, config, reference, motion, key=jax.random.key(1), **arguments)


def literal(guidance=2.0, steps=2, length=4, stride=3):
    """Facts of the released pipeline, one window and one branch at a time: the unconditional branch is the UNet
    alone; windows of `length` every `stride` frames from a random offset on, around the loop; means of overlaps."""
    config, params = tiny_pose()
    reference, motion = inputs()
    key_noise, key_offset = jax.random.split(jax.random.key(1))
    vae = jax.jit(VAE(config.vae).apply, static_argnames="method")
    z_ref = vae({"params": params["vae"]}, reference[None, None], method="encode")[0]
    z_ref = z_ref * config.vae.scaling_factor
    x = np.asarray(jax.random.normal(key_noise, (FRAMES, *z_ref.shape[2:])), np.float64)
    text = params["empty_prompt"][None]
    control = jax.jit(ControlNet(config.controlnet).apply)
    encoder = jax.jit(AppearanceEncoder(image_form(config.unet), truncated=False).apply)
    unet = jax.jit(UNet(config.unet).apply)
    offsets = []

    def eps(x, t):
        offsets.append(int(window_offset(key_offset, jnp.int32(t), FRAMES)))
        total, count = np.zeros_like(x), np.zeros(FRAMES)
        for start in range(0, FRAMES, stride):
            index = [(start + offsets[-1] + i) % FRAMES for i in range(length)]
            window, ts = jnp.asarray(x[index], jnp.float32)[None], jnp.array([t])
            down, mid = control({"params": params["controlnet"]}, window, ts, text, motion[np.array(index)][None])
            features = encoder({"params": params["appearance_model"]}, z_ref, ts, text)
            plain = unet({"params": params["unet"]}, window, ts, text)
            both = unet(
                {"params": params["unet"]},
                window,
                ts,
                text,
                down_residuals=down,
                mid_residual=mid,
                reference=features,
            )
            noise = np.asarray(plain + guidance * (both - plain), np.float64)[0]
            for place, i in enumerate(index):
                total[i] += noise[place]
                count[i] += 1
        return total / count[:, None, None, None]

    x = written_out.ddim(x, eps, np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2, steps)
    assert len(set(offsets)) > 1  # the windows do move from step to step
    latents = jnp.asarray(x / config.vae.scaling_factor, jnp.float32)
    return jnp.clip(vae({"params": params["vae"]}, latents[None], method="decode")[0], -1, 1)


def test_is_the_released_pipeline_done_literally():
    result = run()
    chex.assert_shape(result, (FRAMES, SIDE, SIDE, 3))
    assert float(jnp.std(result)) > 0.05
    chex.assert_trees_all_close(result, literal(), atol=5e-5)
    # Branches and windows one after another say the same.
    memory = Memory(guidance_in_turn=True, windows_at_once=1, frames_at_once=1)
    chex.assert_trees_all_close(run(memory=memory), result, atol=2e-5)
    still = run(options=Options(move_windows=False))
    assert float(jnp.abs(still - result).max()) > 1e-4


def test_the_unconditional_branch_is_the_plain_base():
    config, params = tiny_pose(image=True, sizes=FLAT)
    _, motion = inputs()
    key = jax.random.key(3)
    x, t = jax.random.normal(key, (2, 3, 4, 4, 4)), jnp.array([5, 700])
    text = per_entry(params["empty_prompt"], 2)
    pose = embed_pose(params, config, jnp.stack([motion[:3], motion[3:6]]))
    features = jax.jit(lambda z: appearance(params, config, z, t, text))(jax.random.normal(key, (2, 4, 4, 4)))
    both = jax.jit(lambda: predict(params, config, x, t, text, features, pose, reads=(False, True)))()
    uncond, cond = both[:2], both[2:]
    plain = jax.jit(UNet(config.unet).apply)({"params": params["unet"]}, x, t, text)
    chex.assert_trees_all_close(uncond, plain, atol=1e-5)
    chex.assert_trees_all_close(
        cond, jax.jit(lambda: predict(params, config, x, t, text, features, pose))(), atol=1e-5
    )
    assert float(jnp.abs(cond - uncond).max()) > 1e-3


def test_without_motion_modules_frames_are_independent_and_share_their_noise():
    config, params = tiny_pose(image=True, sizes=FLAT)
    reference, motion = inputs()

    def frames(motion):
        return animate(params, config, reference, motion, key=jax.random.key(1), sampling=SAMPLING)

    whole = frames(motion)
    changed = frames(motion.at[3].set(motion[0]))
    chex.assert_trees_all_close(np.delete(changed, 3, 0), np.delete(whole, 3, 0), atol=1e-5)
    chex.assert_trees_all_close(changed[3], whole[0], atol=1e-5)
    assert float(jnp.abs(whole[3] - whole[0]).max()) > 1e-4


def test_a_video_of_one_window_is_not_torn_apart():
    config, params = tiny_pose(sizes=FLAT)
    reference, motion = inputs()
    arguments = {"key": jax.random.key(1), "sampling": dataclasses.replace(SAMPLING, steps=1, guidance=1.0)}
    told = []
    arguments["report"] = lambda *at: told.append(at)
    moving, still = (
        animate(params, config, reference, motion[:4], options=Options(move_windows=moves), **arguments)
        for moves in (True, False)
    )
    chex.assert_trees_all_equal(moving, still)
    assert [(*at[:2], at[2].shape) for at in told] == [(1, 1, (4, SIDE // 8, SIDE // 8, 3))] * 2


def test_impossible_options_are_named():
    with pytest.raises(InputError, match="overlap is 4: with a window of 4 it is 0 to 3"):
        Sampling(window=4, overlap=4)
    config, _ = tiny_pose()
    with pytest.raises(InputError, match=r"unet\.readers is 'mid_up': MagicPose's is 'all'"):
        dataclasses.replace(config, unet=dataclasses.replace(config.unet, readers="mid_up"))
    with pytest.raises(InputError, match="shares is 'queries': choose 'hidden_states' or 'keys_and_values'"):
        type(config.multi_source)("queries")
