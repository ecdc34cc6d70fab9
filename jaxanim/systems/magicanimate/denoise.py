"""MagicAnimate's noise estimate: Eqs. 1 to 4 of the paper as pure functions."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from jaxanim.models.appearance import AppearanceEncoder
from jaxanim.models.clip_vision import CLIPVision, normalise
from jaxanim.models.unet import UNet
from jaxanim.models.vae import to_pixels
from jaxanim.systems.conditions import embed_pose, per_entry, pose_residuals
from jaxanim.systems.magicanimate.config import MagicAnimateConfig, image_form

__all__ = ["appearance_features", "embed_pose", "per_entry", "pose_residuals", "predict", "read_reference"]

Features = tuple[Float[Array, "batch _tokens _channels"], ...]


def read_reference(
    params: PyTree,
    config: MagicAnimateConfig,
    reference: Float[Array, "batch height width channels"],
    t: Int[Array, " batch"],
    text: Float[Array, "batch length width_text"],
) -> tuple[Float[Array, "batch _tokens width_text"], Features | None]:
    """What the networks are told of the reference: the text that they attend to, and the appearance features.

    With the appearance encoder `text` stays as it is. With a CLIP image encoder in its place (Table 2b) the image's
    embedding, one token, stands where the text was, and there are no features.

    Args:
      reference, t: see `appearance_features`.
    """
    if config.image_encoder is None:
        return text, appearance_features(params, config, reference, t, text)
    pixels = jax.lax.stop_gradient(to_pixels(params["vae"], config.vae, reference[:, None])[:, 0])
    clip = CLIPVision(config.image_encoder)
    image = normalise(jnp.clip(pixels, -1, 1), config.image_encoder.image_size)
    return clip.apply({"params": params["image_encoder"]}, image)[2][:, None], None


def appearance_features(
    params: PyTree,
    config: MagicAnimateConfig,
    reference: Float[Array, "batch height width channels"],
    t: Int[Array, " batch"],
    text: Float[Array, "batch length width_text"],
) -> Features:
    """y_a = F_a(z | I_ref, t): normalised hidden states of the middle and up blocks (Eq. 1).

    Args:
      reference: the *clean* scaled latent of the reference image; the released encoder adds no noise to it.
      t: the step at which the features will be read.
    """
    encoder = AppearanceEncoder(image_form(config.unet))
    return encoder.apply({"params": params["appearance_encoder"]}, reference[:, None], t, text)


def predict(
    params: PyTree,
    config: MagicAnimateConfig,
    x: Float[Array, "batch frames height width channels"],
    t: Int[Array, " batch"],
    text: Float[Array, "batch length width_text"],
    features: Features | None,
    pose: Float[Array, "batch frames height width features"],
    *,
    reads: tuple[bool, ...] = (True,),
) -> Float[Array, "out frames height width channels"]:
    """eps_theta(z^{1:K}, t, I_ref, p^{1:K}) = F_T(z^{1:K} | t, y_a, y_p^{1:K}) (Eq. 4).

    Args:
      features: from `appearance_features`; None gives the unconditional branch, which keeps the pose.
      reads: which estimates to return, stacked on the batch axis: (False, True) is [unconditional, conditional],
        as guidance needs. They share the ControlNet and the UNet's down blocks, where no reference is read; the
        result equals two calls.
    """
    down, mid = pose_residuals(params, config, x, t, text, pose)
    return UNet(config.unet).apply(
        {"params": params["unet"]},
        x,
        t,
        text,
        down_residuals=down,
        mid_residual=mid,
        reference=features,
        reads=reads,
    )
