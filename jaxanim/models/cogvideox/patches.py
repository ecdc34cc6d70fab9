"""Latent videos as sequences of tokens, and back."""

from collections.abc import Sequence

from einops import rearrange
from jaxtyping import Array, Float

from jaxanim.errors import InputError

Latents = Float[Array, "batch frames height width latent_channels"]


def to_patches(x: Latents, patch: Sequence[int]) -> Float[Array, "batch tokens values"]:
    """The values of each patch of (frames, rows, columns), in the order channel, frame, row, column."""
    t, p, q = patch
    _check(x, patch)
    return rearrange(x, "b (f t) (h p) (w q) c -> b (f h w) (c t p q)", t=t, p=p, q=q)


def from_patches(x: Float[Array, "batch tokens values"], grid: Sequence[int], patch: Sequence[int]) -> Latents:
    """The inverse of `to_patches` for a grid of (frames, rows, columns) of tokens."""
    (f, h, w), (t, p, q) = grid, patch
    return rearrange(x, "b (f h w) (c t p q) -> b (f t) (h p) (w q) c", f=f, h=h, w=w, t=t, p=p, q=q)


def token_grid(x: Latents, patch: Sequence[int]) -> tuple[int, int, int]:
    """How many tokens a latent video has along frames, rows and columns; InputError where patches do not fit."""
    _check(x, patch)
    return tuple(n // size for n, size in zip(x.shape[1:4], patch, strict=True))


def _check(x: Latents, patch: Sequence[int]) -> None:
    if any(n % size for n, size in zip(x.shape[1:4], patch, strict=True)):
        raise InputError(
            f"latents have {x.shape[1]} frames of {x.shape[2]}x{x.shape[3]}: they must be multiples of "
            f"{patch[0]} and {patch[1]}x{patch[2]}"
        )
