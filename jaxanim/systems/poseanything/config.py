"""Every number of PoseAnything; the defaults are the released system's."""

import dataclasses

from jaxanim.diffusion.flow import Flow
from jaxanim.errors import InputError
from jaxanim.models.t5 import T5Config
from jaxanim.models.wan.config import WanConfig
from jaxanim.models.wan.vae_config import WanVAEConfig
from jaxanim.stored import register_config
from jaxanim.systems.base import Sampling
from jaxanim.systems.poseanything.matching import BLOCK, LEAST_T
from jaxanim.systems.poseanything.parts import FEWEST_PIXELS, MOST_PARTS

INJECTIONS = ("channels", "mlp", "width")


@register_config
@dataclasses.dataclass(frozen=True)
class PoseRules:
    """How poses act, beside the networks.

    Attributes:
      injection: how the pose's latents enter: concatenated on the "channels" (Eq. 3, as released), added by an
        "mlp" (Eq. 4), or concatenated on the "width" (Eq. 5), which has no part attention.
      part_form: "released" or the paper's "exclusive", see `part_attention`.
      match_block: whose self-attention parts are matched by.
      match_t: parts are matched at the last step whose t is greater, and attended to until then.
      most_parts, fewest_pixels: segments are joined until there are so few, each with so many pixels.
      prompt_length: tokens of a prompt.
    """

    injection: str = "channels"
    part_form: str = "released"
    match_block: int = BLOCK
    match_t: float = LEAST_T
    most_parts: int = MOST_PARTS
    fewest_pixels: int = FEWEST_PIXELS
    prompt_length: int = 512

    def __post_init__(self):
        if self.injection not in INJECTIONS:
            raise InputError(f"injection is {self.injection!r}: choose one of {', '.join(INJECTIONS)}")


@register_config
@dataclasses.dataclass(frozen=True)
class PoseAnythingConfig:
    """The networks and how they are used.

    Attributes:
      vae: of pictures and of skeletons alike.
      transformer: its in_channels hold the pose's latents beside the noisy ones where these are injected on the
        channels.
      text_encoder: None where prompts' embeddings lie in the weights folder.
      rules: how poses act.
      diffusion: the process, DiffSynth's walk of rectified flow.
      defaults: of sampling.
    """

    vae: WanVAEConfig = WanVAEConfig()
    transformer: WanConfig = WanConfig(in_channels=96, part_attention=True)
    text_encoder: T5Config | None = None
    rules: PoseRules = PoseRules()
    diffusion: Flow = Flow(shift=5.0)
    defaults: Sampling = Sampling(size=(480, 832), steps=50, guidance=1.0, fps=24, window=81, overlap=0)

    def check(self) -> None:
        """Raises InputError where the networks do not fit each other. Making a config does not check it: a command
        line may change several fields in turn."""
        expected = self.vae.z_dim * (2 if self.rules.injection == "channels" else 1)
        if self.transformer.in_channels != expected or self.transformer.out_channels != self.vae.z_dim:
            raise InputError(
                f"transformer takes {self.transformer.in_channels} channels and gives "
                f"{self.transformer.out_channels}: with latents of {self.vae.z_dim} and poses injected by "
                f"{self.rules.injection!r} it should take {expected} and give {self.vae.z_dim}"
            )
        if self.transformer.part_attention and self.rules.injection == "width":
            raise InputError("part_attention is on and injection is 'width': parts have no place beside the poses")
        if not 0 <= self.rules.match_block < self.transformer.num_layers:
            raise InputError(
                f"match_block is {self.rules.match_block}: the transformer has blocks 0 to "
                f"{self.transformer.num_layers - 1}"
            )
