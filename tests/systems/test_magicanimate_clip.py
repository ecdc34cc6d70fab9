"""MagicAnimate with a CLIP image embedding in place of the appearance encoder (Table 2b)."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxanim import systems
from jaxanim.cues.driving import Driving
from jaxanim.errors import InputError
from jaxanim.models.clip_vision import IMAGE_MEAN, IMAGE_STD, CLIPVision, CLIPVisionConfig
from jaxanim.models.controlnet import ControlNet
from jaxanim.models.shapes import parameter_shapes
from jaxanim.models.tokenizer import build_word_tokenizer
from jaxanim.models.unet import UNet
from jaxanim.models.vae import VAE
from jaxanim.systems.base import Sampling
from jaxanim.systems.magicanimate.animate import animate
from jaxanim.systems.magicanimate.losses import TRAINABLE_CLIP, loss
from jaxanim.systems.magicanimate.system import save
from jaxanim.training.partition import combine, partition
from jaxanim.weights import load_weights, save_weights
from tests.systems import literal as written_out
from tests.systems.test_magicanimate_training import batch
from tests.systems.tiny import FLAT, random_params, tiny

CLIP = CLIPVisionConfig(
    hidden_size=8, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, projection_dim=8, image_size=32,
    patch_size=8,
)  # fmt: skip


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return build_word_tokenizer(["red", "bird"], tmp_path_factory.mktemp("tokenizer"), length=8)


def with_clip(image=False):
    config, params = tiny(image, FLAT)
    params = {name: tree for name, tree in params.items() if name != "appearance_encoder"}
    clip = random_params(parameter_shapes("image_encoder", CLIP), seed=2)
    return dataclasses.replace(config, image_encoder=CLIP), params | {"image_encoder": clip}


@pytest.mark.slow
def test_the_embedding_stands_in_place_of_the_text_written_out():
    config, params = with_clip()
    rng = np.random.default_rng(0)
    reference = jnp.asarray(rng.uniform(-1, 1, (32, 32, 3)), jnp.float32)
    motion = jnp.asarray(rng.uniform(0, 1, (3, 32, 32, 3)), jnp.float32)
    vae, scale = jax.jit(VAE(config.vae).apply, static_argnames="method"), config.vae.scaling_factor
    code = vae({"params": params["vae"]}, reference[None, None], method="encode")[0]
    seen = jnp.clip(vae({"params": params["vae"]}, code, method="decode")[:, 0], -1, 1)
    pixels = (seen / 2 + 0.5 - jnp.array(IMAGE_MEAN)) / jnp.array(IMAGE_STD)
    embedding = jax.jit(CLIPVision(CLIP).apply)({"params": params["image_encoder"]}, pixels)[2]

    @jax.jit
    def eps(params, x, t, text):
        control = {"params": params["controlnet"]}
        down, mid = ControlNet(config.controlnet).apply(control, x[None], t[None], text, motion[None])
        unet = {"params": params["unet"]}
        return UNet(config.unet).apply(
            unet, x[None], t[None], text, down_residuals=down, mid_residual=mid
        )[0]  # fmt: skip

    for guidance in (1.0, 2.0):

        def guided(x, t, guidance=guidance):
            plain, read = (
                np.asarray(eps(params, jnp.asarray(x, jnp.float32), jnp.int32(t), token[None]), np.float64)
                for token in (params["empty_prompt"], embedding)
            )
            return plain + guidance * (read - plain)

        noise = np.asarray(jax.random.normal(jax.random.key(1), (3, *code.shape[2:])), np.float64)
        latents = written_out.ddim(noise, guided, np.linspace(0.00085, 0.012, 1000), steps=2)
        latents = jnp.asarray(latents, jnp.float32)
        truth = jnp.clip(vae({"params": params["vae"]}, latents[None] / scale, method="decode")[0], -1, 1)
        result = animate(
            params, config, reference, motion, key=jax.random.key(1), sampling=Sampling(steps=2, guidance=guidance)
        )
        assert float(jnp.std(result)) > 0.05
        chex.assert_trees_all_close(result, truth, atol=2e-5)


def test_gradients_reach_the_image_encoder_the_attention_to_it_and_the_controlnet():
    config, params = with_clip(image=True)
    learn, rest = partition(params, TRAINABLE_CLIP)
    gradient = jax.jit(jax.grad(lambda learn: loss(combine(learn, rest), config, batch(1), jax.random.key(0))))
    trainable = gradient(learn)
    assert {path.split("/")[0] for path in trainable} == {"image_encoder", "unet", "controlnet"}
    assert all("attn2" in path for path in trainable if path.startswith("unet"))
    # One token is attended to whatever the query and the key are, so that these alone learn nothing.
    silent = {path.split("/")[-2] for path, g in trainable.items() if path.startswith("unet") and not np.any(g)}
    assert silent == {"to_q", "to_k"}
    assert all(np.any(g) for path, g in trainable.items() if path.startswith("image_encoder/visual"))


def test_saved_weights_load_and_animate_as_before(tmp_path, tokenizer):
    config, params = with_clip()
    save(params, config, tokenizer, tmp_path)
    system = systems.load("magicanimate", tmp_path)
    assert system.config.image_encoder == CLIP
    reference, motion = np.zeros((32, 32, 3), np.float32), np.full((3, 32, 32, 3), 128, np.uint8)
    video = system.animate(reference, Driving({"densepose": motion}), key=jax.random.key(0))
    other = system.animate(reference + 0.5, Driving({"densepose": motion}), key=jax.random.key(0))
    chex.assert_tree_all_finite(video)
    assert float(jnp.abs(video - other).max()) > 1e-3


def test_weights_without_any_encoder_of_the_reference_are_refused(tmp_path, tokenizer):
    config, params = with_clip()
    save(params, config, tokenizer, tmp_path)
    networks = {name: pair for name, pair in load_weights(tmp_path).items() if name != "image_encoder"}
    save_weights(tmp_path, networks, system="magicanimate")
    with pytest.raises(InputError, match="no network 'appearance_encoder'"):
        systems.load("magicanimate", tmp_path)
