"""Training a small Wan autoencoder on puppets and their skeletons: reconstruction with a KL term."""

import dataclasses
import os
from typing import Any

import grain
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree, UInt8

from jaxanim.cues.skeleton_drawing import draw_segments
from jaxanim.data.pipeline import cached
from jaxanim.data.skeletons import SkeletonClips, graph_of
from jaxanim.errors import InputError
from jaxanim.media.images import contact_sheet
from jaxanim.models.shapes import fresh_params, parameter_shapes
from jaxanim.models.vae import kl_divergence, sample_posterior
from jaxanim.models.wan.vae import WanVAE
from jaxanim.models.wan.vae_config import WanVAEConfig
from jaxanim.models.wan.video import check_frames
from jaxanim.training.feed import Feed
from jaxanim.training.sharding import placed
from jaxanim.training.task import Place
from jaxanim.weights import load_weights, save_weights


@dataclasses.dataclass(frozen=True)
class WanVAETask:
    """Reconstruct short videos; the skeleton videos that PoseAnything encodes are among them.

    Attributes:
      model: sizes of the autoencoder; the latents' mean and deviation are measured when it is saved.
      clips: where the videos come from.
      held_out: clips that only the sample sheet shows.
      frames: of a training video, from the beginning of a clip or a later moment.
      crop: side of a training video in pixels.
      poses: the share of videos that are skeletons.
      kl_weight: weight of the KL divergence per latent value, beside the mean square error per pixel value.
      edge_weight: weight of the mean absolute error, which keeps edges sharp where squares blur them.
      start: weights folder whose autoencoder, of the same sizes, learns on; None begins afresh.
    """

    model: WanVAEConfig
    clips: SkeletonClips
    held_out: SkeletonClips
    frames: int = 5
    crop: int = 64
    poses: float = 0.2
    kl_weight: float = 2e-4
    edge_weight: float = 0.1
    start: str | None = None
    trainable: tuple[str, ...] = (".*",)

    def __post_init__(self):
        check_frames(self.frames, self.model)
        if self.crop % self.model.downscale or self.crop > min(self.clips.size):
            raise InputError(
                f"crop is {self.crop}: give a multiple of {self.model.downscale}, {min(self.clips.size)} at most"
            )

    def open(self) -> "WanVAETask":
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

        def cut(clip: dict[str, np.ndarray], rng: np.random.Generator) -> dict[str, np.ndarray]:
            video = clip["frames"]
            if rng.random() < self.poses:
                video = draw_segments(graph_of(clip["points"], clip["kind"]), self.clips.size)
            first = rng.integers(len(video) - self.frames + 1)
            y, x = (rng.integers(side - self.crop + 1) for side in video.shape[1:3])
            video = video[first : first + self.frames, y : y + self.crop, x : x + self.crop]
            return {"pixels": np.ascontiguousarray(video[:, :, ::-1] if rng.random() < 0.5 else video)}

        source = grain.MapDataset.source(cached(self.clips))
        return feed.shuffled(source.seed(feed.seed).shuffle().random_map(cut))

    def loss(
        self, params: PyTree, batch: dict[str, Array], key: jax.Array
    ) -> tuple[Float[Array, ""], dict[str, Array]]:
        """Reconstruction error + KL; metrics: the PSNR of the reconstruction and the latents' deviation."""
        pixels = batch["pixels"].astype(jnp.float32) / 127.5 - 1
        vae = WanVAE(self.model)
        (mean, logvar), _ = vae.apply({"params": params}, pixels, method="encode")
        latents = sample_posterior(key, mean, logvar)
        decoded, _ = vae.apply({"params": params}, latents, method="decode")
        square = jnp.mean(jnp.square(decoded - pixels))
        kl = jnp.mean(kl_divergence(mean, logvar)) / np.prod(mean.shape[1:])
        total = square + self.edge_weight * jnp.mean(jnp.abs(decoded - pixels)) + self.kl_weight * kl
        return total, {"psnr": 10 * jnp.log10(4 / square), "latent_std": jnp.std(mean), "kl": kl}

    def sheet(self, params: PyTree, key: jax.Array) -> UInt8[np.ndarray, "height width 3"]:
        """Held-out videos above their reconstructions."""
        rows = []
        for n in range(min(3, len(self.held_out))):
            video = self.held_out[n]["frames"][: self.frames]
            decoded = np.asarray(_reconstruct(params, self.model, video))
            rows += [("video", video), ("decoded", np.rint(127.5 * (decoded + 1)).clip(0, 255).astype(np.uint8))]
        return contact_sheet(rows)

    def save(self, params: PyTree, folder: str | os.PathLike) -> None:
        """Exports the weights, with the mean and deviation of the held-out videos' latents, and its PSNR there."""
        latents, errors = [], []
        for n in range(min(32, len(self.held_out))):
            video = self.held_out[n]["frames"][: self.frames]
            latents.append(np.asarray(_means(params, self.model, video), np.float64))
            decoded = 127.5 * (np.asarray(_reconstruct(params, self.model, video), np.float64) + 1)
            errors.append(np.mean((decoded - video) ** 2))
        values = np.stack(latents).reshape(-1, self.model.z_dim)
        measured = dataclasses.replace(
            self.model, latents_mean=tuple(values.mean(0).tolist()), latents_std=tuple(values.std(0).tolist())
        )
        held_out = round(float(np.mean(10 * np.log10(255**2 / np.array(errors)))), 2)
        save_weights(folder, {"vae": (measured, params)}, system="vae", metadata={"held_out_psnr": held_out})


@jax.jit(static_argnames="model")
def _means(params, model, video):
    pixels = video[None].astype(jnp.float32) / 127.5 - 1
    return WanVAE(model).apply({"params": params}, pixels, method="encode")[0][0]


@jax.jit(static_argnames="model")
def _reconstruct(params, model, video):
    return WanVAE(model).apply({"params": params}, _means(params, model, video), method="decode")[0][0]
