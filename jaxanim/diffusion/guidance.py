"""Guidance: sharpening a prediction by what a condition changes in it."""

from jaxtyping import Array, Float


def classifier_free(
    uncond: Float[Array, "*shape"], cond: Float[Array, "*shape"], scale: float | Float[Array, ""]
) -> Float[Array, "*shape"]:
    """uncond + scale * (cond - uncond): classifier-free guidance (Ho and Salimans 2022, Eq. 6, where scale =
    1 + w).

    Scale 1 is the conditional prediction, 0 the unconditional one."""
    return uncond + scale * (cond - uncond)
