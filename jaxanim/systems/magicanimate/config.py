"""Every number of MagicAnimate; the defaults are the released system's."""

import dataclasses

from jaxanim.diffusion.config import DiffusionConfig
from jaxanim.models.clip_text import CLIPTextConfig
from jaxanim.models.controlnet import ControlNetConfig
from jaxanim.models.motion import MAGICANIMATE
from jaxanim.models.unet_config import UNetConfig, image_form
from jaxanim.models.vae import VAEConfig
from jaxanim.systems.base import Defaults

__all__ = ["MagicAnimateConfig", "image_form"]


@dataclasses.dataclass(frozen=True)
class MagicAnimateConfig:
    """The networks, the diffusion and the defaults of one set of weights.

    `unet` is the video form; its image form (stage 1) is `image_form(unet)`.
    """

    vae: VAEConfig = VAEConfig()
    text_encoder: CLIPTextConfig = CLIPTextConfig()
    unet: UNetConfig = UNetConfig(motion=MAGICANIMATE, pool_frames=True)
    controlnet: ControlNetConfig = ControlNetConfig()
    diffusion: DiffusionConfig = DiffusionConfig(beta_schedule="linear")
    defaults: Defaults = Defaults()
