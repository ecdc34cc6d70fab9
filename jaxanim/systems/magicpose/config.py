"""Every number of MagicPose; the defaults are the released system's."""

import dataclasses

from jaxanim.diffusion.betas import Betas
from jaxanim.errors import InputError
from jaxanim.models.clip_text import CLIPTextConfig
from jaxanim.models.controlnet import ControlNetConfig
from jaxanim.models.motion import ANIMATEDIFF_V2
from jaxanim.models.unet_config import UNetConfig
from jaxanim.models.vae import VAEConfig
from jaxanim.stored import register_config
from jaxanim.systems.base import Sampling

READINGS = ("hidden_states", "keys_and_values")


@register_config
@dataclasses.dataclass(frozen=True)
class MultiSourceConfig:
    """How the multi-source attention of Eq. 3 comes by K_2 and V_2.

    Attributes:
      shares: "hidden_states" as released: the appearance model hands over its normalised hidden states, and the
        frozen UNet projects them by its own to_k and to_v. "keys_and_values" as the paper reads: the appearance
        model projects them itself.
    """

    shares: str = "hidden_states"

    def __post_init__(self):
        if self.shares not in READINGS:
            raise InputError(f"shares is {self.shares!r}: choose {' or '.join(map(repr, READINGS))}")


@register_config
@dataclasses.dataclass(frozen=True)
class MagicPoseConfig:
    """The networks, the diffusion and the defaults of one set of weights.

    `vae`, `text_encoder` and `unet` are the base's, whose parameters no stage changes; `unet.readers` is "all",
    and `unet.motion` the optional motion module's, None without one. The appearance model is an image copy of
    the UNet, `image_form(unet)`, without output layers.
    """

    vae: VAEConfig = VAEConfig()
    text_encoder: CLIPTextConfig = CLIPTextConfig()
    unet: UNetConfig = UNetConfig(readers="all", motion=ANIMATEDIFF_V2)
    controlnet: ControlNetConfig = ControlNetConfig()
    multi_source: MultiSourceConfig = MultiSourceConfig()
    diffusion: Betas = Betas()
    defaults: Sampling = Sampling(steps=50, guidance=7.0)

    def __post_init__(self):
        if self.unet.readers != "all":
            raise InputError(f"unet.readers is {self.unet.readers!r}: MagicPose's is 'all'")
