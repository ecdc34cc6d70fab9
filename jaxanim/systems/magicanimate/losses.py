"""MagicAnimate's training objectives, Eqs. 5 to 7.

Stages 1 and 2 share one loss; they differ in what is trained and in what a batch holds. Stage 1 (Eq. 5): single
target frames through the image model, the appearance encoder and the pose ControlNet learn. Stage 2 (Eq. 6): K
consecutive frames through the video model, the temporal layers alone learn. Image-video joint training (Eq. 7)
chooses each batch's kind by thresholds, see `draw_kind`.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from jaxanim.cues.densepose import colour_parts
from jaxanim.systems.magicanimate.config import MagicAnimateConfig
from jaxanim.systems.magicanimate.denoise import embed_pose, per_entry, predict, read_reference
from jaxanim.training.losses import denoising_loss
from jaxanim.training.objective import PLAIN, Objective

# Which modules learn in which stage (Sec. 3.4): regular expressions over parameter paths.
TRAINABLE = {
    1: (r"^appearance_encoder/", r"^controlnet/"),
    2: (r"^unet/.*motion_modules_\d+/",),
}
# Stage 1 with a CLIP image embedding in place of the appearance encoder (Table 2b): its encoder, the UNet's layers
# that attend to it, and the ControlNet.
TRAINABLE_CLIP = (r"^image_encoder/", r"^unet/.*attn2/", r"^controlnet/")


def draw_kind(r: float, tau1: float, tau2: float) -> str:
    """Eq. 7: the kind of a training sample from r ~ U(0, 1).

    "image" (i = ref, a still reconstructs itself) if r <= tau1; "pair" (i != ref, one other frame of the video) up
    to tau2; "video" (K consecutive frames) from tau2 on. Stage 1 is tau1 = tau0 and tau2 = 1: no video samples.
    """
    if r <= tau1:
        return "image"
    return "pair" if r < tau2 else "video"


def loss(
    params: PyTree,
    config: MagicAnimateConfig,
    batch: dict[str, Array],
    key: jax.Array,
    objective: Objective = PLAIN,
) -> Float[Array, ""]:
    """L1 (Eq. 5) when `config.unet.motion` is None, else L2 (Eq. 6).

    Args:
      batch: "target" scaled latents [batch, frames, h, w, c]; "reference" scaled latents [batch, h, w, c];
        "parts" DensePose part ids of the target frames, uint8 [batch, frames, height, width].
      objective: which timesteps and which latent channels count how much; by default as in the paper.
    """
    z0 = jnp.asarray(batch["target"], jnp.float32)
    reference = jnp.asarray(batch["reference"], jnp.float32)
    pose = embed_pose(params, config, colour_parts(batch["parts"]))
    text = per_entry(params["empty_prompt"], z0.shape[0])

    def denoise(x, t):
        told, features = read_reference(params, config, reference, t, text)
        return predict(params, config, x, t, told, features, pose)

    return denoising_loss(denoise, config.diffusion, z0, key, objective)
