"""Sizes of the networks that PoseAnything's puppet weights have: Wan2.2 in small, 5.3 M parameters in all."""

from jaxanim.data.skeletons import SkeletonClips
from jaxanim.diffusion.flow import Flow
from jaxanim.models.t5 import T5Config
from jaxanim.models.wan.config import WanConfig
from jaxanim.models.wan.vae_config import WanVAEConfig
from jaxanim.systems.base import Sampling
from jaxanim.systems.poseanything.config import PoseAnythingConfig, PoseRules

LATENTS = 16
VAE = WanVAEConfig(
    base_dim=20,
    decoder_base_dim=24,
    z_dim=LATENTS,
    dim_mult=(1, 2, 2),
    temporal_downsample=(True, True),
    num_res_blocks=1,
    latents_mean=(0.0,) * LATENTS,
    latents_std=(1.0,) * LATENTS,
)
TRANSFORMER = WanConfig(
    num_layers=6,
    num_attention_heads=4,
    attention_head_dim=48,
    ffn_dim=640,
    in_channels=2 * LATENTS,
    out_channels=LATENTS,
    patch_size=(1, 1, 1),
    text_dim=64,
    freq_dim=128,
    part_attention=True,
)
TEXT_ENCODER = T5Config(
    vocab_size=128, d_model=64, d_kv=16, d_ff=128, num_layers=2, num_heads=4, positions_in_every_layer=True
)
MODEL = PoseAnythingConfig(
    vae=VAE,
    transformer=TRANSFORMER,
    text_encoder=TEXT_ENCODER,
    # 27 of 30 blocks is 4 of 6. A token is 8 x 8 pixels, so parts may be small.
    rules=PoseRules(part_form="exclusive", match_block=4, match_t=900.0, fewest_pixels=5, prompt_length=32),
    diffusion=Flow(shift=3.0),
    defaults=Sampling(size=(64, 64), steps=20, guidance=1.0, fps=25, window=17, overlap=0),
)
CLIPS = SkeletonClips(seeds=(0, 1050), frames=17, size=(64, 64))
HELD_OUT = SkeletonClips(seeds=(900_000, 28), frames=17, size=(64, 64))
