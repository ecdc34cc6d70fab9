"""The Dual Consistency Attention Module (DCAM, Sec. 3.3) and, with masks, the Mask-Guided Decoupling Module (MGDM,
Sec. 3.4): who attends to whom in the self-attentions of the UNet's up blocks.

Frames are numbered as in the paper: 0 is the source image's reconstruction, which stays undisturbed.
"""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp
from einops import rearrange, repeat
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Float

from jaxanim.attention.contract import attention
from jaxanim.attention.patterns import Pattern, Site, cross, spatial

Video = Float[Array, "batch frames tokens heads head_dim"]
Masks = Bool[Array, "batch frames tokens"]
Outside = Literal["zeroed", "left_out"]
LAMBDAS = (0.7, 0.15, 0.15)
"""lambda_1, lambda_2, lambda_3 of Eq. 8: the shares of frame 0, the frame before and the frame itself."""


def dual_consistency(
    q: Video,
    k: Video,
    v: Video,
    masks: Masks | None = None,
    *,
    lambdas: tuple[float, float, float] = LAMBDAS,
    outside: Outside = "zeroed",
    kernel: str = "auto",
) -> Video:
    """DCA_i = lambda_1 CFA_{i,0} + lambda_2 CFA_{i,i-1} + lambda_3 CFA_{i,i} for i >= 1 (Eq. 8), frame 0 attends to
    itself; with masks M_{x_i} of the character Eqs. 9 and 10, for i >= 1.

    Frame 0's keys are used as they are by one long query of all other frames; those of the frame before are the
    frames' own, shifted.

    Args:
      outside: what becomes of keys outside the part that a query belongs to. "zeroed" is the paper's product: they
        are zero and still take their share of the softmax; "left_out" leaves them out of it.
    """
    alone = spatial(q, k, v, kernel=kernel)
    if q.shape[1] == 1:
        return alone
    first, before, own = lambdas
    later = q[:, 1:]
    if masks is None:
        to_first = cross(later, k[:, 0], v[:, 0], kernel=kernel)
        to_before = spatial(later, k[:, :-1], v[:, :-1], kernel=kernel)
        to_own = alone[:, 1:]
    else:
        within = _Within(outside, kernel)
        folded = rearrange(later, "b f t h d -> b (f t) h d"), rearrange(masks[:, 1:], "b f t -> b (f t)")
        to_first = within(*folded, k[:, 0], v[:, 0], masks[:, 0]).reshape(later.shape)
        frame = [rearrange(x, "b f ... -> (b f) ...") for x in (later, masks[:, 1:])]
        to_before, to_own = (
            within(*frame, *(rearrange(x[:, at], "b f ... -> (b f) ...") for x in (k, v, masks)))
            for at in (slice(None, -1), slice(1, None))
        )
        to_before, to_own = to_before.reshape(later.shape), to_own.reshape(later.shape)
    mixed = sum(
        share * part.astype(jnp.float32) for share, part in ((first, to_first), (before, to_before), (own, to_own))
    )
    return jnp.concatenate([alone[:, :1], mixed.astype(alone.dtype)], axis=1)


@dataclasses.dataclass(frozen=True)
class _Within:
    """M_i * Attention(Q, M_j K, M_j V) + (1 - M_i) * Attention(Q, (1 - M_j) K, (1 - M_j) V) of Eqs. 9 and 10.

    A query takes one of the two, so one attention does for both, in which queries see the keys of their own part.
    The keys outside are zero in the paper: each adds exp(0) = 1 to the softmax's sum and nothing to its values, so
    with Z the sum over the part and n the number of keys outside it the result is the part's times Z / (Z + n).
    """

    outside: Outside
    kernel: str

    def __call__(
        self,
        q: Float[Array, "batch q_tokens heads head_dim"],
        q_mask: Bool[Array, "batch q_tokens"],
        k: Float[Array, "batch kv_tokens heads head_dim"],
        v: Float[Array, "batch kv_tokens heads head_dim"],
        kv_mask: Bool[Array, "batch kv_tokens"],
    ) -> Float[Array, "batch q_tokens heads head_dim"]:
        segments = {"q_segment_ids": q_mask.astype(jnp.int32), "kv_segment_ids": kv_mask.astype(jnp.int32)}
        if self.outside == "left_out":
            return attention(q, k, v, kernel=self.kernel, **segments)
        out, lse = attention(q, k, v, kernel=self.kernel, return_lse=True, **segments)
        inside = kv_mask.sum(1, keepdims=True, dtype=jnp.float32)
        others = jnp.where(q_mask, kv_mask.shape[1] - inside, inside)[..., None]
        share = jax.nn.sigmoid(lse - jnp.log(others))
        return (out * share[..., None]).astype(out.dtype)


def dual_consistency_pattern(
    masks: Float[Array, "batch frames height width"] | None = None,
    *,
    lambdas: tuple[float, float, float] = LAMBDAS,
    outside: Outside = "zeroed",
) -> Pattern:
    """`dual_consistency` as the self-attention of a network's `Patterns`: in the up blocks alone.

    Args:
      masks: 1 where the character is, of any size; None for DCAM without MGDM. They hold for every guidance branch.
    """
    return Partial(_DualConsistency(lambdas, outside), masks)


@dataclasses.dataclass(frozen=True)
class _DualConsistency:
    lambdas: tuple[float, float, float]
    outside: Outside

    def __call__(self, masks, site: Site, q, k, v, reference=None, *, kernel: str = "auto"):
        if site.part != "up":
            return spatial(q, k, v, kernel=kernel), None
        here = None
        if masks is not None:
            here = rearrange(at_size(masks, site.size), "b f h w -> b f (h w)")
            here = repeat(here, "b f t -> (n b) f t", n=q.shape[0] // here.shape[0])
        return dual_consistency(q, k, v, here, lambdas=self.lambdas, outside=self.outside, kernel=kernel), None


def at_size(
    masks: Float[Array, "batch frames height width"], size: tuple[int, int]
) -> Bool[Array, "batch frames out_height out_width"]:
    """Masks at the resolution of a feature map: True where more than half of a place's area is covered."""
    return jax.image.resize(masks, (*masks.shape[:2], *size), "linear") > 0.5


def word_map(
    words: Float[Array, " text_tokens"],
    site: Site,
    q: Video,
    k: Float[Array, "batch *frames text_tokens heads head_dim"],
    v: Float[Array, "batch *frames text_tokens heads head_dim"],
    *,
    kernel: str = "auto",
) -> tuple[Video, Float[Array, "batch frames height width"]]:
    """Cross-attention that also tells how much of each place's attention goes to some words, the mean over heads
    (Prompt-to-Prompt, Hertz et al. 2022, Sec. 3).

    Args:
      words: 1 for the tokens of these words, 0 for all others.
    """
    to = "b f s h d" if k.ndim == q.ndim else "b s h d"
    scores = jnp.einsum(f"b f t h d, {to} -> b f t h s", q, k, preferred_element_type=jnp.float32)
    probabilities = jax.nn.softmax(scores * q.shape[-1] ** -0.5, axis=-1)
    told = jnp.einsum("b f t h s, s -> b f t", probabilities, words) / q.shape[3]
    return cross(q, k, v, kernel=kernel), rearrange(told, "b f (h w) -> b f h w", h=site.size[0])
