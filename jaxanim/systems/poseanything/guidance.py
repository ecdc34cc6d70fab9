"""Subject and camera motion decoupled CFG (PoseAnything, Sec. 4.3 and App. D)."""

from collections.abc import Callable
from typing import TypeVar

from jaxtyping import Array, Float

from jaxanim.diffusion.guidance import Scale, guided

Pose = TypeVar("Pose")
Predict = Callable[[tuple[Pose, ...]], Float[Array, "rows *rest"]]


def anchors(
    predict: Predict, subject: Pose, camera: Pose, scale: Scale, *, in_turn: bool = False
) -> Float[Array, "batch *rest"]:
    """Eq. 10, first line: e(camera) + s (e(subject) - e(camera)), the subject's poses in the positive anchor and
    the camera's rectangle in the negative one; two estimates a step."""
    return guided(predict, camera, subject, scale, in_turn=in_turn)


def superposed(
    predict: Predict,
    empty: Pose,
    subject: Pose,
    camera: Pose,
    subject_scale: Scale,
    camera_scale: Scale,
    *,
    in_turn: bool = False,
) -> Float[Array, "batch *rest"]:
    """Eqs. 13 to 15: e(empty) + s_s (e(subject) - e(empty)) - s_c (e(camera) - e(empty)); three estimates a
    step."""
    return guided(predict, empty, (subject, camera), (subject_scale, -camera_scale), in_turn=in_turn)
