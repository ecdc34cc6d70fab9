"""A block of CogVideoX's transformer: text and video attend to each other as one sequence (Yang et al. 2024,
Sec. 2.2), each with its own modulation by the time embedding."""

import flax.linen as nn
import jax.numpy as jnp
from einops import rearrange
from jaxtyping import Array, Float

from jaxanim.attention import attention
from jaxanim.mesh import constrain_tokens, context_ways, even_tokens, gather_tokens
from jaxanim.models.cogvideox.config import CogVideoXConfig
from jaxanim.nn.feedforward import GELUFeedForward
from jaxanim.nn.layers import Dense, LayerNorm, Module
from jaxanim.nn.rotary import Rotary, rotate

Video = Float[Array, "batch tokens channels"]
Text = Float[Array, "batch text_tokens channels"]
Heads = Float[Array, "batch n heads head_dim"]
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
        c, words, tokens = self.config, text.shape[1], positions.cos.shape[0]
        to_q, to_k, to_v, to_out = (self.dense(c.width, name) for name in ("to_q", "to_k", "to_v", "to_out_0"))
        norm_q, norm_k = (self.norm(name, QK_NORM_EPSILON) for name in ("norm_q", "norm_k"))

        def heads(x: Video) -> Heads:
            return rearrange(x, "b t (h d) -> b t h d", d=c.attention_head_dim)

        def attend(q: Heads, k: Heads, v: Heads) -> Video:
            out = attention(q, k, v, kernel=c.attention_kernel)
            return to_out(rearrange(out, "b t h d -> b t (h d)"))

        if context_ways() == 1:
            x = jnp.concatenate([text, video], axis=1)
            q, k = (
                rotate(norm(heads(to(x))), positions, first=words) for to, norm in ((to_q, norm_q), (to_k, norm_k))
            )
            out = attend(q, k, heads(to_v(x)))
            return out[:, words:], out[:, :words]
        # The text is whole on every device and the video is cut: what is made of both stays apart but for keys and
        # values, which all devices need whole.
        table = Rotary(*(even_tokens(jnp.asarray(part)) for part in positions))
        queries, keys = (
            (norm(heads(to(text))), rotate(norm(heads(to(video))), table))
            for to, norm in ((to_q, norm_q), (to_k, norm_k))
        )
        values = heads(to_v(text)), heads(to_v(video))
        k, v = (jnp.concatenate([a, gather_tokens(b)[:, :tokens]], axis=1) for a, b in (keys, values))
        return attend(queries[1], k, v), attend(queries[0], k, v)


class CogVideoXBlock(CogVideoXLayer):
    """Joint attention, then feed-forward; both gated residual branches of video and text.

    Over "context" the video may have more tokens than `positions` at its end (`even_tokens`), which nothing reads.
    """

    @nn.compact
    def __call__(self, video: Video, text: Text, time: Embedding, positions: Rotary) -> tuple[Video, Text]:
        c, words = self.config, text.shape[1]
        x, y, gate, text_gate = LayerNormZero(c, name="norm1")(video, text, time)
        x, y = JointAttention(c, name="attn1")(x, y, positions)
        video, text = constrain_tokens(video + gate * x), text + text_gate * y
        x, y, gate, text_gate = LayerNormZero(c, name="norm2")(video, text, time)
        ff = GELUFeedForward(4 * c.width, name="ff", **self.dtypes)
        if context_ways() == 1:
            out = ff(jnp.concatenate([y, x], axis=1))
            x, y = out[:, words:], out[:, :words]
        else:
            x, y = ff(x), ff(y)
        return constrain_tokens(video + gate * x), text + text_gate * y
