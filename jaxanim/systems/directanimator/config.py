"""Every number of DirectAnimator; the defaults are the paper's on CogVideoX1.5-5B-I2V."""

import dataclasses

from jaxanim.diffusion.betas import Betas
from jaxanim.models.cogvideox.image_to_video import PROCESS
from jaxanim.models.cogvideox.vae import CogVideoXVAEConfig
from jaxanim.stored import register_config
from jaxanim.systems.base import Sampling
from jaxanim.systems.directanimator.cues import CueOptions
from jaxanim.systems.directanimator.network import CueTransformerConfig


@register_config
@dataclasses.dataclass(frozen=True)
class DirectAnimatorConfig:
    """The networks, the cues that they were trained with, the diffusion and the defaults of one set of weights.

    `defaults.window` is the longest video, 8 n + 1 frames; guidance leads away from what is predicted without cues,
    and 1 does without it.
    """

    transformer: CueTransformerConfig = CueTransformerConfig()
    vae: CogVideoXVAEConfig = CogVideoXVAEConfig()
    cues: CueOptions = CueOptions()
    diffusion: Betas = PROCESS
    defaults: Sampling = Sampling(size=(768, 1360), steps=50, guidance=1.0, fps=16, window=81, overlap=0)
