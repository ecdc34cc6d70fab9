"""CogVideoX 1.5's image-conditioned sampling: diffusers' CogVideoXImageToVideoPipeline."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Float, Key

from jaxanim.diffusion.betas import Betas
from jaxanim.diffusion.ddim import DDIM
from jaxanim.diffusion.guidance import guided
from jaxanim.diffusion.process import Walk
from jaxanim.diffusion.sample import Solver, sample
from jaxanim.errors import InputError
from jaxanim.models.cogvideox.chunks import Tiles, encode, to_pixels
from jaxanim.models.cogvideox.config import CogVideoXConfig
from jaxanim.models.cogvideox.patches import Latents
from jaxanim.models.cogvideox.transformer import CogVideoXTransformer
from jaxanim.models.cogvideox.vae import CogVideoXVAEConfig
from jaxanim.models.vae import sample_posterior

PROCESS = Betas(prediction_type="v_prediction", spacing="trailing", rescale_betas_zero_snr=True, steps_offset=0)
"""Zero terminal SNR (Lin et al. 2023): the first step sees noise alone."""

Text = Float[Array, "batch text_tokens text_channels"]


class Length(NamedTuple):
    """Latent frames of a video: those that are decoded, and those in front that are thrown away.

    The transformer takes whole temporal patches, so an odd number of latent frames has one more in front. It was
    trained with a copy of the first there.
    """

    latents: int
    extra: int

    @property
    def all(self) -> int:
        """What the transformer works on."""
        return self.latents + self.extra


def length(frames: int, config: CogVideoXConfig, vae: CogVideoXVAEConfig) -> Length:
    """Of a video of 8 n + 1 frames; InputError for another number.

    An odd number of latent frames is decoded to 4 n + 1 frames; an even one has no frame of its own in front.
    """
    ratio = vae.temporal_compression_ratio
    if frames < 1 or (frames - 1) % (2 * ratio):
        raise InputError(f"frames is {frames}: it must be 1 more than a multiple of {2 * ratio}, such as 81")
    latents = (frames - 1) // ratio + 1
    return Length(latents, -latents % config.patch_size_t)


def image_latent(
    params: dict,
    config: CogVideoXVAEConfig,
    image: Float[Array, "b 1 height width 3"],
    key: Key[Array, ""] | None,
    tiles: Tiles | None = None,
) -> Float[Array, "b 1 h w latent"]:
    """The image as the transformer is shown it: a draw from the posterior (the mean without a key), scaled as the
    released model was trained: divided by the scaling factor where `invert_scale_latents` says so."""
    mean, logvar = encode(params, config, image, tiles)
    latent = mean if key is None else sample_posterior(key, mean, logvar)
    return latent / config.scaling_factor if config.invert_scale_latents else latent * config.scaling_factor


def beside_image(x: Latents, image: Float[Array, "b 1 h w latent"]) -> Float[Array, "b f h w both"]:
    """Noisy latents with the image's on further channels at the first latent frame, zeros at the others."""
    shown = jnp.pad(image, ((0, 0), (0, x.shape[1] - 1), *[(0, 0)] * 3))
    return jnp.concatenate([x, shown.astype(x.dtype)], axis=-1)


def sample_video(
    params: dict,
    config: CogVideoXConfig,
    image: Float[Array, "b 1 h w latent"],
    text: Text,
    negative: Text,
    x_T: Latents,
    *,
    steps: int = 50,
    guidance: float = 6.0,
    solver: Solver = DDIM(),
    process: Betas = PROCESS,
    key: Key[Array, ""] | None = None,
) -> Latents:
    """Latents, those in front that are thrown away included, from noise x_T of the same shape.

    Args:
      image: see `image_latent`.
      text, negative: embeddings of the prompt and of what guidance leads away from.
      key: of a solver that draws noise.
    """
    denoise = Partial(_Denoise(config), params, image, text, negative, jnp.float32(guidance))
    return sample(denoise, process, x_T, steps=steps, solver=solver, key=key)


def animate_image(
    params: dict,
    config: CogVideoXConfig,
    vae_params: dict,
    vae: CogVideoXVAEConfig,
    image: Float[Array, "b 1 height width 3"],
    text: Text,
    negative: Text,
    *,
    frames: int,
    key: Key[Array, ""],
    steps: int = 50,
    guidance: float = 6.0,
    solver: Solver = DDIM(),
    tiles: Tiles | None = None,
) -> Float[Array, "b frames height width 3"]:
    """A video, about [-1, 1] but not clipped, that begins as `image` (pixels in [-1, 1]), for the prompt of `text`.

    Raises InputError for a number of frames or a size that does not fit.
    """
    size = length(frames, config, vae)
    draw, noise, steps_key = jax.random.split(key, 3)
    latent = image_latent(vae_params, vae, image, draw, tiles)
    x_T = jax.random.normal(noise, (len(image), size.all, *latent.shape[2:]))
    x = sample_video(
        params, config, latent, text, negative, x_T, steps=steps, guidance=guidance, solver=solver, key=steps_key
    )
    return to_pixels(vae_params, vae, x[:, size.extra :], tiles=tiles)


@dataclasses.dataclass(frozen=True)
class _Denoise:
    """The guided prediction; static among the arguments of a compiled function."""

    config: CogVideoXConfig

    def __call__(
        self, params: dict, image: Array, text: Array, negative: Array, guidance: Array, x: Latents, step: Walk
    ) -> Latents:
        both = beside_image(x, image)

        def predict(texts: tuple[Array, ...]) -> Array:
            latents = jnp.concatenate([both] * len(texts))
            t = jnp.full(len(latents), step.t)
            model = CogVideoXTransformer(self.config)
            return model.apply({"params": params}, latents, jnp.concatenate(texts), t).sample

        return guided(predict, negative, text, guidance)
