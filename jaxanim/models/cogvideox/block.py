"""A block of CogVideoX's transformer: text and video attend to each other as one sequence (Yang et al. 2024,
Sec. 2.2), each with its own modulation by the time embedding."""

import flax.linen as nn
import jax.numpy as jnp
from einops import rearrange
from jaxtyping import Array, Float

from jaxanim.attention import attention
from jaxanim.models.cogvideox.config import CogVideoXConfig
from jaxanim.nn.feedforward import GELUFeedForward
from jaxanim.nn.layers import Dense, LayerNorm, Module
from jaxanim.nn.rotary import Rotary, rotate

Video = Float[Array, "batch tokens channels"]
Text = Float[Array, "batch text_tokens channels"]
Embedding = Float[Array, "batch time_channels"]
Gate = Float[Array, "batch 1 channels"]
QK_NORM_EPSILON = 1e-6


class CogVideoXLayer(Module):
    """A module that reads its sizes from the config, and makes the layers that all parts use."""

    config: CogVideoXConfig

    @property
    def dtypes(self) -> dict:
        return {"dtype": self.config.dtype, "param_dtype": self.config.param_dtype}

    def dense(self, features: int, name: str) -> Dense:
        return Dense(features, name=name, **self.dtypes)

    def norm(self, name: str, epsilon: float | None = None) -> LayerNorm:
        epsilon = self.config.norm_eps if epsilon is None else epsilon
        return LayerNorm(epsilon, use_fast_variance=False, name=name, **self.dtypes)


class LayerNormZero(CogVideoXLayer):
    """Norm, scale and shift of both parts by the time embedding, and the gates of what is made of them."""

    @nn.compact
    def __call__(self, video: Video, text: Text, time: Embedding) -> tuple[Video, Text, Gate, Gate]:
        modulation = self.dense(6 * self.config.width, "linear")(nn.silu(time))[:, None]
        shift, scale, gate, text_shift, text_scale, text_gate = jnp.split(modulation, 6, axis=-1)
        norm = self.norm("norm")
        video, text = norm(video) * (1 + scale) + shift, norm(text) * (1 + text_scale) + text_shift
        return video, text, gate, text_gate


class JointAttention(CogVideoXLayer):
    """Self-attention over [text, video]; queries and keys are normalised a head, the video's turned by position."""

    @nn.compact
    def __call__(self, video: Video, text: Text, positions: Rotary) -> tuple[Video, Text]:
        c = self.config
        x, words = jnp.concatenate([text, video], axis=1), text.shape[1]
        q, k, v = (
            rearrange(self.dense(c.width, name)(x), "b t (h d) -> b t h d", d=c.attention_head_dim)
            for name in ("to_q", "to_k", "to_v")
        )
        q, k = (
            rotate(self.norm(name, QK_NORM_EPSILON)(part), positions, first=words)
            for name, part in (("norm_q", q), ("norm_k", k))
        )
        out = rearrange(attention(q, k, v, kernel=c.attention_kernel), "b t h d -> b t (h d)")
        out = self.dense(c.width, "to_out_0")(out)
        return out[:, words:], out[:, :words]


class CogVideoXBlock(CogVideoXLayer):
    """Joint attention, then feed-forward; both gated residual branches of video and text."""

    @nn.compact
    def __call__(self, video: Video, text: Text, time: Embedding, positions: Rotary) -> tuple[Video, Text]:
        c, words = self.config, text.shape[1]
        x, y, gate, text_gate = LayerNormZero(c, name="norm1")(video, text, time)
        x, y = JointAttention(c, name="attn1")(x, y, positions)
        video, text = video + gate * x, text + text_gate * y
        x, y, gate, text_gate = LayerNormZero(c, name="norm2")(video, text, time)
        out = GELUFeedForward(4 * c.width, name="ff", **self.dtypes)(jnp.concatenate([y, x], axis=1))
        return video + gate * out[:, words:], text + text_gate * out[:, :words]
