"""Training a system on what is seen in the end: its samples, decoded."""

import dataclasses
import os

import grain
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer, PyTree, UInt8

from jaxanim.cues.densepose import HEAD
from jaxanim.data.batches import Batch, check_targets, draw_pairs
from jaxanim.data.clips import Clips
from jaxanim.data.latents import latent_clips
from jaxanim.data.pipeline import cached
from jaxanim.errors import InputError
from jaxanim.models.vae import to_pixels
from jaxanim.training.feed import Feed
from jaxanim.training.finishing.adversarial import adversarial_loss
from jaxanim.training.finishing.discriminator import DISCRIMINATOR, fresh_discriminator, judge
from jaxanim.training.finishing.texture import contrast, texture_loss
from jaxanim.training.finishing.weights import Start, Weights
from jaxanim.training.losses import decibels
from jaxanim.training.sharding import placed
from jaxanim.training.task import Place


@dataclasses.dataclass(frozen=True)
class PixelRecipe:
    """All that makes a frame of the reference learns together with the decoder, through the sampler, on the pixels.

    For weights that sample in one step, or in a few: a step of training runs the whole sampler,
    frame by frame without temporal layers, and the decoder. The encoder stays, so other weights over the same
    latents stay valid.

    Attributes:
      start: the weights to begin with, which say in how many steps is sampled.
      clips: with DensePose "parts", of which one frame is the reference and `targets` others are shown.
      targets: frames for one reference.
      subject_weight, head_weight: how much the square error of a pixel on the body, and on the head, counts beside
        that of one of the background.
      texture: how much the error of local contrast counts beside the square error of pixels, see `texture_loss`.
      true_share: how often the decoder is given a frame's true latents, so that it stays the autoencoder's as well.
      adversarial: how much a patch discriminator's opinion counts beside both, see `adversarial_loss`; 0 trains
        without one.
    """

    start: Start
    clips: Clips
    targets: int = 2
    subject_weight: float = 1.0
    head_weight: float = 1.0
    texture: float = 0.0
    true_share: float = 0.1
    adversarial: float = 0.0

    def __post_init__(self):
        if not 0 <= self.true_share <= 1:
            raise InputError(f"true_share is {self.true_share}: it must be between 0 and 1")
        for name in ("subject_weight", "head_weight"):
            if not 0 < getattr(self, name) < float("inf"):
                raise InputError(f"{name} is {getattr(self, name)}: it must be greater than 0")
        for name in ("texture", "adversarial"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise InputError(f"{name} is {getattr(self, name)}: it must be 0 or more")
        check_targets(self.targets, self.clips.frames)

    def open(self) -> "PixelTask":
        """Reads the weights to begin with; raises InputError for a folder without them, and for guided ones."""
        weights = self.start.open()
        if weights.guided:
            raise InputError(
                f"start is {self.start.folder}: it samples with guidance; give weights that sample without it"
            )
        return PixelTask(self, weights)


@dataclasses.dataclass(frozen=True, eq=False)
class PixelTask:
    """The task of a `PixelRecipe`."""

    recipe: PixelRecipe
    weights: Weights

    @property
    def trainable(self) -> tuple[str, ...]:
        """All that makes a frame of the reference's latents, and the discriminator if there is one."""
        judged = [rf"^{DISCRIMINATOR}/"] if self.recipe.adversarial else []
        return (*self.weights.generator, r"^vae/(decoder|post_quant_conv)/", *judged)

    def init(self, key: jax.Array, place: Place | None = None) -> PyTree:
        """The parameters of `start`, and a discriminator if one is asked for."""
        params = self.weights.init(place)
        return params | {DISCRIMINATOR: fresh_discriminator(key)} if self.recipe.adversarial else params

    def batches(self, feed: Feed) -> grain.MapDataset:
        """Batches of `batch_size` frames, `targets` for one reference, with their latents and labels."""
        clips, targets = self.recipe.clips, self.recipe.targets
        latents = latent_clips(clips, self.weights.vae, placed(self.weights.params["vae"]))
        arrays = latents.arrays() | {"frames": cached(clips).arrays()["frames"]}
        labels = tuple({"parts", "frames", *self.weights.labels})

        def draw(_: np.random.Generator, rng: np.random.Generator) -> Batch:
            return draw_pairs(arrays, rng, max(1, feed.batch_size // targets), targets, labels)

        return feed.drawn(draw)

    def loss(
        self, params: PyTree, batch: dict[str, Array], key: jax.Array
    ) -> tuple[Float[Array, ""], dict[str, Array]]:
        """Weighted mean square error of the pixels, and what `texture` and `adversarial` add; metrics: contrast in
        parts of the truth's, and the PSNR of the samples."""
        key_noise, key_true = jax.random.split(key)
        true = jnp.asarray(batch["target"], jnp.float32)
        recipe, labels = self.recipe, {name: batch[name] for name in self.weights.labels}
        sampled = self.weights.sample_latents(params, batch["reference"], labels, key_noise)
        shown = jax.random.uniform(key_true, true.shape[:2]) >= recipe.true_share
        latents = jnp.where(shown[..., None, None, None], sampled, true)
        decoded = _singles(to_pixels(params["vae"], self.weights.vae, latents))
        pixels = _singles(batch["frames"]).astype(jnp.float32) / 127.5 - 1
        parts, shown = _singles(batch["parts"]), shown.reshape(-1, 1, 1)
        weights = self.importance(parts)

        def reconstruction(decoded):
            square = jnp.mean(weights * jnp.mean(jnp.square(decoded - pixels), -1))
            return square + recipe.texture * texture_loss(decoded, pixels, weights) if recipe.texture else square

        error = jnp.mean(jnp.square(decoded - pixels), -1)
        metrics = {
            "contrast": jnp.mean(contrast(decoded)) / jnp.mean(contrast(pixels)),
            "psnr": decibels(error, shown),
            "psnr_subject": decibels(error, shown & (parts > 0)),
        }
        if not recipe.adversarial:
            return reconstruction(decoded), metrics
        total, judged = adversarial_loss(
            judge, params[DISCRIMINATOR], decoded, pixels, reconstruction, recipe.adversarial
        )
        return total, metrics | judged

    def importance(self, parts: Integer[Array, "*frames height width"]) -> Float[Array, "*frames height width"]:
        """How much the error at each pixel counts, of mean 1 over the frames."""
        weights = jnp.where(parts > 0, self.recipe.subject_weight, 1.0)
        weights = jnp.where(jnp.isin(parts, jnp.array(HEAD)), self.recipe.head_weight, weights)
        return weights / jnp.mean(weights)

    def sheet(self, params: PyTree, key: jax.Array) -> UInt8[np.ndarray, "height width 3"]:
        """Validation clips, see `Weights.sheet`."""
        return self.weights.sheet(params, self.recipe.clips.size, key)

    def save(self, params: PyTree, folder: str | os.PathLike) -> None:
        """Weights that `jaxanim.systems.load` reads."""
        self.weights.save(params, self.weights.vae, folder)


def _singles(frames: Array) -> Array:
    """[batch, frames, ...] as [batch * frames, ...]."""
    return frames.reshape(-1, *frames.shape[2:])
