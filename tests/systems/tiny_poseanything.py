"""PoseAnything with every number small, every parameter random and no zero-initialised layer left silent."""

import dataclasses
import functools

from jaxanim.diffusion.flow import Flow
from jaxanim.models.shapes import parameter_shapes
from jaxanim.models.t5 import T5Config
from jaxanim.models.wan.config import WanConfig
from jaxanim.models.wan.vae_config import WanVAEConfig
from jaxanim.models.words import word_tokenizer
from jaxanim.puppets import vocabulary
from jaxanim.systems.base import Sampling
from jaxanim.systems.poseanything.config import PoseAnythingConfig, PoseRules
from jaxanim.systems.poseanything.network import PoseMLPConfig
from tests.systems.tiny import Tiny, random_params

TOKENIZER = word_tokenizer(vocabulary())
CONFIG = PoseAnythingConfig(
    vae=WanVAEConfig(
        base_dim=4, decoder_base_dim=4, z_dim=4, dim_mult=(1, 1), temporal_downsample=(True,), num_res_blocks=1,
        latents_mean=(0.1, -0.2, 0.3, 0.0), latents_std=(0.5, 1.0, 2.0, 1.0),
    ),
    transformer=WanConfig(
        num_layers=2, num_attention_heads=2, attention_head_dim=12, ffn_dim=16, in_channels=8, out_channels=4,
        text_dim=8, freq_dim=16, part_attention=True,
    ),
    text_encoder=T5Config(
        vocab_size=TOKENIZER.get_vocab_size(), d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2,
        positions_in_every_layer=True,
    ),
    rules=PoseRules(match_block=1, prompt_length=16),
    diffusion=Flow(shift=5.0),
    defaults=Sampling(size=(32, 32), steps=4, guidance=1.0, fps=24, window=5, overlap=0),
)  # fmt: skip


def injected(how):
    """The config with another injection, which alone has no part module where it has no place."""
    rules = dataclasses.replace(CONFIG.rules, injection=how)
    channels = 8 if how == "channels" else 4
    transformer = dataclasses.replace(CONFIG.transformer, in_channels=channels, part_attention=how == "channels")
    return dataclasses.replace(CONFIG, rules=rules, transformer=transformer)


@functools.cache
def tiny(config=CONFIG) -> Tiny:
    """The tiny PoseAnything."""
    shapes = {
        name: parameter_shapes(name, getattr(config, name)) for name in ("vae", "transformer", "text_encoder")
    }
    if config.rules.injection == "mlp":
        shapes["pose_mlp"] = parameter_shapes("pose_mlp", PoseMLPConfig(config.vae.z_dim))
    return Tiny(config, random_params(shapes))
