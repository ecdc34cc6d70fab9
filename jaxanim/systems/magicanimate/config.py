"""Every number of MagicAnimate; the defaults are the released system's."""

import dataclasses

from jaxanim.diffusion.betas import Betas
from jaxanim.models.clip_text import CLIPTextConfig
from jaxanim.models.clip_vision import CLIPVisionConfig
from jaxanim.models.controlnet import ControlNetConfig
from jaxanim.models.motion import MAGICANIMATE
from jaxanim.models.unet_config import UNetConfig, image_form
from jaxanim.models.vae import VAEConfig
from jaxanim.stored import register_config
from jaxanim.systems.base import Sampling

__all__ = ["MagicAnimateConfig", "image_form"]


@register_config
@dataclasses.dataclass(frozen=True)
class MagicAnimateConfig:
    """The networks, the diffusion and the defaults of one set of weights.

    `unet` is the video form; its image form (stage 1) is `image_form(unet)`. With an `image_encoder` the reference
    is known by its CLIP embedding alone, and there is no appearance encoder: a baseline of the paper's Table 2b.
    """

    vae: VAEConfig = VAEConfig()
    text_encoder: CLIPTextConfig = CLIPTextConfig()
    unet: UNetConfig = UNetConfig(motion=MAGICANIMATE, pool_frames=True)
    controlnet: ControlNetConfig = ControlNetConfig()
    image_encoder: CLIPVisionConfig | None = None
    diffusion: Betas = Betas(beta_schedule="linear")
    defaults: Sampling = Sampling()
