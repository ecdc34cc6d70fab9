"""MagicPose's training objectives, Eqs. 4 and 5, and what learns in which stage.

The UNet of the base is frozen in every stage. Stage 1, appearance control pre-training (Eq. 4): the appearance
model alone. Stage 2, appearance-disentangled pose control (Eq. 5): appearance model and pose ControlNet
together. Stage 3 (App. C, optional): motion modules put into the UNet, all else frozen. Before them stands what
the paper takes from elsewhere, a pose ControlNet trained with the base's own prompts (Zhang et al. 2023), which
stage 2 may start from: stage 0 here.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from jaxanim.models.clip_text import CLIPText
from jaxanim.systems.conditions import embed_pose, per_entry
from jaxanim.systems.magicpose.config import MagicPoseConfig
from jaxanim.systems.magicpose.denoise import appearance, predict
from jaxanim.training.losses import denoising_loss
from jaxanim.training.objective import PLAIN, Objective

# Regular expressions over parameter paths.
TRAINABLE = {
    0: (r"^controlnet/",),
    1: (r"^appearance_model/",),
    2: (r"^appearance_model/", r"^controlnet/"),
    3: (r"^unet/.*motion_modules_\d+/",),
}


def loss(
    params: PyTree,
    config: MagicPoseConfig,
    batch: dict[str, Array],
    key: jax.Array,
    objective: Objective = PLAIN,
) -> Float[Array, ""]:
    """The denoising loss under whatever conditions the batch holds.

    With "reference" alone it is Eq. 4, with "pose" too it is Eq. 5 (of videos in stage 3), with "pose" and
    "tokens" the ControlNet's own (stage 0).

    Args:
      batch: "target" scaled latents [batch, frames, h, w, c]; "reference" scaled latents [batch, h, w, c];
        "pose" drawn poses, uint8 [batch, frames, height, width, 3]; "tokens" of prompts, int32 [batch, length],
        without which the prompt is empty.
      objective: which timesteps and which latent channels count how much; by default as in the paper.
    """
    z0 = jnp.asarray(batch["target"], jnp.float32)
    pose = embed_pose(params, config, batch["pose"].astype(jnp.float32) / 255) if "pose" in batch else None
    if "tokens" in batch:
        text = CLIPText(config.text_encoder).apply({"params": params["text_encoder"]}, batch["tokens"])
    else:
        text = per_entry(params["empty_prompt"], z0.shape[0])

    def denoise(x, t):
        reference = None
        if "reference" in batch:
            z_ref = jnp.asarray(batch["reference"], jnp.float32)
            reference = appearance(params, config, z_ref, t, text)
        return predict(params, config, x, t, text, reference, pose)

    return denoising_loss(denoise, config.diffusion, z0, key, objective)
