"""Training a causal video autoencoder, Wan's or CogVideoX's, on short clips: reconstruction with a KL term."""

import dataclasses
import os
from typing import Any

import grain
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree, UInt8

from jaxanim.data.clips import VideoClips
from jaxanim.data.pipeline import cached
from jaxanim.errors import InputError
from jaxanim.media.images import contact_sheet, to_uint8
from jaxanim.models.cogvideox import chunks
from jaxanim.models.cogvideox.vae import CogVideoXVAEConfig
from jaxanim.models.shapes import fresh_params, parameter_shapes
from jaxanim.models.vae import kl_divergence, sample_posterior
from jaxanim.models.wan.vae import WanVAE
from jaxanim.models.wan.vae_config import WanVAEConfig
from jaxanim.training.feed import Feed
from jaxanim.training.sharding import placed
from jaxanim.training.task import Place
from jaxanim.weights import load_weights, save_weights

MEASURED = 32
"""Held-out clips that the scale of the latents, and the PSNR that `save` notes, are measured on."""


@dataclasses.dataclass(frozen=True)
class VideoVAETask:
    """Reconstruct random crops of short videos.

    Attributes:
      model: sizes of the autoencoder; the scale of its latents is measured when it is saved.
      clips: where the videos come from.
      held_out: clips that the sample sheet shows, and that the latents' scale is measured on.
      crop: side of a training video in pixels.
      frames: of a training video, from a random moment of a clip; if not said, all of it.
      kl_weight: weight of the KL divergence per latent value, beside the mean square error per pixel value.
      edge_weight: weight of the mean absolute error, which keeps edges sharp where squares blur them.
      start: weights folder whose autoencoder, of the same sizes, learns on; None begins afresh.
      trainable: which parameters learn.
    """

    model: WanVAEConfig | CogVideoXVAEConfig
    clips: VideoClips
    held_out: VideoClips
    crop: int = 64
    frames: int | None = None
    kl_weight: float = 2e-4
    edge_weight: float = 0.1
    start: str | None = None
    trainable: tuple[str, ...] = (".*",)

    def __post_init__(self) -> None:
        every = _frames_together(self.model)
        if (self._frames - 1) % every or self._frames > self.clips.frames:
            raise InputError(
                f"a training video has {self._frames} of its clip's {self.clips.frames} frames: it should have "
                f"{every} n + 1 of them"
            )
        if self.crop % self.model.downscale or self.crop > min(self.clips.size):
            raise InputError(
                f"crop is {self.crop}: give a multiple of {self.model.downscale}, {min(self.clips.size)} at most"
            )

    @property
    def _frames(self) -> int:
        return self.frames or self.clips.frames

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

        def cut(clip: dict[str, np.ndarray], rng: np.random.Generator) -> dict[str, np.ndarray]:
            video, frames = clip["frames"], self._frames
            first = rng.integers(len(video) - frames + 1)
            y, x = (rng.integers(side - self.crop + 1) for side in video.shape[1:3])
            pixels = video[first : first + frames, y : y + self.crop, x : x + self.crop]
            return {"pixels": np.ascontiguousarray(pixels[:, :, ::-1] if rng.random() < 0.5 else pixels)}

        source = grain.MapDataset.source(cached(self.clips))
        return feed.shuffled(source.seed(feed.seed).shuffle().random_map(cut))

    def loss(
        self, params: PyTree, batch: dict[str, Array], key: jax.Array
    ) -> tuple[Float[Array, ""], dict[str, Array]]:
        """Reconstruction error + KL; metrics: the PSNR of the reconstruction and the latents' deviation."""
        pixels = _signed(batch["pixels"])
        mean, logvar = _posterior(params, self.model, pixels)
        decoded = _decode(params, self.model, sample_posterior(key, mean, logvar))
        square = jnp.mean(jnp.square(decoded - pixels))
        kl = jnp.mean(kl_divergence(mean, logvar)) / np.prod(mean.shape[1:])
        total = square + self.edge_weight * jnp.mean(jnp.abs(decoded - pixels)) + self.kl_weight * kl
        return total, {"psnr": 10 * jnp.log10(4 / square), "latent_std": jnp.std(mean), "kl": kl}

    def sheet(self, params: PyTree, key: jax.Array) -> UInt8[np.ndarray, "height width 3"]:
        """Held-out videos, some five frames of each, above their reconstructions."""
        rows = []
        for n in range(min(3, len(self.held_out))):
            video = self.held_out[n]["frames"][: self._frames]
            decoded = to_uint8(np.asarray(_reconstruct(params, self.model, video)[1]))
            few = slice(None, None, max(1, (len(video) - 1) // 4))
            rows += [("video", video[few]), ("decoded", decoded[few])]
        return contact_sheet(rows)

    def save(self, params: PyTree, folder: str | os.PathLike) -> None:
        """Exports the weights, with the scale that gives the held-out videos' latents unit variance, and the PSNR
        of their reconstructions."""
        latents, errors = [], []
        for n in range(min(MEASURED, len(self.held_out))):
            video = self.held_out[n]["frames"][: self._frames]
            mean, decoded = (np.asarray(x, np.float64) for x in _reconstruct(params, self.model, video))
            latents.append(mean)
            errors.append(np.mean((127.5 * (decoded + 1) - video) ** 2))
        held_out = round(float(np.mean(10 * np.log10(255**2 / np.array(errors)))), 2)
        model = _scaled(self.model, np.stack(latents))
        save_weights(folder, {"vae": (model, params)}, system="vae", metadata={"held_out_psnr": held_out})


def _frames_together(model: WanVAEConfig | CogVideoXVAEConfig) -> int:
    """How many frames after the first become whole latents, and whole frames again."""
    return model.frames_per_latent if isinstance(model, WanVAEConfig) else 2 * model.temporal_compression_ratio


def _posterior(
    params: PyTree, model: WanVAEConfig | CogVideoXVAEConfig, pixels: Float[Array, "b f height width 3"]
) -> tuple[Float[Array, "b lf h w c"], Float[Array, "b lf h w c"]]:
    """Mean and log-variance of pixels in [-1, 1], which for Wan are taken whole: quicker to differentiate."""
    if isinstance(model, WanVAEConfig):
        return WanVAE(model).apply({"params": params}, pixels, method="encode")[0]
    return chunks.encode(params, model, pixels)


def _decode(
    params: PyTree, model: WanVAEConfig | CogVideoXVAEConfig, latents: Float[Array, "b lf h w c"]
) -> Float[Array, "b f height width 3"]:
    """Pixels of latents as `_posterior` gives them."""
    if isinstance(model, WanVAEConfig):
        return WanVAE(model).apply({"params": params}, latents, method="decode")[0]
    return chunks.decode(params, model, latents)


def _scaled(
    model: WanVAEConfig | CogVideoXVAEConfig, latents: Float[np.ndarray, "clips lf h w c"]
) -> WanVAEConfig | CogVideoXVAEConfig:
    """The config whose scale gives these latents unit variance: Wan's in each channel, CogVideoX's in all."""
    if isinstance(model, WanVAEConfig):
        values = latents.reshape(-1, model.z_dim)
        mean, std = values.mean(0).tolist(), values.std(0).tolist()
        return dataclasses.replace(model, latents_mean=tuple(mean), latents_std=tuple(std))
    # What is scaled one way for the video is scaled the same way for the image: 1.5's slip is not learnt anew.
    return dataclasses.replace(model, scaling_factor=float(1 / latents.std()), invert_scale_latents=False)


def _signed(pixels: UInt8[Array, "*axes"]) -> Float[Array, "*axes"]:
    return pixels.astype(jnp.float32) / 127.5 - 1


@jax.jit(static_argnames="model")
def _reconstruct(params, model, video):
    """(the posterior's mean, the frames it decodes to) of one video."""
    mean, _ = _posterior(params, model, _signed(jnp.asarray(video)[None]))
    return mean[0], _decode(params, model, mean)[0]
