"""What DirectAnimator learns by: the denoising loss, and Same2X (Sec. 3.2)."""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

from jaxanim.diffusion.process import Process, add_noise, target
from jaxanim.errors import InputError
from jaxanim.models.cogvideox.image_to_video import beside_image
from jaxanim.models.cogvideox.patches import Latents
from jaxanim.systems.directanimator.network import CueLatents, CueTransformer, CueTransformerConfig

Hidden = Float[Array, "batch tokens channels"]


@dataclasses.dataclass(frozen=True)
class Same2X:
    """Alignment of the cross-ID model with the frozen same-ID one.

    Attributes:
      depth: D, the block whose tokens are compared, counted from 1 (Table 4).
      weight: lambda.
    """

    depth: int = 10
    weight: float = 0.5

    def __post_init__(self) -> None:
        if self.depth < 1 or not self.weight >= 0:
            raise InputError(f"depth is {self.depth} and weight {self.weight}: 1 or more, and 0 or more")


def alignment_loss(h_s: Hidden, h_x: Hidden) -> Float[Array, ""]:
    """Minus the mean over tokens of the cosine, over channels, of same-ID and cross-ID features (Eq. 4)."""
    h_s, h_x = h_s.astype(jnp.float32), h_x.astype(jnp.float32)
    norms = jnp.linalg.norm(h_s, axis=-1) * jnp.linalg.norm(h_x, axis=-1)
    return -jnp.mean(jnp.sum(h_s * h_x, axis=-1) / jnp.maximum(norms, 1e-8))


def directanimator_loss(
    params: PyTree,
    config: CueTransformerConfig,
    process: Process,
    z0: Latents,
    image: Float[Array, "batch 1 h w latent"],
    text: Float[Array, "batch text_tokens text_channels"],
    cues: CueLatents,
    key: Key[Array, ""],
    *,
    teacher: PyTree | None = None,
    same_id_cues: CueLatents | None = None,
    same2x: Same2X = Same2X(),
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    """The mean squared error of the prediction and, with a `teacher`, lambda times the Same2X loss.

    The teacher sees the same noisy latents at the same times, with the cues of the target's own identity; only its
    first D blocks run, and it has no gradient.

    Args:
      z0: latents of the video to be predicted, those in front that are thrown away included.
      cues: what the model is driven by: of the target's own identity in the first stage, of another in the second.
    """
    if (teacher is None) != (same_id_cues is None):
        raise InputError("a teacher needs the cues of the same identity, and those a teacher: give both or neither")
    at, noise = jax.random.split(key)
    t = process.draw(at, len(z0))
    eps = jax.random.normal(noise, z0.shape)
    x = beside_image(add_noise(process, z0, eps, t), image)
    model = CueTransformer(config)
    keep = None if teacher is None else same2x.depth
    out = model.apply({"params": params}, x, text, t, cues, keep=keep)
    denoising = jnp.mean(jnp.square(out.sample.astype(jnp.float32) - target(process, z0, eps, t)))
    if teacher is None:
        return denoising, {"denoising": denoising}
    depth = same2x.depth
    h_s = model.apply({"params": teacher}, x, text, t, same_id_cues, keep=depth, stop=depth).hidden
    alignment = alignment_loss(jax.lax.stop_gradient(h_s), out.hidden)
    return denoising + same2x.weight * alignment, {"denoising": denoising, "alignment": alignment}
