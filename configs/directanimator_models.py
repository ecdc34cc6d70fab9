"""Sizes of the puppet world's CogVideoX and DirectAnimator: 64x64 pixels, 9 frames."""

from jaxanim.models.cogvideox.config import CogVideoXConfig
from jaxanim.models.cogvideox.vae import CogVideoXVAEConfig
from jaxanim.systems.base import Sampling
from jaxanim.systems.directanimator.config import DirectAnimatorConfig
from jaxanim.systems.directanimator.cues import CueOptions
from jaxanim.systems.directanimator.network import CueTransformerConfig
from jaxanim.systems.directanimator.pairs import PuppetPairs

# A tenth of the paper's frame: a limb is then some 4 pixels wide, and a token 8.
CUES = CueOptions(cut_off=12.0, grid=8)
VIDEO_VAE = CogVideoXVAEConfig(
    latent_channels=8, block_out_channels=(16, 24, 32), layers_per_block=1, norm_num_groups=8,
    scaling_factor=1.0, invert_scale_latents=False,
)  # fmt: skip
# Of 12 blocks the paper's D, 10 of 42, is the third.
TRANSFORMER = CogVideoXConfig(
    num_attention_heads=4, attention_head_dim=32, in_channels=16, out_channels=8, time_embed_dim=64,
    ofs_embed_dim=None, text_embed_dim=16, num_layers=12,
)  # fmt: skip
DEPTH = 3
DIRECTANIMATOR = DirectAnimatorConfig(
    transformer=CueTransformerConfig(TRANSFORMER, cue_channels=9),
    vae=VIDEO_VAE,
    cues=CUES,
    defaults=Sampling(size=(64, 64), steps=25, guidance=1.5, fps=25, window=9, overlap=0),
)
PAIRS = PuppetPairs(seeds=(0, 500), frames=9, span=50, size=(64, 64), cues=CUES)
