"""The transformer that CLIP's text and image encoders share (Radford et al. 2021), with transformers'
names."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from einops import rearrange
from flax import linen as nn
from jaxtyping import Array, Float

from jaxanim.attention import attention
from jaxanim.errors import InputError
from jaxanim.mesh import constrain_batch
from jaxanim.nn.layers import Dense, Embed, LayerNorm, Module

# Both encoders start their embedding tables like this.
embedding_init = nn.initializers.normal(0.02)


def quick_gelu(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """x * sigmoid(1.702 x), OpenAI's stand-in for GELU (Hendrycks and Gimpel 2016, Sec. 2)."""
    return x * jax.nn.sigmoid(1.702 * x)


def gelu(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """x times the standard normal distribution function of x, exactly."""
    return jax.nn.gelu(x, approximate=False)


ACTIVATIONS: dict[str, Callable] = {"quick_gelu": quick_gelu, "gelu": gelu}


@dataclass(frozen=True, kw_only=True)
class CLIPEncoderConfig:
    """What the text and the image encoder both have; transformers' field names."""

    hidden_size: int = 768
    intermediate_size: int = 3072
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    hidden_act: str = "quick_gelu"
    layer_norm_eps: float = 1e-5
    attention_kernel: str = "auto"
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    def __post_init__(self) -> None:
        if self.hidden_act not in ACTIVATIONS:
            names = ", ".join(ACTIVATIONS)
            raise InputError(f"hidden_act is {self.hidden_act!r}: it must be one of {names}")
        if self.hidden_size % self.num_attention_heads:
            raise InputError(
                f"hidden_size is {self.hidden_size}: it must be a multiple of "
                f"num_attention_heads, {self.num_attention_heads}"
            )


class CLIPLayer(Module):
    """A module that reads its sizes from the config, and makes the layers that all parts of CLIP use."""

    config: CLIPEncoderConfig

    @property
    def dtypes(self) -> dict:
        return {"dtype": self.config.dtype, "param_dtype": self.config.param_dtype}

    def dense(self, features: int, name: str, use_bias: bool = True) -> Dense:
        return Dense(features, use_bias=use_bias, name=name, **self.dtypes)

    def norm(self, name: str) -> LayerNorm:
        return LayerNorm(epsilon=self.config.layer_norm_eps, use_fast_variance=False, name=name, **self.dtypes)

    def table(self, rows: int, name: str) -> Embed:
        return Embed(rows, self.config.hidden_size, embedding_init=embedding_init, name=name, **self.dtypes)

    def positions(self, rows: int, tokens: int) -> Float[Array, "{tokens} dim"]:
        """The first rows of the table of positions.

        No lookup by number: over devices whose count does not divide the tokens, one would read beyond the table.
        """
        return self.table(rows, "position_embedding").embedding[:tokens].astype(self.config.dtype)


class SelfAttention(CLIPLayer):
    """Multi-head self-attention; `bias` is added to the scores."""

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch tokens dim"], bias: Float[Array, "1 1 tokens tokens"] | None = None
    ) -> Float[Array, "batch tokens dim"]:
        c = self.config
        q, k, v = (
            rearrange(
                self.dense(c.hidden_size, name)(x),
                "b t (heads d) -> b t heads d",
                heads=c.num_attention_heads,
            )
            for name in ("q_proj", "k_proj", "v_proj")
        )
        out = attention(q, k, v, bias=bias, kernel=c.attention_kernel)
        return self.dense(c.hidden_size, "out_proj")(rearrange(out, "b t heads d -> b t (heads d)"))


class MLP(CLIPLayer):
    """Two linear layers with the config's activation between them."""

    @nn.compact
    def __call__(self, x: Float[Array, "batch tokens dim"]) -> Float[Array, "batch tokens dim"]:
        x = ACTIVATIONS[self.config.hidden_act](self.dense(self.config.intermediate_size, "fc1")(x))
        return self.dense(self.config.hidden_size, "fc2")(x)


class EncoderLayer(CLIPLayer):
    """A pre-norm transformer block."""

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch tokens dim"], bias: Float[Array, "1 1 tokens tokens"] | None = None
    ) -> Float[Array, "batch tokens dim"]:
        x = x + SelfAttention(self.config, name="self_attn")(self.norm("layer_norm1")(x), bias)
        return constrain_batch(x + MLP(self.config, name="mlp")(self.norm("layer_norm2")(x)))


class Encoder(CLIPLayer):
    """All blocks, one after another."""

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch tokens dim"], bias: Float[Array, "1 1 tokens tokens"] | None = None
    ) -> Float[Array, "batch tokens dim"]:
        for i in range(self.config.num_hidden_layers):
            x = EncoderLayer(self.config, name=f"layers_{i}")(x, bias)
        return x
