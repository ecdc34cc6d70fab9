"""What of a denoising error counts, and how much: a value that diffusion tasks share."""

import dataclasses

from jaxtyping import PyTree

from jaxanim.data.pipeline import Source
from jaxanim.models.vae import VAEConfig
from jaxanim.training.finishing.pixel_weights import pixel_weights


@dataclasses.dataclass(frozen=True)
class Objective:
    """How `jaxanim.training.losses.denoising_loss` draws timesteps and weighs errors; by default as papers do.

    Attributes:
      timestep_power: t is drawn with a density that grows as t^(power - 1): 1 is uniform, 2 favours high noise,
        where what is seen depends on the conditions rather than on the noisy image.
      weigh_pixels: count a latent channel's error by what it changes in the picture, see `pixel_weights`.
      channel_weights: how much the square error of each latent channel counts; None counts all alike.
    """

    timestep_power: float = 1.0
    weigh_pixels: bool = False
    channel_weights: tuple[float, ...] | None = None

    def measured(self, config: VAEConfig, params: PyTree, clips: Source) -> "Objective":
        """The same with the channels' weights found, if they are asked for, on `clips` by an autoencoder."""
        if not self.weigh_pixels:
            return self
        return dataclasses.replace(self, channel_weights=pixel_weights(config, params, clips))


PLAIN = Objective()
"""Uniform timesteps, and all errors alike."""
