"""Every number of a Stable Diffusion; the defaults are version 1.5's."""

import dataclasses

from jaxanim.diffusion.betas import Betas
from jaxanim.models.clip_text import CLIPTextConfig
from jaxanim.models.controlnet import ControlNetConfig
from jaxanim.models.unet import UNetConfig
from jaxanim.models.vae import VAEConfig
from jaxanim.systems.base import Sampling


@dataclasses.dataclass(frozen=True)
class StableDiffusionConfig:
    """The networks, the diffusion and the defaults of one set of weights.

    With `unet.motion` it is AnimateDiff, which generates videos; `controlnet` is None without one. The last step
    goes to the noise level of timestep 0, as in the scheduler_config.json that SD1.5 comes with.
    """

    vae: VAEConfig = VAEConfig()
    text_encoder: CLIPTextConfig = CLIPTextConfig()
    unet: UNetConfig = UNetConfig()
    controlnet: ControlNetConfig | None = None
    diffusion: Betas = Betas(set_alpha_to_one=False)
    defaults: Sampling = Sampling()
