"""Training MagicAnimate on what is seen in the end: its samples, decoded."""

import dataclasses
import os
from pathlib import Path

import grain
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer, PyTree, UInt8

from jaxanim.cues.densepose import HEAD, colour_parts
from jaxanim.data.batches import Batch, check_targets, draw_pairs
from jaxanim.data.clips import Clips
from jaxanim.data.latents import latent_clips
from jaxanim.data.pipeline import cached
from jaxanim.diffusion.sample import sample
from jaxanim.errors import InputError
from jaxanim.models.discriminator import DISCRIMINATOR, fresh_discriminator, judge
from jaxanim.models.tokenizer import load_tokenizer
from jaxanim.models.vae import to_pixels
from jaxanim.systems.magicanimate.config import MagicAnimateConfig, image_form
from jaxanim.systems.magicanimate.denoise import embed_pose, per_entry, predict, read_reference
from jaxanim.systems.magicanimate.sheet import animation_sheet
from jaxanim.systems.magicanimate.system import load, read_config, save
from jaxanim.training.adversarial import adversarial_loss
from jaxanim.training.losses import decibels
from jaxanim.training.partition import check_hold, without
from jaxanim.training.texture import contrast, texture_loss

LABELS = ("parts", "frames")


@dataclasses.dataclass(frozen=True)
class PixelTask:
    """Appearance encoder, ControlNet, UNet and decoder learn together, through the sampler, on the pixels.

    Not in the paper. For weights that sample in one step, or in a few: a step of training runs the whole sampler,
    frame by frame without temporal layers, and the decoder. The encoder stays, so other weights over the same
    latents stay valid.

    Attributes:
      start: folder of MagicAnimate weights; their defaults say in how many steps is sampled.
      clips: of which one frame is the reference and `targets` others are shown.
      targets: frames for one reference.
      subject_weight, head_weight: how much the square error of a pixel on the body, and on the head, counts beside
        that of one of the background.
      texture: how much the error of local contrast counts beside the square error of pixels, see `texture_loss`.
      true_share: how often the decoder is given a frame's true latents, so that it stays the autoencoder's as well.
      adversarial: how much a patch discriminator's opinion counts beside both, see `adversarial_loss`; 0 trains
        without one.
      hold: a regular expression; parameters in whose path it is found do not learn.
      sheet_seed: the first of three validation puppets of the sample sheet.
    """

    start: str
    clips: Clips
    targets: int = 2
    subject_weight: float = 1.0
    head_weight: float = 1.0
    texture: float = 0.0
    true_share: float = 0.1
    adversarial: float = 0.0
    hold: str | None = None
    sheet_seed: int = 900_000

    def __post_init__(self):
        without((), self.hold)  # refuses what is no regular expression
        if not 0 <= self.true_share <= 1:
            raise InputError(f"true_share is {self.true_share}: it must be between 0 and 1")
        for name in ("subject_weight", "head_weight"):
            if not 0 < getattr(self, name) < float("inf"):
                raise InputError(f"{name} is {getattr(self, name)}: it must be greater than 0")
        for name in ("texture", "adversarial"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise InputError(f"{name} is {getattr(self, name)}: it must be 0 or more")
        check_targets(self.targets, self.clips.frames)

    @property
    def trainable(self) -> tuple[str, ...]:
        """All that makes a frame of the reference's latents, and the discriminator if there is one."""
        learn = (
            r"^(appearance_encoder|image_encoder|controlnet)/",
            r"^unet/(?!.*motion_modules)",
            r"^vae/(decoder|post_quant_conv)/",
            *([rf"^{DISCRIMINATOR}/"] if self.adversarial else []),
        )
        return without(learn, self.hold)

    @property
    def config(self) -> MagicAnimateConfig:
        """The sizes of the networks, without the temporal layers."""
        whole = read_config(self.start)
        return dataclasses.replace(whole, unet=image_form(whole.unet))

    def init(self, key: jax.Array) -> PyTree:
        """The parameters of `start`, and a discriminator if one is asked for."""
        system = load(self.start)
        if system.defaults.guidance != 1:
            raise InputError(
                f"start is {self.start}: it samples with guidance; give weights that sample without it"
            )
        params = dict(system.params)
        if self.adversarial:
            params[DISCRIMINATOR] = fresh_discriminator(key)
        check_hold(params, self.hold)
        return params

    def source(self, seed: int) -> grain.MapDataset:
        """The latents that batches are composed of."""
        return grain.MapDataset.source(latent_clips(self.clips, self.start))

    def batches(self, seed: int, batch_size: int, part: int, parts: int) -> grain.MapDataset:
        """Batches of `batch_size` frames, `targets` for one reference, with their latents and part maps."""
        clips = latent_clips(self.clips, self.start).arrays() | {"frames": cached(self.clips).arrays()["frames"]}

        def draw(step: int) -> Batch:
            rng = np.random.default_rng([seed, step, part])
            return draw_pairs(clips, rng, max(1, batch_size // self.targets), self.targets, LABELS)

        return grain.MapDataset.range(2**31).map(draw)

    def loss(
        self, params: PyTree, batch: dict[str, Array], key: jax.Array
    ) -> tuple[Float[Array, ""], dict[str, Array]]:
        """Weighted mean square error of the pixels, and what `texture` and `adversarial` add; metrics: contrast in
        parts of the truth's, and the PSNR of the samples."""
        key_noise, key_true = jax.random.split(key)
        true = jnp.asarray(batch["target"], jnp.float32)
        sampled = sample_frames(params, self.config, batch["reference"], batch["parts"], key_noise)
        shown = jax.random.uniform(key_true, true.shape[:2]) >= self.true_share
        latents = jnp.where(shown[..., None, None, None], sampled, true)
        decoded = _singles(to_pixels(params["vae"], self.config.vae, latents))
        pixels = _singles(batch["frames"]).astype(jnp.float32) / 127.5 - 1
        parts, shown = _singles(batch["parts"]), shown.reshape(-1, 1, 1)
        weights = self.weights(parts)

        def reconstruction(decoded):
            square = jnp.mean(weights * jnp.mean(jnp.square(decoded - pixels), -1))
            return square + self.texture * texture_loss(decoded, pixels, weights) if self.texture else square

        error = jnp.mean(jnp.square(decoded - pixels), -1)
        metrics = {
            "contrast": jnp.mean(contrast(decoded)) / jnp.mean(contrast(pixels)),
            "psnr": decibels(error, shown),
            "psnr_subject": decibels(error, shown & (parts > 0)),
        }
        if not self.adversarial:
            return reconstruction(decoded), metrics
        total, judged = adversarial_loss(
            judge, params[DISCRIMINATOR], decoded, pixels, reconstruction, self.adversarial
        )
        return total, metrics | judged

    def weights(self, parts: Integer[Array, "*frames height width"]) -> Float[Array, "*frames height width"]:
        """How much the error at each pixel counts, of mean 1 over the frames."""
        weights = jnp.where(parts > 0, self.subject_weight, 1.0)
        weights = jnp.where(jnp.isin(parts, jnp.array(HEAD)), self.head_weight, weights)
        return weights / jnp.mean(weights)

    def sheet(self, params: PyTree, key: jax.Array) -> UInt8[np.ndarray, "height width 3"]:
        """Validation puppets, see `animation_sheet`."""
        return animation_sheet(params, self.config, self.sheet_seed, self.clips.size, key, self.config.defaults)

    def save(self, params: PyTree, folder: str | os.PathLike) -> None:
        """Weights that `jaxanim.systems.load` reads, with the temporal layers of `start`."""
        save(params, read_config(self.start), load_tokenizer(Path(self.start) / "tokenizer"), folder)


def sample_frames(
    params: PyTree,
    config: MagicAnimateConfig,
    reference: Float[Array, "batch h w channels"],
    parts: Integer[Array, "batch frames height width"],
    key: jax.Array,
) -> Float[Array, "batch frames h w channels"]:
    """Scaled latents of single frames, sampled with the config's defaults from noise drawn by `key`.

    Args:
      reference: scaled latents.
      parts: DensePose part ids of the frames.
    """
    reference = jnp.asarray(reference, jnp.float32)
    count, frames = parts.shape[:2]
    pose = embed_pose(params, config, colour_parts(parts))
    text = per_entry(params["empty_prompt"], count)

    def denoise(x, step):
        ts = jnp.broadcast_to(step.t, (count,))
        told, features = read_reference(params, config, reference, ts, text)
        return predict(params, config, x, ts, told, features, pose)

    noise = jax.random.normal(key, (count, frames, *reference.shape[1:]))
    return sample(denoise, config.diffusion, noise, steps=config.defaults.steps, unroll=True)


def _singles(frames: Array) -> Array:
    """[batch, frames, ...] as [batch * frames, ...]."""
    return frames.reshape(-1, *frames.shape[2:])
