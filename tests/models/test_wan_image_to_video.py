"""A few steps from an image to a video on random weights, against diffusers' WanImageToVideoPipeline."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch")

from jaxanim.models.wan.image_to_video import sample_latents
from jaxanim.models.wan.video import to_latents, to_pixels
from tests.models import sd_oracle as oracle
from tests.models import wan_oracle
from tests.models.sd_oracle import diffusers

STEPS, FRAMES, WORDS = 3, 9, 6
CONFIG = dataclasses.replace(wan_oracle.TINY, num_layers=2, in_channels=5, out_channels=5)
VAE = wan_oracle.TINY_VAE


def test_image_to_video_is_diffusers():
    transformer, vae = wan_oracle.make_transformer(CONFIG, 1), wan_oracle.make_vae(VAE, 2)
    height, width = 2 * VAE.downscale * 2, 3 * VAE.downscale * 2
    image = np.random.default_rng(3).integers(0, 256, (height, width, 3)).astype(np.uint8)
    grid = ((FRAMES + 3) // 4, height // VAE.downscale, width // VAE.downscale)
    noise, text, negative = oracle.draws(4, (1, *grid, 5), (1, WORDS, CONFIG.text_dim), (1, WORDS, CONFIG.text_dim))

    scheduler = diffusers.UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=5.0, solver_order=2
    )
    pipeline = diffusers.WanImageToVideoPipeline(
        tokenizer=None,
        text_encoder=None,
        vae=vae,
        scheduler=scheduler,
        transformer=transformer,
        expand_timesteps=True,
    )
    pipeline.set_progress_bar_config(disable=True)
    theirs = pipeline(
        image=Image.fromarray(image), prompt_embeds=oracle.to_torch(text), guidance_scale=5.0,
        negative_prompt_embeds=oracle.to_torch(negative), height=height, width=width, num_frames=FRAMES,
        num_inference_steps=STEPS, latents=oracle.video_to_torch(noise), output_type="np",
    ).frames  # fmt: skip

    params = wan_oracle.params_of(transformer), oracle.params_of(vae)
    pixels = jnp.asarray(image, jnp.float32)[None, None] / 127.5 - 1
    first = to_latents(params[1], VAE, pixels)
    options = {"steps": STEPS, "guidance": 5.0}
    latents = sample_latents(CONFIG, params[0], first, noise, text, negative, **options)
    np.testing.assert_array_equal(latents[:, :1], first)
    ours = np.asarray(to_pixels(params[1], VAE, latents)) / 2 + 0.5
    assert ours.shape == (1, FRAMES, height, width, 3)
    assert theirs.std() > 0.05
    assert oracle.relative_error(ours, theirs) < 1e-3
    in_turn = sample_latents(CONFIG, params[0], first, noise, text, negative, in_turn=True, **options)
    np.testing.assert_allclose(in_turn, latents, atol=1e-4)
