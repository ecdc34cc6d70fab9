"""T5's encoder (Raffel et al. 2020), as CogVideoX reads prompts with T5-v1.1-XXL and Wan with umT5-XXL
(transformers' T5EncoderModel and UMT5EncoderModel)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange
from jaxtyping import Array, Bool, Float, Int
from tokenizers import Tokenizer

from jaxanim.attention import attention
from jaxanim.errors import InputError
from jaxanim.mesh import constrain_batch
from jaxanim.models.network import Network, example
from jaxanim.models.sentencepiece import tokenize
from jaxanim.nn.layers import Dense, Embed, Module, RMSNorm
from jaxanim.nn.stack import run_blocks, stacked_params
from jaxanim.stored import register_config

Tokens = Float[Array, "batch tokens d_model"]
Bias = Float[Array, "1 heads tokens tokens"]


@register_config
@dataclass(frozen=True, kw_only=True)
class T5Config:
    """Sizes of the encoder, transformers' field names; the defaults are T5-v1.1-XXL's (4,762,310,656 parameters).

    Attributes:
      positions_in_every_layer: False: the first layer's relative positions serve all (T5); True: each layer has
        its own (umT5).
    """

    vocab_size: int = 32128
    d_model: int = 4096
    d_kv: int = 64
    d_ff: int = 10240
    num_layers: int = 24
    num_heads: int = 64
    relative_attention_num_buckets: int = 32
    relative_attention_max_distance: int = 128
    layer_norm_epsilon: float = 1e-6
    positions_in_every_layer: bool = False
    attention_kernel: str = "auto"
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    def network(self, role: str) -> Network:
        """See `jaxanim.models.network.NetworkConfig`."""
        return Network(T5Encoder(self), (example(1, 2, dtype=jnp.int32),))


UMT5_XXL = T5Config(vocab_size=256384, positions_in_every_layer=True)
"""The encoder of Wan 2.1 and 2.2 (5,680,910,336 parameters)."""


def relative_buckets(tokens: int, buckets: int, max_distance: int) -> Int[np.ndarray, "tokens tokens"]:
    """The bucket of each (query, key) pair by its distance (Raffel et al. 2020, Sec. 2.1).

    Half of the buckets are for keys after the query. Of each half, the first half holds one distance each, the
    others grow logarithmically up to `max_distance`, beyond which all is one.
    """
    distance = np.arange(tokens)[None, :] - np.arange(tokens)[:, None]
    half = buckets // 2
    exact = half // 2
    far = np.maximum(np.abs(distance), 1).astype(np.float32)
    # In float32, as the encoder was trained: the bounds between buckets lie on whole distances.
    growth = np.log(far / np.float32(exact)) / np.float32(np.log(max_distance / exact)) * np.float32(half - exact)
    far = np.minimum(exact + growth.astype(np.int64), half - 1)
    return np.where(np.abs(distance) < exact, np.abs(distance), far) + half * (distance > 0)


class T5Layer(Module):
    """A module that reads its sizes from the config, and makes the layers that all parts use."""

    config: T5Config

    @property
    def dtypes(self) -> dict:
        return {"dtype": self.config.dtype, "param_dtype": self.config.param_dtype}

    def dense(self, features: int, name: str) -> Dense:
        return Dense(features, use_bias=False, name=name, **self.dtypes)

    def norm(self, name: str) -> RMSNorm:
        return RMSNorm(self.config.layer_norm_epsilon, name=name, **self.dtypes)

    def positions(self, tokens: int) -> Bias:
        """A learned number for each head and bucket of distances, which is added to the scores."""
        c = self.config
        buckets = relative_buckets(tokens, c.relative_attention_num_buckets, c.relative_attention_max_distance)
        table = Embed(
            c.relative_attention_num_buckets, c.num_heads, name="relative_attention_bias", param_dtype=c.param_dtype
        )
        return rearrange(table(jnp.asarray(buckets)), "q k h -> 1 h q k")


class Positions(T5Layer):
    """Relative positions that all layers share."""

    @nn.compact
    def __call__(self, tokens: int) -> Bias:
        return self.positions(tokens)


class SelfAttention(T5Layer):
    """Attention with scores as they are (no head_dim^-0.5) plus `bias`, or the layer's own positions."""

    @nn.compact
    def __call__(self, x: Tokens, lengths: Int[Array, " batch"] | None, bias: Bias | None) -> Tokens:
        c = self.config
        q, k, v = (
            rearrange(self.dense(c.num_heads * c.d_kv, name)(x), "b t (h d) -> b t h d", d=c.d_kv) for name in "qkv"
        )
        if bias is None:
            bias = self.positions(x.shape[1])
        out = attention(q, k, v, bias=bias, kv_lengths=lengths, scale=1.0, kernel=c.attention_kernel)
        return self.dense(c.d_model, "o")(rearrange(out, "b t h d -> b t (h d)"))


class AttentionLayer(T5Layer):
    """Norm and self-attention, a residual branch."""

    @nn.compact
    def __call__(self, x: Tokens, lengths: Int[Array, " batch"] | None, bias: Bias | None) -> Tokens:
        return x + SelfAttention(self.config, name="SelfAttention")(self.norm("layer_norm")(x), lengths, bias)


class GatedGELU(T5Layer):
    """wo(GELU(wi_0(x)) * wi_1(x)) with GELU by its tanh approximation (Shazeer 2020, Eq. 6)."""

    @nn.compact
    def __call__(self, x: Tokens) -> Tokens:
        gate = nn.gelu(self.dense(self.config.d_ff, "wi_0")(x), approximate=True)
        return self.dense(self.config.d_model, "wo")(gate * self.dense(self.config.d_ff, "wi_1")(x))


class FeedForwardLayer(T5Layer):
    """Norm and gated feed-forward, a residual branch."""

    @nn.compact
    def __call__(self, x: Tokens) -> Tokens:
        return x + GatedGELU(self.config, name="DenseReluDense")(self.norm("layer_norm")(x))


class Block(T5Layer):
    """Self-attention, then feed-forward."""

    @nn.compact
    def __call__(self, x: Tokens, lengths: Int[Array, " batch"] | None, bias: Bias | None) -> Tokens:
        x = AttentionLayer(self.config, name="layer_0")(x, lengths, bias)
        return constrain_batch(FeedForwardLayer(self.config, name="layer_1")(x))


class Encoder(T5Layer):
    """All blocks and the final norm."""

    @nn.compact
    def __call__(self, x: Tokens, lengths: Int[Array, " batch"] | None) -> Tokens:
        c = self.config
        bias = None if c.positions_in_every_layer else Positions(c, name="positions")(x.shape[1])
        block = Block(c, parent=None)
        params = stacked_params(self, "block", block, c.num_layers, x, lengths, bias)
        x, _ = run_blocks(lambda p, x: block.apply({"params": p}, x, lengths, bias), params, x)
        return self.norm("final_layer_norm")(x)


class T5Encoder(T5Layer):
    """Hidden states [batch, tokens, d_model] of token ids.

    With a `mask` (True for tokens, all of them before the padding) nobody attends to padding; without one padding
    is text like any other.
    """

    @nn.compact
    def __call__(
        self, token_ids: Int[Array, "batch tokens"], mask: Bool[Array, "batch tokens"] | None = None
    ) -> Tokens:
        x = Embed(self.config.vocab_size, self.config.d_model, name="shared", **self.dtypes)(token_ids)
        lengths = None if mask is None else jnp.sum(mask, axis=1, dtype=jnp.int32)
        return Encoder(self.config, name="encoder")(x, lengths)


@dataclass(frozen=True)
class PromptRule:
    """How a pipeline hands prompts to its encoder.

    Attributes:
      length: tokens of every prompt, padded or cut.
      masked: the encoder sees a mask, and what it returns for padding is replaced by zeros.
    """

    length: int
    masked: bool


COGVIDEOX = PromptRule(length=226, masked=False)
WAN = PromptRule(length=512, masked=True)


def embed_prompts(
    params: dict, config: T5Config, tokenizer: Tokenizer, prompts: Sequence[str], rule: PromptRule
) -> Float[Array, "prompts tokens d_model"]:
    """Embeddings of prompts as the pipeline of `rule` makes them."""
    if rule.length < 1:
        raise InputError(f"length is {rule.length}: a prompt has at least the end token, 1")
    token_ids, mask = tokenize(tokenizer, prompts, rule.length)
    return _embed(params, jnp.asarray(token_ids), jnp.asarray(mask), config=config, masked=rule.masked)


@jax.jit(static_argnames=("config", "masked"))
def _embed(params: dict, token_ids: jax.Array, mask: jax.Array, *, config: T5Config, masked: bool) -> jax.Array:
    out = T5Encoder(config).apply({"params": params}, token_ids, mask if masked else None)
    return jnp.where(mask[..., None], out, 0) if masked else out
