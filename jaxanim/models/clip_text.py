"""CLIP's text encoder (Radford et al. 2021), as Stable Diffusion 1.5 reads prompts: transformers'
CLIPTextModel."""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Int
from tokenizers import Tokenizer

from jaxanim.errors import InputError
from jaxanim.models.clip_encoder import CLIPEncoderConfig, CLIPLayer, Encoder
from jaxanim.models.network import Network, example
from jaxanim.models.tokenizer import read_prompts
from jaxanim.stored import register_config


@register_config
@dataclass(frozen=True, kw_only=True)
class CLIPTextConfig(CLIPEncoderConfig):
    """Sizes of the text encoder; the defaults are those of ViT-L/14 and Stable Diffusion 1.5 (123,060,480
    parameters)."""

    vocab_size: int = 49408
    max_position_embeddings: int = 77

    def network(self, role: str) -> Network:
        """See `jaxanim.models.network.NetworkConfig`."""
        return Network(CLIPText(self), (example(1, min(2, self.max_position_embeddings), dtype=jnp.int32),))


class TextEmbeddings(CLIPLayer):
    """Token plus position embeddings."""

    @nn.compact
    def __call__(self, token_ids: Int[Array, "batch tokens"]) -> Float[Array, "batch tokens dim"]:
        c = self.config
        words = self.table(c.vocab_size, "token_embedding")(token_ids)
        return words + self.positions(c.max_position_embeddings, token_ids.shape[1])


class TextModel(CLIPLayer):
    """Embeddings, causal transformer, final norm."""

    @nn.compact
    def __call__(self, token_ids: Int[Array, "batch tokens"]) -> Float[Array, "batch tokens dim"]:
        tokens = token_ids.shape[1]
        x = TextEmbeddings(self.config, name="embeddings")(token_ids)
        future = jnp.triu(jnp.ones((1, 1, tokens, tokens), bool), k=1)
        x = Encoder(self.config, name="encoder")(x, jnp.where(future, jnp.finfo(jnp.float32).min, 0.0))
        return self.norm("final_layer_norm")(x)


class CLIPText(CLIPLayer):
    """The hidden states [batch, tokens, hidden_size] of the last layer after the final norm.

    Every token attends to itself and to those before it; padding is not masked. Raises InputError for more
    tokens than there are position embeddings.
    """

    @nn.compact
    def __call__(self, token_ids: Int[Array, "batch tokens"]) -> Float[Array, "batch tokens dim"]:
        if token_ids.shape[1] > self.config.max_position_embeddings:
            raise InputError(
                f"token_ids hold {token_ids.shape[1]} tokens: the encoder takes up to "
                f"{self.config.max_position_embeddings}"
            )
        return TextModel(self.config, name="text_model")(token_ids)


def embed_prompts(
    params: dict, config: CLIPTextConfig, tokenizer: Tokenizer, prompts: Sequence[str]
) -> Float[Array, "prompts tokens dim"]:
    """The hidden states of prompts, padded or cut to the tokenizer's length."""
    token_ids = jnp.asarray(read_prompts(tokenizer, prompts))
    return jax.jit(CLIPText(config).apply)({"params": params}, token_ids)
