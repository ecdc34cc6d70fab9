"""Ten DDIM steps of text-to-image and of AnimateDiff at SD1.5's real width, from the same latents as diffusers."""

import dataclasses

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from jaxanim.diffusion.betas import Betas
from jaxanim.models.motion import ANIMATEDIFF_V3
from jaxanim.models.unet import UNetConfig
from jaxanim.systems.stable_diffusion.config import StableDiffusionConfig
from tests.models.sd_oracle import relative_error
from tests.systems import sd_pipelines

pytestmark = pytest.mark.full_size

IMAGE = StableDiffusionConfig()
VIDEO = StableDiffusionConfig(
    unet=UNetConfig(motion=dataclasses.replace(ANIMATEDIFF_V3, pool_frames=True)),
    diffusion=Betas(beta_schedule="linear", set_alpha_to_one=False),
)


@pytest.mark.parametrize(
    ("config", "size", "frames"), [(IMAGE, (256, 256), 1), (VIDEO, (128, 128), 4)], ids=["image", "animatediff"]
)
def test_ten_steps_are_diffusers_pipeline(config, size, frames, tmp_path):
    noise = sd_pipelines.starting_noise(config, size, frames)
    modules = sd_pipelines.make_modules(config, tmp_path)
    _, theirs = sd_pipelines.run_diffusers(config, modules, tmp_path, noise, size=size, steps=10)
    assert theirs.std() > 0.05
    ours = sd_pipelines.run_ours(sd_pipelines.adopt(config, modules, tmp_path), noise, size=size, steps=10)
    error = relative_error(ours, theirs)
    print(f"relative error {error:.1e}")
    assert error < 1e-3
