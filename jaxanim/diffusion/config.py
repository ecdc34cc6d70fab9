"""The numbers of a diffusion process, as they stand in a checkpoint's scheduler_config.json."""

import dataclasses
from typing import Any

from jaxanim.diffusion.schedule import Schedule, make_schedule


@dataclasses.dataclass(frozen=True)
class DiffusionConfig:
    """The noise schedule, what the network predicts, and the sampler's spacing; defaults are Stable Diffusion
    1.5's.

    MagicAnimate's released sampler differs in `beta_schedule="linear"`: t = 961 ... 1 at 25 steps.
    """

    beta_schedule: str = "scaled_linear"
    beta_start: float = 0.00085
    beta_end: float = 0.012
    num_train_timesteps: int = 1000
    prediction_type: str = "epsilon"
    spacing: str = "leading"
    steps_offset: int = 1
    set_alpha_to_one: bool = True

    @property
    def walk(self) -> dict[str, Any]:
        """Where the sampler's steps lie: arguments of `sample` and `ddim_steps`."""
        return {
            "spacing": self.spacing,
            "steps_offset": self.steps_offset,
            "set_alpha_to_one": self.set_alpha_to_one,
        }

    def schedule(self) -> Schedule:
        """The schedule these numbers stand for."""
        return make_schedule(self.beta_schedule, self.beta_start, self.beta_end, self.num_train_timesteps)
