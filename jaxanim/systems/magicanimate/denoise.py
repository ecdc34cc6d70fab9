"""MagicAnimate's noise estimate: Eqs. 1 to 4 of the paper as three pure functions."""

from jaxtyping import Array, Float, Int, PyTree

from jaxanim.models.appearance import AppearanceEncoder
from jaxanim.models.unet import UNet
from jaxanim.systems.conditions import embed_pose, per_entry, pose_residuals
from jaxanim.systems.magicanimate.config import MagicAnimateConfig, image_form

__all__ = ["appearance_features", "embed_pose", "per_entry", "pose_residuals", "predict"]

Features = tuple[Float[Array, "batch _tokens _channels"], ...]


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
    with_plain: bool = False,
) -> Float[Array, "out frames height width channels"]:
    """eps_theta(z^{1:K}, t, I_ref, p^{1:K}) = F_T(z^{1:K} | t, y_a, y_p^{1:K}) (Eq. 4).

    Args:
      features: from `appearance_features`; None gives the unconditional branch, which keeps the pose.
      with_plain: return [unconditional, conditional] stacked on the batch axis, as guidance needs. Both share
        the ControlNet and the UNet's down blocks, where no reference is read; the result equals two calls.
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
        with_plain=with_plain,
    )
