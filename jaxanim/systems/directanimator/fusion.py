"""How driving cues enter the transformer's blocks: the CueFusion block (DirectAnimator, Eqs. 1 to 3), and the
alternative that the paper compares it with, cross-attention (Table 5, CA)."""

from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp
from einops import rearrange
from jaxtyping import Array, Float

from jaxanim.attention import attention
from jaxanim.models.cogvideox.block import CogVideoXLayer, Embedding, Gate, Video
from jaxanim.nn.layers import Dense, LayerNorm

Cues = tuple[Video, Video]
"""Tokens e_p of the pose cue and e_f of the face cue, on the video's grid."""


def modulate(
    normed: Float[Array, "batch tokens channels"], alpha: Gate, beta: Gate
) -> Float[Array, "batch tokens channels"]:
    """e^M = LN(e) (1 + alpha) + beta (DirectAnimator, Eq. 2)."""
    return normed * (1 + alpha) + beta


def carry_on(
    e: Float[Array, "batch tokens channels"], gamma: Gate, modulated: Float[Array, "batch tokens channels"]
) -> Float[Array, "batch tokens channels"]:
    """e^G = e + gamma e^M (DirectAnimator, Eq. 3), which the next block reads as its e."""
    return e + gamma * modulated


class CueFusion(CogVideoXLayer):
    """Both cues modulated by the time embedding and added to the video's tokens, before each block.

    The paper adds them "to the text and vision embeddings", but text has other tokens than the video's grid: they
    are added to the video's. Its MLP (Eq. 1) is one linear layer, as the backbone's own modulations are. It starts
    with alpha = -1 and beta = gamma = 0, which the paper leaves open: every e^M is then 0 and the network is the
    base model exactly, while alpha's gradient is not 0.
    """

    along_tokens: ClassVar[bool] = True

    @nn.compact
    def __call__(self, video: Video, cues: Cues, time: Embedding) -> tuple[Video, Cues]:
        width = self.config.width
        mlp = Dense(6 * width, kernel_init=nn.initializers.zeros, name="linear", **self.dtypes)
        factors = jnp.split(mlp(nn.silu(time))[:, None], 6, axis=-1)
        fused, on = video, []
        for name, e, (scale, beta, gamma) in zip("pf", cues, (factors[:3], factors[3:]), strict=True):
            norm = LayerNorm(
                self.config.norm_eps, use_bias=False, use_scale=False, use_fast_variance=False, name=f"norm_{name}",
                **self.dtypes,
            )  # fmt: skip
            modulated = modulate(norm(e), scale - 1, beta)
            fused = fused + modulated
            on.append(carry_on(e, gamma, modulated))
        return fused, tuple(on)


class CueCrossAttention(CogVideoXLayer):
    """The video's tokens attend to those of both cues, before each block; the projection back starts at zero."""

    along_tokens: ClassVar[bool] = False

    @nn.compact
    def __call__(self, video: Video, cues: Cues, time: Embedding) -> tuple[Video, Cues]:
        c = self.config
        e = self.norm("norm_cues")(jnp.concatenate(cues, axis=1))
        parts = (("to_q", self.norm("norm_video")(video)), ("to_k", e), ("to_v", e))
        q, k, v = (
            rearrange(self.dense(c.width, name)(x), "b t (h d) -> b t h d", d=c.attention_head_dim)
            for name, x in parts
        )
        out = rearrange(attention(q, k, v, kernel=c.attention_kernel), "b t h d -> b t (h d)")
        to_out = Dense(c.width, kernel_init=nn.initializers.zeros, name="to_out_0", **self.dtypes)
        return video + to_out(out), cues
