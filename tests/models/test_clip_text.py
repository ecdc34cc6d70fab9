"""CLIP's text encoder against transformers' CLIPTextModel."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxanim.errors import InputError
from jaxanim.models.clip_text import CLIPText, CLIPTextConfig, embed_prompts
from jaxanim.models.tokenizer import build_word_tokenizer

TINY = CLIPTextConfig(
    vocab_size=99,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=3,
    num_attention_heads=4,
    max_position_embeddings=11,
)


def test_default_config_is_stable_diffusion_1_5():
    shapes = jax.eval_shape(CLIPText(CLIPTextConfig()).init, jax.random.key(0), jnp.zeros((1, 77), jnp.int32))
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == 123_060_480


@pytest.mark.parametrize("hidden_act", ["quick_gelu", "gelu"])
@pytest.mark.parametrize("tokens", [11, 7])
def test_matches_transformers(hidden_act, tokens):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from jaxanim.convert.layout import from_torch

    config = CLIPTextConfig(**TINY.__dict__ | {"hidden_act": hidden_act})
    torch.manual_seed(0)
    theirs = transformers.CLIPTextModel(
        transformers.CLIPTextConfig(
            vocab_size=99, hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4,
            max_position_embeddings=11, hidden_act=hidden_act, bos_token_id=97, eos_token_id=98, pad_token_id=98,
        )
    ).eval()  # fmt: skip
    with torch.no_grad():
        for parameter in theirs.parameters():  # norms and biases too must not be where they start
            parameter.add_(0.1 * torch.randn_like(parameter))
    # Checkpoints keep the prefix that transformers 5 leaves out of the module itself.
    state = {
        f"text_model.{name.removeprefix('text_model.')}": value.numpy()
        for name, value in theirs.state_dict().items()
    }
    params = from_torch(state)

    token_ids = np.random.default_rng(0).integers(0, 98, (3, tokens))
    token_ids[:, -3:] = 98
    with torch.no_grad():
        expected = theirs(input_ids=torch.from_numpy(token_ids)).last_hidden_state.numpy()
    ours = jax.jit(CLIPText(config).apply)({"params": params}, jnp.asarray(token_ids, jnp.int32))
    assert np.max(np.abs(ours - expected)) / np.max(np.abs(expected)) < 1e-5
    initialised = jax.eval_shape(CLIPText(config).init, jax.random.key(0), jnp.zeros((1, 2), jnp.int32))["params"]
    chex.assert_trees_all_equal_shapes(params, initialised)


def test_a_token_sees_those_before_it_and_none_after():
    token_ids = jnp.arange(10)[None]
    params = CLIPText(TINY).init(jax.random.key(0), token_ids)
    changed = token_ids.at[0, 6].set(50)
    difference = np.abs(CLIPText(TINY).apply(params, changed) - CLIPText(TINY).apply(params, token_ids)).max(-1)[0]
    assert np.all(difference[:6] == 0)
    assert np.all(difference[6:] > 0)


def test_prompts_are_embedded_as_their_tokens(tmp_path):
    tokenizer = build_word_tokenizer(["a", "red", "bird"], tmp_path, length=6)
    config = CLIPTextConfig(**TINY.__dict__ | {"vocab_size": tokenizer.get_vocab_size()})
    vocab = tokenizer.get_vocab()
    ids = [
        vocab[token]
        for token in ("<|startoftext|>", "a</w>", "red</w>", "bird</w>", "<|endoftext|>", "<|endoftext|>")
    ]
    params = CLIPText(config).init(jax.random.key(0), jnp.array([ids]))["params"]
    ours = embed_prompts(params, config, tokenizer, ["A red  bird"])
    np.testing.assert_allclose(ours, CLIPText(config).apply({"params": params}, jnp.array([ids])), atol=1e-5)


def test_impossible_inputs_are_refused():
    with pytest.raises(InputError, match=r"hold 12 tokens.*up to 11"):
        jax.eval_shape(CLIPText(TINY).init, jax.random.key(0), jnp.zeros((1, 12), jnp.int32))
    with pytest.raises(InputError, match="hidden_act is 'relu'"):
        CLIPTextConfig(hidden_act="relu")
    with pytest.raises(InputError, match="hidden_size is 30"):
        CLIPTextConfig(hidden_size=30)
