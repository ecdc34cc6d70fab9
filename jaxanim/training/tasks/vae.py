"""Training the autoencoder on video frames: reconstruction with a KL term (Rombach et al. 2022, Sec. 3.1)."""

import dataclasses
import os
from functools import partial

import grain
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree, UInt8

from jaxanim.data.clips import Clips
from jaxanim.data.pipeline import cached
from jaxanim.media.images import contact_sheet, to_float
from jaxanim.models.shapes import fresh_params
from jaxanim.models.vae import VAE, VAEConfig, kl_divergence, sample_posterior
from jaxanim.training.feed import Feed
from jaxanim.training.finishing.linear_code import linear_code
from jaxanim.training.task import Place
from jaxanim.weights import save_weights


@dataclasses.dataclass(frozen=True)
class VAETask:
    """Reconstruct random crops of single frames.

    Attributes:
      model: sizes of the autoencoder.
      clips: where the frames come from.
      held_out: clips that only the sample sheet shows.
      crop: side of the training crops in pixels; the network is convolutional, so small crops teach it as much
        per pixel and vary more.
      kl_weight: weight of the KL divergence per latent value, beside the mean square error per pixel value.
      edge_weight: weight of the mean absolute error, which keeps edges sharp where squares blur them.
      code_images: frames whose principal components start the encoder; 0 starts it from noise.
      trainable: by default the decoder alone, so that the latents are final before the first step; ".*" trains all.
    """

    model: VAEConfig
    clips: Clips
    held_out: Clips
    crop: int = 64
    kl_weight: float = 2e-4
    edge_weight: float = 0.1
    code_images: int = 400
    trainable: tuple[str, ...] = (r"^decoder/", r"^post_quant_conv/")

    def open(self) -> "VAETask":
        """The task itself, for there are no weights to begin with."""
        return self

    def init(self, key: jax.Array, place: Place | None = None) -> PyTree:
        """Fresh parameters, the encoder as the linear code of `code_images` frames (see `linear_code`)."""
        params = fresh_params("vae", self.model, key, place)
        if not self.code_images:
            return params
        frames = cached(self.clips).arrays()["frames"]
        chosen = np.linspace(0, len(frames) - 1, self.code_images).astype(int)
        return linear_code(params, self.model, to_float(np.stack([frames[i][0] for i in chosen])))

    def batches(self, feed: Feed) -> grain.MapDataset:
        """{"pixels": uint8 [batch, crop, crop, 3]}: crops of single frames."""
        frames = cached(self.clips)

        def crop(clip: dict[str, np.ndarray], rng: np.random.Generator) -> dict[str, np.ndarray]:
            video = clip["frames"]
            f = rng.integers(video.shape[0])
            y, x = (rng.integers(side - self.crop + 1) for side in video.shape[1:3])
            image = video[f, y : y + self.crop, x : x + self.crop]
            return {"pixels": np.ascontiguousarray(image[:, ::-1] if rng.random() < 0.5 else image)}

        return feed.shuffled(grain.MapDataset.source(frames).seed(feed.seed).shuffle().random_map(crop))

    def loss(
        self, params: PyTree, batch: dict[str, Array], key: jax.Array
    ) -> tuple[Float[Array, ""], dict[str, Array]]:
        """Reconstruction error + KL; metrics: the PSNR of the reconstruction and the latents' deviation."""
        pixels = batch["pixels"][:, None].astype(jnp.float32) / 127.5 - 1
        vae = VAE(self.model)
        mean, logvar = vae.apply({"params": params}, pixels, method="encode")
        decoded = vae.apply({"params": params}, sample_posterior(key, mean, logvar), method="decode")
        square = jnp.mean(jnp.square(decoded - pixels))
        kl = jnp.mean(kl_divergence(mean, logvar)) / np.prod(mean.shape[1:])
        total = square + self.edge_weight * jnp.mean(jnp.abs(decoded - pixels)) + self.kl_weight * kl
        return total, {"psnr": 10 * jnp.log10(4 / square), "latent_std": jnp.std(mean), "kl": kl}

    def sheet(self, params: PyTree, key: jax.Array) -> UInt8[np.ndarray, "height width 3"]:
        """Held-out frames above their reconstructions."""
        frames = self.first_frames(8)
        return contact_sheet([("frame", frames), ("decoded", self.reconstruct(params, frames))])

    def first_frames(self, count: int) -> UInt8[np.ndarray, "n height width 3"]:
        """One frame of each of `count` held-out clips, or of all if they are fewer."""
        return np.stack([self.held_out[i]["frames"][0] for i in range(min(count, len(self.held_out)))])

    def reconstruct(
        self, params: PyTree, frames: UInt8[np.ndarray, "n height width 3"]
    ) -> UInt8[np.ndarray, "n height width 3"]:
        """Frames through the posterior's mean and back."""
        pixels = jnp.asarray(frames)[None].astype(jnp.float32) / 127.5 - 1
        decoded = jax.jit(lambda p, x: VAE(self.model).apply({"params": p}, x))(params, pixels)[0]
        return np.asarray(jnp.clip(jnp.round((decoded + 1) * 127.5), 0, 255).astype(jnp.uint8))

    def save(self, params: PyTree, folder: str | os.PathLike) -> None:
        """Exports the weights, with the scaling factor that gives the held-out latents unit deviation."""
        frames = self.first_frames(32)
        pixels = jnp.asarray(frames)[None].astype(jnp.float32) / 127.5 - 1
        encode = jax.jit(partial(VAE(self.model).apply, method="encode"))
        mean, _ = encode({"params": params}, pixels)
        model = dataclasses.replace(self.model, scaling_factor=float(1 / jnp.std(mean)))
        mse = np.mean((self.reconstruct(params, frames).astype(np.float32) - frames) ** 2, axis=(1, 2, 3))
        psnr = float(np.mean(10 * np.log10(255**2 / mse)))
        save_weights(folder, {"vae": (model, params)}, system="vae", metadata={"held_out_psnr": round(psnr, 2)})
