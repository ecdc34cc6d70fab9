"""MagicAnimate's ways to need less memory: the same frames, in fewer bytes."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxanim.models.tokenizer import build_word_tokenizer
from jaxanim.systems.base import Memory, Sampling
from jaxanim.systems.magicanimate.animate import Options, _Denoise, animate
from jaxanim.systems.magicanimate.system import load, save
from tests.systems.tiny import FLAT, tiny


def inputs(frames=7, side=32):
    rng = np.random.default_rng(0)
    reference = jnp.asarray(rng.uniform(-1, 1, (side, side, 3)), jnp.float32)
    return reference, jnp.asarray(rng.uniform(0, 1, (frames, side, side, 3)), jnp.float32)


def run(config, params, **memory):
    sampling, key = Sampling(steps=2, guidance=2.0, window=4, overlap=1), jax.random.key(1)
    return np.asarray(animate(params, config, *inputs(), key=key, sampling=sampling, memory=Memory(**memory)))


@pytest.mark.slow
def test_guidance_in_turn_and_tiles_give_the_same_frames():
    config, params = tiny(sizes=FLAT)
    expected = run(config, params)
    options = {"guidance_in_turn": True, "windows_at_once": 1, "frames_at_once": 1, "vae_tile": 16}
    np.testing.assert_allclose(run(config, params, **options), expected, atol=2e-4)


def test_guidance_in_turn_needs_less_memory():
    config, params = tiny(sizes=FLAT)
    # Whole score matrices make the branches large beside what they share, as at real size.
    config = dataclasses.replace(config, unet=dataclasses.replace(config.unet, attention_kernel="xla"))
    frames, side = 8, 16
    x = jnp.zeros((frames, side, side, 4))
    pose = jnp.zeros((frames, side, side, config.unet.block_out_channels[0]))

    def working(in_turn):
        denoise = _Denoise(
            config, Options(), Memory(guidance_in_turn=in_turn), window=frames, overlap=4, guided=True
        )
        step = jax.tree.map(lambda column: column[0], config.diffusion.walk(25))
        args = params, jnp.zeros((side, side, 4)), pose, jnp.float32(2), x, step
        return jax.jit(denoise).lower(*args).compile().memory_analysis().temp_size_in_bytes

    assert working(True) < 0.8 * working(False)


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """(weights folder, the system loaded from it, its frames)"""
    folder = tmp_path_factory.mktemp("tiny")
    config, params = tiny(sizes=FLAT)
    save(params, config, build_word_tokenizer(["red"], folder / "tokenizer", length=8), folder)
    whole = load(folder)
    return folder, whole, run(whole.config, whole.params)


@pytest.mark.parametrize(("dtype", "tolerance"), [("bfloat16", 0.3), ("float16", 0.03)])
def test_half_precision_holds_half_the_bytes_and_nearly_the_same_frames(stored, dtype, tolerance):
    folder, whole, expected = stored
    half = load(folder, dtype=dtype)
    size = [sum(leaf.nbytes for leaf in jax.tree.leaves(s.params)) for s in (whole, half)]
    assert size[0] == 2 * size[1]
    made = run(half.config, half.params)
    assert made.dtype == np.float32
    assert 0 < np.abs(made - expected).mean() < tolerance * np.abs(expected).mean()
