"""MagicAnimate's sampler against a literal loop over steps, windows and branches, as the released pipeline does it."""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxanim.errors import InputError
from jaxanim.models.controlnet import ControlNet
from jaxanim.models.unet import UNet
from jaxanim.models.vae import VAE
from jaxanim.systems.base import Memory, Sampling, choose
from jaxanim.systems.magicanimate import SYSTEM
from jaxanim.systems.magicanimate.animate import Options, animate
from jaxanim.systems.magicanimate.denoise import appearance_features, embed_pose, per_entry, predict
from tests.systems import literal as written_out
from tests.systems.tiny import CONFIG, FLAT, tiny

FRAMES, SIDE = 7, 32
SAMPLING = Sampling(steps=2, guidance=2.0, window=4, overlap=1)


def inputs():
    rng = np.random.default_rng(0)
    reference = jnp.asarray(rng.uniform(-1, 1, (SIDE, SIDE, 3)), jnp.float32)
    motion = jnp.asarray(rng.uniform(0, 1, (FRAMES, SIDE, SIDE, 3)), jnp.float32)
    return reference, motion


def run(sizes=CONFIG, **changes):
    config, params = tiny(sizes=sizes)
    reference, motion = inputs()
    arguments = {"sampling": SAMPLING} | changes
    return animate(params, config, reference, motion, key=jax.random.key(1), **arguments)


@functools.cache
def networks():
    """(autoencoder, ControlNet, UNet, appearance encoder), compiled once."""
    config, params = tiny()
    vae = jax.jit(VAE(config.vae).apply, static_argnames="method")
    text = params["empty_prompt"][None]
    encoder = jax.jit(lambda z, ts: appearance_features(params, config, z, ts, text))
    return vae, jax.jit(ControlNet(config.controlnet).apply), jax.jit(UNet(config.unet).apply), encoder


def literal(guidance=2.0, steps=2, length=4, overlap=1):
    """Sec. 3.3 and the facts of the released pipeline, one window, one branch and one frame's pose at a time."""
    config, params = tiny()
    vae, control, unet, encoder = networks()
    reference, motion = inputs()
    padded = motion[np.minimum(np.arange(8), FRAMES - 1)]
    z_ref = vae({"params": params["vae"]}, reference[None, None], method="encode")[0]
    z_ref = z_ref * config.vae.scaling_factor
    shape = z_ref.shape[2:]
    window_noise = jax.random.normal(jax.random.key(1), (length, *shape))
    x = np.stack([np.asarray(window_noise[i % length]) for i in range(8)]).astype(np.float64)
    text = params["empty_prompt"][None]

    def eps(x, t):
        total, count = np.zeros_like(x), np.zeros(len(x))
        for start in range(0, 8, length - overlap):
            index = [(start + i) % 8 for i in range(length)]
            window = jnp.asarray(x[index], jnp.float32)[None]
            ts = jnp.array([t])
            pose = padded[np.array(index)][None]
            down, mid = control({"params": params["controlnet"]}, window, ts, text, pose)
            arguments = {"params": params["unet"]}, window, ts, text
            residuals = {"down_residuals": down, "mid_residual": mid}
            plain = unet(*arguments, **residuals)
            read = unet(*arguments, **residuals, reference=encoder(z_ref[0], ts))
            noise = np.asarray(plain + guidance * (read - plain), np.float64)[0]
            for place, i in enumerate(index):
                total[i] += noise[place]
                count[i] += 1
        return total / count[:, None, None, None]

    x = written_out.ddim(x, eps, np.linspace(0.00085, 0.012, 1000), steps)
    latents = jnp.asarray(x[:FRAMES] / config.vae.scaling_factor, jnp.float32)
    return jnp.clip(vae({"params": params["vae"]}, latents[None], method="decode")[0], -1, 1)


def test_is_the_released_pipeline_done_literally():
    result = run()
    chex.assert_shape(result, (FRAMES, SIDE, SIDE, 3))
    assert float(jnp.std(result)) > 0.05
    chex.assert_trees_all_close(result, literal(), atol=2e-5)


def test_guidance_one_needs_no_unconditional_branch():
    chex.assert_trees_all_close(
        run(sampling=dataclasses.replace(SAMPLING, guidance=1.0)), literal(guidance=1.0), atol=2e-5
    )


def test_windows_one_by_one_equal_all_at_once():
    one = run(FLAT, memory=Memory(windows_at_once=1, frames_at_once=1))
    chex.assert_trees_all_close(one, run(FLAT), atol=1e-5)


def test_progress_reports_do_not_change_the_result():
    seen = []
    reported = run(FLAT, report=lambda *told: seen.append(told))
    chex.assert_trees_all_close(reported, run(FLAT), atol=1e-5)
    assert [told[:2] for told in seen] == [(1, 2), (2, 2)]
    for _, _, pictures in seen:
        chex.assert_shape(pictures, (8, SIDE // 8, SIDE // 8, 3))
        assert np.abs(pictures).max() <= 1


@pytest.mark.slow
def test_both_branches_at_once_equal_two_calls():
    config, params = tiny(sizes=FLAT)
    _, motion = inputs()
    key = jax.random.key(3)
    x = jax.random.normal(key, (2, 3, 4, 4, 4))
    t = jnp.array([5, 700])
    text = per_entry(params["empty_prompt"], 2)
    pose = embed_pose(params, config, motion[None, :3])
    pose = jnp.concatenate([pose, pose[:, ::-1]])
    features = jax.jit(appearance_features, static_argnums=1)(
        params, config, jax.random.normal(key, (2, 4, 4, 4)), t, text
    )
    run_once = jax.jit(predict, static_argnums=1, static_argnames="reads")
    both = run_once(params, config, x, t, text, features, pose, reads=(False, True))
    plain = run_once(params, config, x, t, text, None, pose)
    read = run_once(params, config, x, t, text, features, pose)
    chex.assert_trees_all_close(both, jnp.concatenate([plain, read]), atol=1e-5)
    assert float(jnp.abs(read - plain).max()) > 1e-3


@pytest.mark.parametrize(
    "change",
    [{"average": False}, {"share_noise": False}, {"temporal": False}, {"layout": "padded"}, {"overlap": 1}],
    ids=lambda change: next(iter(change)),
)
def test_every_option_of_the_ablations_changes_the_video(change):
    plain = dataclasses.replace(SAMPLING, overlap=2)
    sampling, options, _ = choose(SYSTEM, plain, change)
    changed, whole = run(FLAT, sampling=sampling, options=options), run(FLAT, sampling=plain)
    chex.assert_equal_shape([changed, whole])
    assert float(jnp.abs(changed - whole).max()) > 1e-4


def test_without_temporal_layers_frames_are_independent():
    config, params = tiny(sizes=FLAT)
    reference, motion = inputs()
    sampling, options = dataclasses.replace(SAMPLING, overlap=0), Options(temporal=False)

    def frames(motion):
        arguments = {"key": jax.random.key(1), "sampling": sampling, "options": options}
        return animate(params, config, reference, motion, **arguments)

    changed = frames(motion.at[3].set(0.5))
    chex.assert_trees_all_close(changed[:3], frames(motion)[:3], atol=1e-6)
    assert float(jnp.abs(changed[3] - frames(motion)[3]).max()) > 1e-4


def test_options_that_do_not_exist_are_named():
    with pytest.raises(InputError, match="'wibdow' is not one of MagicAnimate's: average"):
        choose(SYSTEM, SAMPLING, {"wibdow": 3})
    with pytest.raises(InputError, match="layout is 'round'"):
        choose(SYSTEM, SAMPLING, {"layout": "round"})
