"""DirectAnimator's sampler: a reference image moved by the cues of a driving video."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float, Key, PyTree, UInt8

from jaxanim.diffusion.ddim import DDIM
from jaxanim.diffusion.dpm import DPM
from jaxanim.diffusion.guidance import guided
from jaxanim.diffusion.preview import previewed
from jaxanim.diffusion.process import Walk
from jaxanim.diffusion.sample import sample
from jaxanim.models.cogvideox.chunks import to_latents, to_pixels
from jaxanim.models.cogvideox.image_to_video import beside_image, image_latent, length
from jaxanim.models.cogvideox.patches import Latents
from jaxanim.systems.base import Report, Sampling
from jaxanim.systems.directanimator.config import DirectAnimatorConfig
from jaxanim.systems.directanimator.cues import CueTriplet
from jaxanim.systems.directanimator.network import CueLatents, CueTransformer, in_front, with_mask

SOLVERS = {"ddim": DDIM(), "dpm": DPM()}


def cue_latents(params: PyTree, config: DirectAnimatorConfig, cues: CueTriplet, extra: int) -> CueLatents:
    """Latents of pose and face cue, each beside its mask, for a batch of one; `extra` frames in front."""
    pairs = ((cues.pose, cues.body_mask), (cues.face, cues.face_mask))
    return CueLatents(*(encode_cue(params, config, pictures[None], mask[None], extra) for pictures, mask in pairs))


def encode_cue(
    params: PyTree,
    config: DirectAnimatorConfig,
    pictures: UInt8[Array | np.ndarray, "batch frames height width 3"],
    mask: UInt8[Array | np.ndarray, "batch frames height width"],
    extra: int,
) -> Float[Array, "batch latents h w channels"]:
    """One cue's latents and mask."""
    latents = to_latents(params["vae"], config.vae, jnp.asarray(pictures, jnp.float32) / 127.5 - 1)
    return in_front(with_mask(latents, jnp.asarray(mask, jnp.float32) / 255), extra)


def animate(
    params: PyTree,
    config: DirectAnimatorConfig,
    reference: Float[Array, "height width 3"],
    cues: CueTriplet,
    *,
    key: Key[Array, ""],
    sampling: Sampling,
    solver: str = "ddim",
    in_turn: bool = False,
    report: Report | None = None,
) -> Float[Array, "frames height width 3"]:
    """Frames in [-1, 1], as many as the cues have.

    Args:
      params: one tree per network ("transformer", "vae") and "empty_prompt" [tokens, channels].
      reference: in [-1, 1], of the cues' size.
      cues: of 8 n + 1 frames.
      solver: "ddim" or "dpm".
      in_turn: guidance's branches one after the other.
    """
    size = length(len(cues.pose), config.transformer.transformer, config.vae)
    drawn, noise, steps_key = jax.random.split(key, 3)
    image = image_latent(params["vae"], config.vae, reference[None, None], drawn)
    report = previewed(report, image[0, 0], reference, before=size.extra)
    driven = cue_latents(params, config, cues, size.extra)
    x_T = jax.random.normal(noise, (1, size.all, *image.shape[2:]))
    text = params["empty_prompt"][None]
    estimate = _Denoise(config, sampling.guidance != 1, in_turn)
    denoise = Partial(estimate, params["transformer"], image, text, driven, jnp.float32(sampling.guidance))
    latents = sample(
        denoise, config.diffusion, x_T, steps=sampling.steps, solver=SOLVERS[solver], key=steps_key, report=report
    )
    pixels = to_pixels(params["vae"], config.vae, latents[:, size.extra :])
    return jnp.clip(pixels[0].astype(jnp.float32), -1, 1)


@dataclasses.dataclass(frozen=True)
class _Denoise:
    """The prediction; hashable, so that equal calls share one compiled program."""

    config: DirectAnimatorConfig
    guided: bool
    in_turn: bool

    def __call__(
        self, params: PyTree, image: Array, text: Array, cues: CueLatents, guidance: Array, x: Latents, step: Walk
    ) -> Latents:
        both, model = beside_image(x, image), CueTransformer(self.config.transformer)

        def predict(conditions: tuple[CueLatents, ...]) -> Array:
            driven = jax.tree.map(lambda *parts: jnp.concatenate(parts), *conditions)
            rows = len(conditions)
            inputs = (jnp.concatenate([part] * rows) for part in (both, text, step.t[None]))
            return model.apply({"params": params}, *inputs, driven).sample

        if not self.guided:
            return predict((cues,))
        return guided(predict, jax.tree.map(jnp.zeros_like, cues), cues, guidance, in_turn=self.in_turn)
