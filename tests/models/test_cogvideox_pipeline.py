"""Image to video in a few steps against diffusers' CogVideoXImageToVideoPipeline, on a small random model."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxanim.errors import InputError
from jaxanim.models.cogvideox.chunks import encode, to_pixels
from jaxanim.models.cogvideox.config import CogVideoXConfig
from jaxanim.models.cogvideox.image_to_video import animate_image, length, sample_video
from jaxanim.models.cogvideox.vae import CogVideoXVAEConfig
from tests.convert.converted import convert
from tests.models import cogvideox_oracle as oracle
from tests.models.cogvideox_oracle import diffusers, torch


@pytest.fixture(scope="module")
def nets():
    transformer, vae = oracle.make_transformer(num_layers=2), oracle.make_vae()
    return (
        transformer,
        vae,
        *convert(transformer.state_dict())[1:],
        *convert(vae.state_dict(), dict(vae.config))[1:],
    )


@pytest.mark.parametrize(("frames", "extra"), [(9, 1), (17, 1)])
def test_a_few_steps(nets, frames, extra):
    """9 frames are 3 latent frames, padded to 4 and cut again; 17 are 5, decoded in two chunks."""
    transformer, vae, config, params, vae_config, vae_params = nets
    scheduler = diffusers.CogVideoXDDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, steps_offset=0,
        prediction_type="v_prediction", timestep_spacing="trailing", rescale_betas_zero_snr=True,
        set_alpha_to_one=True, snr_shift_scale=1.0,
    )  # fmt: skip
    pipeline = diffusers.CogVideoXImageToVideoPipeline(
        tokenizer=None, text_encoder=None, vae=vae, transformer=transformer, scheduler=scheduler
    )
    pipeline.set_progress_bar_config(disable=True)
    size = length(frames, config, vae_config)
    assert (size.latents, size.extra) == ((frames - 1) // 4 + 1, extra)
    rng = np.random.default_rng(0)
    image = rng.uniform(size=(1, 16, 16, 3)).astype(np.float32)
    text, negative = rng.normal(size=(2, 1, 5, 10)).astype(np.float32)
    x_T = rng.normal(size=(1, size.all, 2, 2, 4)).astype(np.float32)
    expected = pipeline(
        image=torch.from_numpy(np.moveaxis(image, -1, 1).copy()), prompt_embeds=torch.from_numpy(text),
        negative_prompt_embeds=torch.from_numpy(negative), height=16, width=16, num_frames=frames,
        num_inference_steps=3, guidance_scale=6.0, generator=torch.Generator().manual_seed(7),
        latents=torch.from_numpy(np.moveaxis(x_T, -1, 2).copy()), output_type="np",
    ).frames  # fmt: skip

    mean, logvar = encode(vae_params, vae_config, jnp.asarray(image)[:, None] * 2 - 1)
    draw = torch.randn((1, 4, 1, 2, 2), generator=torch.Generator().manual_seed(7)).numpy()
    latent = (mean + jnp.exp(0.5 * logvar) * np.moveaxis(draw, 1, -1)) / vae_config.scaling_factor
    x = sample_video(params, config, latent, jnp.asarray(text), jnp.asarray(negative), jnp.asarray(x_T), steps=3)
    pixels = np.asarray(to_pixels(vae_params, vae_config, x[:, size.extra :]))
    assert pixels.shape == expected.shape == (1, frames, 16, 16, 3)
    ours = np.clip(pixels / 2 + 0.5, 0, 1)
    assert expected.std() > 0.02  # no picture of clipped values
    assert np.abs(ours - expected).max() < 1e-3


def test_from_a_picture_to_a_video(nets):
    _, _, config, params, vae_config, vae_params = nets
    image = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (1, 1, 16, 16, 3)), jnp.float32)
    text = jnp.ones((1, 5, 10))

    def animate(frames, key):
        return animate_image(
            params,
            config,
            vae_params,
            vae_config,
            image,
            text,
            -text,
            frames=frames,
            key=jax.random.key(key),
            steps=3,
        )

    video = animate(9, 0)
    assert video.shape == (1, 9, 16, 16, 3)
    assert np.isfinite(video).all()
    np.testing.assert_array_equal(video, animate(9, 0))
    assert np.abs(video - animate(9, 1)).max() > 1e-3
    with pytest.raises(InputError, match="frames is 8: it must be 1 more than a multiple of 8"):
        animate(8, 0)


def test_released_lengths():
    """81 frames are 21 latent frames, and one more in front."""
    assert length(81, CogVideoXConfig(), CogVideoXVAEConfig()) == (21, 1)
    assert length(49, CogVideoXConfig(), CogVideoXVAEConfig()) == (13, 1)
