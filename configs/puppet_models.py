"""Sizes of the networks that the puppet world's weights have: Stable Diffusion 1.5 in small."""

import dataclasses

from jaxanim.data.poses import PosedClips
from jaxanim.data.puppets import PuppetClips
from jaxanim.diffusion.betas import Betas
from jaxanim.models.clip_text import CLIPTextConfig
from jaxanim.models.controlnet import ControlNetConfig
from jaxanim.models.motion import MotionConfig
from jaxanim.models.unet import UNetConfig
from jaxanim.systems.base import Sampling
from jaxanim.systems.magicanimate.config import MagicAnimateConfig
from jaxanim.systems.magicpose.config import MagicPoseConfig

LATENTS = 32
TEXT_WIDTH = 64
ENCODER = {
    "in_channels": LATENTS,
    "block_out_channels": (96, 96, 64),
    "layers_per_block": 1,
    "cross_attention_dim": TEXT_WIDTH,
    "num_attention_heads": 4,
    "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
    "norm_num_groups": 16,
}
UNET = UNetConfig(
    out_channels=LATENTS, up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"), **ENCODER
)
MOTION = MotionConfig(heads=4, norm_num_groups=16)
CONTROLNET = ControlNetConfig(conditioning_embedding_out_channels=(8, 16, 32, 64), **ENCODER)
TEXT_ENCODER = CLIPTextConfig(
    vocab_size=1024,
    hidden_size=TEXT_WIDTH,
    intermediate_size=2 * TEXT_WIDTH,
    num_hidden_layers=2,
    num_attention_heads=4,
    max_position_embeddings=32,
)
# Few steps that begin where the noise is: "leading" spacing would start them from latents that still hold signal.
DIFFUSION = Betas(beta_schedule="linear", prediction_type="v_prediction", spacing="trailing")
DEFAULTS = Sampling(size=(128, 128), steps=2, guidance=1.5)
MAGICANIMATE = MagicAnimateConfig(
    text_encoder=TEXT_ENCODER,
    unet=dataclasses.replace(UNET, motion=MOTION, pool_frames=True),
    controlnet=CONTROLNET,
    diffusion=DIFFUSION,
    defaults=dataclasses.replace(DEFAULTS, steps=1, guidance=1.0),
)
MAGICPOSE = MagicPoseConfig(
    text_encoder=TEXT_ENCODER,
    unet=dataclasses.replace(UNET, readers="all", motion=dataclasses.replace(MOTION, max_frames=32, in_mid=True)),
    controlnet=CONTROLNET,
    diffusion=DIFFUSION,
    defaults=DEFAULTS,
)
POSED = PosedClips(PuppetClips(seeds=(0, 3000), frames=8, span=75))
