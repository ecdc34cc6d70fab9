"""How much each latent channel counts: by what its error does to the picture."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from jaxanim.data.latents import LatentClips
from jaxanim.data.pipeline import Source
from jaxanim.models.vae import VAEConfig, to_pixels

IMAGES = 16
NOISE = 0.3


def pixel_weights(config: VAEConfig, params: PyTree, clips: Source) -> tuple[float, ...]:
    """Weights, of mean 1, for the latent channels of an autoencoder.

    A channel's weight is in proportion to the mean square change of the decoded pixels when noise is added to that
    channel alone, measured on the first frames of 16 of the clips. Weighted by these, the error of latents is to
    first order the error of pixels. Latents of few channels need no such weights; a code that packs a patch into
    many channels spends most of an unweighted loss on details that are hardly seen.
    """
    encoded = LatentClips(clips, config, params, "", rendered=clips)
    latents = np.stack([encoded[i]["latents"][:1] for i in range(min(IMAGES, len(clips)))]).astype(np.float32)
    noise = NOISE * np.random.default_rng(0).standard_normal(latents.shape[:-1], np.float32)
    pixels = to_pixels(params, config, latents)
    changes = []
    for channel in range(latents.shape[-1]):
        noisy = latents.copy()
        noisy[..., channel] += noise
        changes.append(float(jnp.mean(jnp.square(to_pixels(params, config, noisy) - pixels))))
    return tuple(float(change / np.mean(changes)) for change in changes)
