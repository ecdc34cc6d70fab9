"""MagicPose's noise estimate: epsilon_theta(z_t, t, A_theta(I_R), P_theta(I_C)) of Eq. 5 as pure functions."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from jaxanim.models.appearance import AppearanceEncoder, keys_and_values
from jaxanim.models.readers import Features
from jaxanim.models.unet import UNet
from jaxanim.models.unet_config import image_form
from jaxanim.systems.conditions import pose_residuals
from jaxanim.systems.magicpose.config import MagicPoseConfig

Reference = tuple[Features, ...]


def appearance(
    params: PyTree,
    config: MagicPoseConfig,
    reference: Float[Array, "batch height width channels"],
    t: Int[Array, " batch"],
    text: Float[Array, "batch length width_text"],
) -> Reference:
    """A_theta(I_R): what each of the UNet's self-attentions reads of the reference image (Sec. 4.2, Eq. 3).

    Args:
      reference: the *clean* scaled latent of the reference image; the released model adds no noise to it.
      t: the step at which it will be read.
    """
    model, image = params["appearance_model"], image_form(config.unet)
    features = AppearanceEncoder(image, truncated=False).apply({"params": model}, reference[:, None], t, text)
    if config.multi_source.shares == "hidden_states":
        return features
    return keys_and_values(model, image, features)


def predict(
    params: PyTree,
    config: MagicPoseConfig,
    x: Float[Array, "batch frames height width channels"],
    t: Int[Array, " batch"],
    text: Float[Array, "batch length width_text"],
    reference: Reference | None,
    pose: Float[Array, "batch frames height width features"] | None,
    *,
    reads: tuple[bool, ...] = (True,),
) -> Float[Array, "out frames height width channels"]:
    """The UNet's noise estimate with a reference (Eq. 3 in every self-attention) and a pose (Eq. 5).

    Args:
      reference: from `appearance`; `pose`: from `embed_pose`. Without the pose it is stage 1's estimate (Eq. 4);
        without both, the base model's, untouched.
      reads: which estimates to return, stacked on the batch axis: (False, True) is [the base model's own, with
        neither reference nor pose; the conditional one], as guidance needs, and equals two calls.
    """
    down = mid = None
    if pose is not None:
        posed = pose_residuals(params, config, x, t, text, pose)
        none = jax.tree.map(jnp.zeros_like, posed)
        down, mid = jax.tree.map(lambda *r: jnp.concatenate(r), *(posed if read else none for read in reads))
    return UNet(config.unet).apply(
        {"params": params["unet"]},
        x,
        t,
        text,
        down_residuals=down,
        mid_residual=mid,
        reference=reference,
        reads=reads,
    )
