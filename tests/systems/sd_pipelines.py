"""diffusers' Stable Diffusion, ControlNet and AnimateDiff pipelines with random weights, and ours with the same."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from jaxanim.diffusion.betas import Betas
from jaxanim.models.clip_text import CLIPTextConfig
from jaxanim.models.tokenizer import build_word_tokenizer, load_tokenizer
from jaxanim.models.unet import MotionConfig
from jaxanim.models.vae import VAEConfig
from jaxanim.systems.base import Sampling
from jaxanim.systems.stable_diffusion.config import StableDiffusionConfig
from jaxanim.systems.stable_diffusion.system import StableDiffusion
from tests.models import sd_oracle as oracle
from tests.models.sd_oracle import TINY, diffusers, torch

transformers = pytest.importorskip("transformers")

PROMPT, NEGATIVE = "a red bird by the sea", "blurry text"
REDUCED = StableDiffusionConfig(
    vae=VAEConfig(block_out_channels=(8, 8, 16, 16), layers_per_block=1, norm_num_groups=4),
    text_encoder=CLIPTextConfig(
        vocab_size=600, hidden_size=24, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=12,
    ),
    unet=TINY,
)  # fmt: skip
# diffusers takes the motion modules' GroupNorm over all frames, and AnimateDiff's schedule is linear.
REDUCED_VIDEO = dataclasses.replace(
    REDUCED,
    unet=dataclasses.replace(TINY, motion=MotionConfig(max_frames=32, norm_num_groups=8, pool_frames=True)),
    diffusion=Betas(beta_schedule="linear", set_alpha_to_one=False),
)


def make_text_encoder(config: CLIPTextConfig, seed=0):
    end = config.vocab_size - 1
    return oracle.randomise(
        transformers.CLIPTextModel(
            transformers.CLIPTextConfig(
                vocab_size=config.vocab_size, hidden_size=config.hidden_size,
                intermediate_size=config.intermediate_size, num_hidden_layers=config.num_hidden_layers,
                num_attention_heads=config.num_attention_heads,
                max_position_embeddings=config.max_position_embeddings, hidden_act=config.hidden_act,
                bos_token_id=end - 1, eos_token_id=end, pad_token_id=end,
            )
        ),
        seed,
    )  # fmt: skip


def make_vae(config: VAEConfig, seed=0):
    levels = len(config.block_out_channels)
    net = diffusers.AutoencoderKL(
        block_out_channels=config.block_out_channels,
        latent_channels=config.latent_channels,
        layers_per_block=config.layers_per_block,
        norm_num_groups=config.norm_num_groups,
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        scaling_factor=config.scaling_factor,
    )
    return oracle.randomise(net, seed)


def make_modules(config: StableDiffusionConfig, folder):
    """PyTorch modules by name, with random weights; a tokenizer goes to `folder`."""
    words = f"{PROMPT} {NEGATIVE}".split()
    tokenizer = build_word_tokenizer(words, folder, length=config.text_encoder.max_position_embeddings)
    assert tokenizer.get_vocab_size() <= config.text_encoder.vocab_size
    make_unet = oracle.make_unet if config.unet.motion is None else oracle.make_video_unet
    modules = {
        "vae": make_vae(config.vae, 1),
        "text_encoder": make_text_encoder(config.text_encoder, 2),
        "unet": make_unet(config.unet, 3),
    }
    if config.controlnet is not None:
        modules["controlnet"] = oracle.make_controlnet(config.controlnet, 4)
    return modules


def adopt(config: StableDiffusionConfig, modules, folder) -> StableDiffusion:
    """Our system with the weights of the modules, which are empty afterwards."""
    params = {name: oracle.take_params(net) for name, net in modules.items()}
    return StableDiffusion(config, params, load_tokenizer(folder))


def starting_noise(config: StableDiffusionConfig, size, frames, seed=0):
    height, width = (side // config.vae.downscale for side in size)
    rng = np.random.default_rng(seed)
    return rng.standard_normal((frames, height, width, config.unet.in_channels)).astype(np.float32)


def run_diffusers(
    config: StableDiffusionConfig, modules, folder, noise, *, size, steps, guidance=7.5, control=None
):
    """diffusers' latents [frames, h, w, c] and pixels [frames, height, width, 3] in [0, 1]."""
    height, width = size
    scheduler = diffusers.DDIMScheduler(
        beta_start=config.diffusion.beta_start, beta_end=config.diffusion.beta_end, clip_sample=False,
        beta_schedule=config.diffusion.beta_schedule, set_alpha_to_one=config.diffusion.set_alpha_to_one,
        steps_offset=config.diffusion.steps_offset, timestep_spacing=config.diffusion.spacing,
    )  # fmt: skip
    parts = {**modules, "tokenizer": transformers.CLIPTokenizer.from_pretrained(folder), "scheduler": scheduler}
    call = {"height": height, "width": width, "num_inference_steps": steps, "guidance_scale": guidance}
    call |= {"prompt": PROMPT, "negative_prompt": NEGATIVE, "output_type": "pt", "return_dict": False}
    if config.unet.motion is not None:
        pipeline = diffusers.AnimateDiffPipeline(**parts, motion_adapter=None)
        call |= {"num_frames": len(noise), "latents": oracle.video_to_torch(noise[None])}
    else:
        kind = "StableDiffusionPipeline" if control is None else "StableDiffusionControlNetPipeline"
        rest = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
        pipeline = getattr(diffusers, kind)(**parts, **rest)
        call["latents"] = oracle.images_to_torch(noise[None])
    if control is not None:
        call["image"] = Image.fromarray(control)
    pipeline.set_progress_bar_config(disable=True)
    last = {}

    def keep(_pipeline, _step, _t, tensors):
        last.update(tensors)
        return tensors

    with torch.no_grad():
        pixels = pipeline(**call, callback_on_step_end=keep)[0]
    latents = last["latents"]
    if config.unet.motion is not None:
        pixels, latents = pixels[0], latents[0].transpose(0, 1)
    return [np.moveaxis(x.numpy(), 1, -1) for x in (latents, pixels)]


def run_ours(system: StableDiffusion, noise, *, size, steps, guidance=7.5, control=None):
    """Our pixels [frames, height, width, 3] in [0, 1]."""
    control = None if control is None else control[None] / np.float32(255)
    made = system.generate(
        PROMPT, negative=NEGATIVE, size=size, frames=len(noise), noise=noise, control=control,
        sampling=Sampling(steps=steps, guidance=guidance),
    )  # fmt: skip
    return np.asarray(made) / 2 + 0.5
