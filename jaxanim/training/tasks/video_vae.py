"""Training CogVideoX's causal autoencoder on short clips: reconstruction with a KL term."""

import dataclasses
import os
from typing import Any

import grain
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree, UInt8

from jaxanim.data.clips import Clips
from jaxanim.data.pipeline import cached
from jaxanim.errors import InputError
from jaxanim.media.images import contact_sheet
from jaxanim.models.cogvideox.chunks import decode, encode
from jaxanim.models.cogvideox.vae import CogVideoXVAEConfig
from jaxanim.models.shapes import fresh_params, parameter_shapes
from jaxanim.models.vae import kl_divergence, sample_posterior
from jaxanim.training.feed import Feed
from jaxanim.training.sharding import placed
from jaxanim.training.task import Place
from jaxanim.weights import load_weights, save_weights


@dataclasses.dataclass(frozen=True)
class VideoVAETask:
    """Reconstruct random crops of clips.

    Attributes:
      model: sizes of the autoencoder.
      clips: where the frames come from, 8 n + 1 consecutive ones.
      held_out: clips that only the sample sheet shows.
      crop: side of the training crops in pixels.
      kl_weight: weight of the KL divergence per latent value, beside the mean square error per pixel value.
      edge_weight: weight of the mean absolute error, which keeps edges sharp where squares blur them.
      start: weights folder whose autoencoder, of the same sizes, learns on; None begins afresh.
      trainable: which parameters learn.
    """

    model: CogVideoXVAEConfig
    clips: Clips
    held_out: Clips
    crop: int = 64
    kl_weight: float = 2e-4
    edge_weight: float = 0.1
    start: str | None = None
    trainable: tuple[str, ...] = (".*",)

    def __post_init__(self) -> None:
        ratio = 2 * self.model.temporal_compression_ratio
        if (self.clips.frames - 1) % ratio or self.crop % self.model.downscale:
            raise InputError(
                f"clips have {self.clips.frames} frames and crop is {self.crop}: frames are {ratio} n + 1, and "
                f"crops multiples of {self.model.downscale}"
            )

    def open(self) -> "VideoVAETask":
        """The task itself: `start` is read by `init`."""
        return self

    def init(self, key: jax.Array, place: Place | None = None) -> PyTree:
        """Those of `start`, or fresh ones."""
        if self.start is None:
            return fresh_params("vae", self.model, key, place)

        def wanted(name: str, _: Any) -> PyTree:
            return parameter_shapes(name, self.model)

        return placed(load_weights(self.start, networks=("vae",), shapes=wanted, mapped=True)["vae"][1], place)

    def batches(self, feed: Feed) -> grain.MapDataset:
        """{"pixels": uint8 [batch, frames, crop, crop, 3]}."""

        def crop(clip: dict[str, np.ndarray], rng: np.random.Generator) -> dict[str, np.ndarray]:
            video = clip["frames"]
            y, x = (rng.integers(side - self.crop + 1) for side in video.shape[1:3])
            pixels = video[:, y : y + self.crop, x : x + self.crop]
            return {"pixels": np.ascontiguousarray(pixels[:, :, ::-1] if rng.random() < 0.5 else pixels)}

        source = grain.MapDataset.source(cached(self.clips))
        return feed.shuffled(source.seed(feed.seed).shuffle().random_map(crop))

    def loss(
        self, params: PyTree, batch: dict[str, Array], key: jax.Array
    ) -> tuple[Float[Array, ""], dict[str, Array]]:
        """Reconstruction error + KL; metrics: the PSNR of the reconstruction and the latents' deviation."""
        pixels = batch["pixels"].astype(jnp.float32) / 127.5 - 1
        mean, logvar = encode(params, self.model, pixels)
        decoded = decode(params, self.model, sample_posterior(key, mean, logvar))
        square = jnp.mean(jnp.square(decoded - pixels))
        kl = jnp.mean(kl_divergence(mean, logvar)) / np.prod(mean.shape[1:])
        total = square + self.edge_weight * jnp.mean(jnp.abs(decoded - pixels)) + self.kl_weight * kl
        return total, {"psnr": 10 * jnp.log10(4 / square), "latent_std": jnp.std(mean), "kl": kl}

    def sheet(self, params: PyTree, key: jax.Array) -> UInt8[np.ndarray, "height width 3"]:
        """Every fourth frame of held-out clips above its reconstruction."""
        rows = []
        for i in range(min(3, len(self.held_out))):
            frames = self.held_out[i]["frames"]
            rows += [("frame", frames[::4]), ("decoded", self.reconstruct(params, frames)[::4])]
        return contact_sheet(rows)

    def reconstruct(
        self, params: PyTree, frames: UInt8[np.ndarray, "frames height width 3"]
    ) -> UInt8[np.ndarray, "frames height width 3"]:
        """A clip through the posterior's mean and back."""

        @jax.jit
        def run(params, pixels):
            return decode(params, self.model, encode(params, self.model, pixels)[0])

        decoded = run(params, jnp.asarray(frames, jnp.float32)[None] / 127.5 - 1)[0]
        return np.asarray(jnp.clip(jnp.round((decoded + 1) * 127.5), 0, 255).astype(jnp.uint8))

    def save(self, params: PyTree, folder: str | os.PathLike) -> None:
        """Exports the weights, with the scaling factor that gives a held-out clip's latents unit deviation."""
        pixels = jnp.asarray(self.held_out[0]["frames"], jnp.float32)[None] / 127.5 - 1
        mean, _ = encode(params, self.model, pixels)
        # What is scaled one way for the video is scaled the same way for the image: 1.5's slip is not learnt anew.
        model = dataclasses.replace(self.model, scaling_factor=float(1 / jnp.std(mean)), invert_scale_latents=False)
        save_weights(folder, {"vae": (model, params)}, system="vae")
