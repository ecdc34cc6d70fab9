"""Stable Diffusion, ControlNet and AnimateDiff against diffusers' pipelines, and the ways to save memory."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxanim.diffusion.sample import _run
from jaxanim.errors import InputError
from jaxanim.models.controlnet import controlnet_config
from jaxanim.models.shapes import parameter_shapes
from jaxanim.models.tokenizer import build_word_tokenizer
from jaxanim.models.unet import MotionConfig, UNetConfig
from jaxanim.systems import stable_diffusion
from jaxanim.systems.base import Memory, choose
from jaxanim.systems.stable_diffusion.config import StableDiffusionConfig
from jaxanim.systems.stable_diffusion.generate import _Denoise
from jaxanim.systems.stable_diffusion.system import StableDiffusion, load, save
from tests.systems.tiny import ENCODER, ONE_LEVEL, random_params
from tests.systems.tiny import FLAT as TINY

IMAGE = StableDiffusionConfig(
    vae=TINY.vae,
    text_encoder=dataclasses.replace(TINY.text_encoder, vocab_size=600),
    unet=UNetConfig(up_block_types=("CrossAttnUpBlock2D",), **ENCODER | ONE_LEVEL),
    controlnet=TINY.controlnet,
    defaults=TINY.defaults,
)
VIDEO = dataclasses.replace(
    IMAGE, unet=dataclasses.replace(IMAGE.unet, motion=MotionConfig(heads=2, norm_num_groups=4))
)
SIZE = (32, 48)


@functools.cache
def params_of(config):
    names = ("vae", "text_encoder", "unet", "controlnet")
    return random_params({name: parameter_shapes(name, getattr(config, name)) for name in names})


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return build_word_tokenizer(["red", "bird", "fog"], tmp_path_factory.mktemp("tokenizer"), length=8)


@pytest.fixture(params=[IMAGE, VIDEO], ids=["image", "video"])
def system(request, tokenizer):
    return StableDiffusion(request.param, params_of(request.param), tokenizer)


def run(system, **changes):
    video = system.config.unet.motion is not None
    control = np.random.default_rng(3).uniform(size=(1, *SIZE, 3)).astype(np.float32)
    arguments = {"negative": "fog", "size": SIZE, "frames": 6 if video else 1, "key": jax.random.key(1)}
    arguments |= {"steps": 2, "guidance": 3.0, "control": control, "window": 4, "overlap": 1} | changes
    own = {"negative", "size", "frames", "key", "noise", "control", "control_scale"}
    said = {name: value for name, value in arguments.items() if name not in own}
    sampling, _, memory = choose(stable_diffusion.SYSTEM, system.defaults, said)
    call = {name: value for name, value in arguments.items() if name in own}
    return np.asarray(system.generate("red bird", **call, sampling=sampling, memory=memory))


@pytest.mark.parametrize("kind", ["image", "control", "video"])
def test_ten_steps_are_diffusers_pipeline(kind, tmp_path):
    sd = pytest.importorskip("tests.systems.sd_pipelines")
    config, control = sd.REDUCED_VIDEO if kind == "video" else sd.REDUCED, None
    if kind == "control":
        widths = (4, 8, 12, 16)
        network = controlnet_config(config.unet, conditioning_embedding_out_channels=widths)
        config = dataclasses.replace(config, controlnet=network)
        control = np.random.default_rng(5).integers(0, 256, (64, 96, 3), np.uint8)
    call = {"size": (64, 96), "steps": 10, "control": control}
    noise = sd.starting_noise(config, call["size"], frames=5 if kind == "video" else 1)
    modules = sd.make_modules(config, tmp_path)
    latents, theirs = sd.run_diffusers(config, modules, tmp_path, noise, **call)
    assert np.isfinite(latents).all()
    assert theirs.std() > 0.05  # a picture, not a clipped plane
    made = sd.run_ours(sd.adopt(config, modules, tmp_path), noise, **call)
    assert sd.oracle.relative_error(made, theirs) < 1e-3


@pytest.mark.parametrize(
    "system", [IMAGE, pytest.param(VIDEO, marks=pytest.mark.slow)], ids=["image", "video"], indirect=True
)
def test_every_way_to_save_memory_gives_the_same_pixels(system):
    expected = run(system)
    every = [
        {"guidance_in_turn": True, "windows_at_once": 1, "frames_at_once": 1},
        {"windows_at_once": 1, "vae_tile": 16},  # a picture has one window
    ]
    if system.config is VIDEO:
        every.append({"guidance_in_turn": True, "windows_at_once": 2})
    for options in every:
        np.testing.assert_allclose(run(system, **options), expected, atol=2e-4, err_msg=str(options))


def test_guidance_in_turn_needs_less_memory():
    params, side = params_of(IMAGE), 192  # much larger than one block of attention, which both have once
    text, x, embedding = jnp.zeros((1, 8, 8)), jnp.zeros((1, 1, side, side, 4)), jnp.zeros((1, 1, side, side, 8))

    def working(in_turn):
        denoise = _Denoise(IMAGE, Memory(guidance_in_turn=in_turn), window=16, overlap=4, guided=True)
        step = jax.tree.map(lambda column: column[0], IMAGE.diffusion.walk(25))
        args = params, text, text, embedding, jnp.float32(2), jnp.float32(1), x, step
        return jax.jit(denoise).lower(*args).compile().memory_analysis().temp_size_in_bytes

    assert working(True) < 0.7 * working(False)


def test_prompt_negative_control_and_key_each_matter_and_guidance_1_knows_no_negative(system):
    base = run(system)
    for change in ({"negative": ""}, {"control": None}, {"control_scale": 0.3}, {"key": jax.random.key(2)}):
        assert np.abs(run(system, **change) - base).max() > 1e-3, change
    np.testing.assert_array_equal(run(system, guidance=1.0), run(system, guidance=1.0, negative=""))


def test_other_words_seeds_and_scales_compile_nothing_new(system):
    run(system)
    compiled = _run._cache_size()
    run(system, negative="red", guidance=5.0, key=jax.random.key(9), control_scale=0.5)
    assert _run._cache_size() == compiled


@pytest.mark.parametrize(
    ("system", "dtype", "tolerance"),
    [(IMAGE, "bfloat16", 0.3), (VIDEO, "float16", 0.03)],
    ids=["image in bfloat16", "video in float16"],
    indirect=["system"],
)
def test_half_precision_holds_half_the_bytes_and_nearly_the_same_picture(
    system, tokenizer, tmp_path, dtype, tolerance
):
    save(system.params, system.config, tokenizer, tmp_path)
    whole, half = load(tmp_path), load(tmp_path, dtype=dtype)
    size = [sum(leaf.nbytes for leaf in jax.tree.leaves(s.params)) for s in (whole, half)]
    assert size[0] == 2 * size[1]
    expected, made = run(whole), run(half)
    assert made.dtype == np.float32
    assert 0 < np.abs(made - expected).mean() < tolerance * np.abs(expected).mean()


def test_saving_and_loading_keeps_config_and_picture(system, tokenizer, tmp_path):
    params = jax.tree.map(lambda x: x.astype(jnp.float16).astype(jnp.float32), system.params)
    system = dataclasses.replace(system, params=params)
    save(params, system.config, tokenizer, tmp_path)
    again = load(tmp_path)
    assert again.config == system.config
    np.testing.assert_array_equal(run(again), run(system))


def test_impossible_calls_are_refused(system, tokenizer):
    image = StableDiffusion(IMAGE, system.params, tokenizer)
    plain = StableDiffusion(dataclasses.replace(IMAGE, controlnet=None), system.params, tokenizer)
    with pytest.raises(InputError, match="frames is 2: these weights have no motion modules"):
        run(image, frames=2)
    with pytest.raises(InputError, match="no network 'controlnet'"):
        run(plain)
    with pytest.raises(InputError, match="control has 3 frames; it should have 1 or"):
        run(system, control=np.zeros((3, *SIZE, 3), np.float32))
    with pytest.raises(InputError, match=r"size is 50x32: .* multiples of 8"):
        run(system, size=(32, 50))
    with pytest.raises(InputError, match="key or noise"):
        run(system, key=None)
    with pytest.raises(InputError, match=r"noise has shape \(1, 2, 2, 4\)"):
        run(system, key=None, noise=np.zeros((1, 2, 2, 4)))
    with pytest.raises(InputError, match="option 'colour' is not one of"):
        run(system, colour=1)
