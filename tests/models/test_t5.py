"""T5's and umT5's encoders against transformers', their tokenizers against sentencepiece and transformers."""

import dataclasses
import json

import chex
import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from jaxanim.errors import InputError
from jaxanim.models.prompt_file import load_prompts, save_prompts
from jaxanim.models.sentencepiece import load_sentencepiece, tokenize
from jaxanim.models.shapes import parameter_shapes
from jaxanim.models.t5 import UMT5_XXL, PromptRule, T5Config, T5Encoder, embed_prompts, relative_buckets
from tests.convert.converted import convert

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

SIZES = {
    "vocab_size": 40, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 3, "num_heads": 4,
    "relative_attention_num_buckets": 8, "relative_attention_max_distance": 20,
}  # fmt: skip
TEXT = [
    "A girl in a red dress dances on the beach at sunset.",
    "Two people wave hello, then jump; the camera follows them slowly.",
    "  Ein  Vogel fliegt über das Wasser  ",
    "ﬁne “quotes” and Ⅷ — 12.5 % & more…",
]


def make_torch(every_layer, **sizes):
    kind = "UMT5" if every_layer else "T5"
    config = getattr(transformers, f"{kind}Config")(
        **SIZES | sizes, feed_forward_proj="gated-gelu", is_encoder_decoder=False, use_cache=False
    )
    torch.manual_seed(0)
    net = getattr(transformers, f"{kind}EncoderModel")(config).eval()
    with torch.no_grad():
        for parameter in net.parameters():  # norms too must not be where they start
            parameter.add_(0.1 * torch.randn_like(parameter))
    return net


@pytest.fixture(scope="module", params=[False, True], ids=["T5", "umT5"])
def pair(request):
    net = make_torch(request.param)
    network, config, params = convert(net.state_dict(), {"relative_attention_max_distance": 20})
    assert network == "t5_encoder"
    return net, config, params


@pytest.mark.parametrize("masked", [False, True])
def test_matches_transformers(pair, masked):
    net, config, params = pair
    assert config == T5Config(**SIZES, positions_in_every_layer="UMT5" in type(net).__name__)
    chex.assert_trees_all_equal_shapes(params, parameter_shapes("t5_encoder", config))
    ids = np.random.default_rng(0).integers(0, 40, (2, 27))
    mask = np.arange(27)[None] < np.array([[27], [9]])
    with torch.no_grad():
        given = {"attention_mask": torch.from_numpy(mask.astype(np.int64))} if masked else {}
        expected = net(input_ids=torch.from_numpy(ids), **given).last_hidden_state.numpy()
    ours = jax.jit(T5Encoder(config).apply)(
        {"params": params}, jnp.asarray(ids, jnp.int32), jnp.asarray(mask) if masked else None
    )
    rows = mask if masked else np.ones_like(mask)
    error = np.abs(np.asarray(ours) - expected)[rows].max() / np.abs(expected).max()
    assert error < 1e-5


def test_buckets_are_transformers():
    attention = make_torch(False, relative_attention_num_buckets=32, relative_attention_max_distance=128)
    attention = attention.encoder.block[0].layer[0].SelfAttention
    distance = torch.arange(512)[None] - torch.arange(512)[:, None]
    expected = attention._relative_position_bucket(distance, True, 32, 128).numpy()
    np.testing.assert_array_equal(relative_buckets(512, 32, 128), expected)


def test_wan_and_transformers_names_hold_the_same(pair):
    net, config, params = pair
    if not config.positions_in_every_layer:
        pytest.skip("Wan's file is umT5's")
    names = {
        "shared": "token_embedding", "encoder.final_layer_norm": "norm", "layer.0.layer_norm": "norm1",
        "layer.0.SelfAttention.relative_attention_bias": "pos_embedding.embedding", "layer.0.SelfAttention": "attn",
        "layer.1.layer_norm": "norm2", "layer.1.DenseReluDense.wi_0": "ffn.gate.0",
        "layer.1.DenseReluDense.wi_1": "ffn.fc1", "layer.1.DenseReluDense.wo": "ffn.fc2", "encoder.block": "blocks",
    }  # fmt: skip
    state = {}
    for key, value in net.state_dict().items():
        for old, new in names.items():
            key = key.replace(old, new)
        state[key] = value
    state.pop("encoder.embed_tokens.weight", None)
    _, theirs, same = convert(state)
    assert theirs == dataclasses.replace(config, relative_attention_max_distance=128)
    chex.assert_trees_all_equal(same, params)


def test_a_missing_layer_is_named(pair):
    state = {k: v for k, v in pair[0].state_dict().items() if "block.1.layer.1.DenseReluDense.wo" not in k}
    with pytest.raises(InputError, match=r"lacks 1 of .* encoder/block/layer_1/DenseReluDense/wo/kernel"):
        convert(state)


def test_full_sizes():
    def size(config):
        return sum(leaf.size for leaf in jax.tree.leaves(parameter_shapes("t5_encoder", config)))

    with torch.device("meta"):
        sizes = {"d_model": 4096, "d_kv": 64, "d_ff": 10240, "num_layers": 24, "num_heads": 64}
        sizes |= {"feed_forward_proj": "gated-gelu", "relative_attention_num_buckets": 32}
        t5 = transformers.T5EncoderModel(transformers.T5Config(vocab_size=32128, **sizes))
        umt5 = transformers.UMT5EncoderModel(transformers.UMT5Config(vocab_size=256384, **sizes))
    for config, net, count in ((T5Config(), t5, 4_762_310_656), (UMT5_XXL, umt5, 5_680_910_336)):
        assert size(config) == sum(p.numel() for p in net.parameters()) == count


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    """A SentencePiece model trained as T5's and mT5's are: nmt_nfkc, byte fallback, pad 0, end 1, unknown 2."""
    sentencepiece = pytest.importorskip("sentencepiece")
    folder = tmp_path_factory.mktemp("pieces")
    (folder / "text.txt").write_text("\n".join(TEXT * 20), encoding="utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "text.txt"), model_prefix=str(folder / "spiece"), vocab_size=350, pad_id=0, eos_id=1,
        unk_id=2, bos_id=-1, byte_fallback=True, hard_vocab_limit=False, minloglevel=2,
    )  # fmt: skip
    return folder / "spiece.model"


def test_tokens_are_sentencepieces(model_file):
    import sentencepiece

    theirs = sentencepiece.SentencePieceProcessor(model_file=str(model_file))
    tokenizer = load_sentencepiece(model_file.parent)
    text = [*TEXT, "unseen 漢字 words & symbols"]
    ids, mask = tokenize(tokenizer, text, 96)
    for prompt, row, real in zip(text, ids, mask, strict=True):
        expected = [*theirs.encode(" ".join(prompt.split())), 1]
        assert row[real].tolist() == expected
        assert not row[~real].any()
    cut, mask = tokenize(tokenizer, text[:1], 5)
    assert cut[0].tolist() == [*ids[0, :4], 1]
    assert mask.all()


def test_tokenizer_json_gives_the_same(model_file, tmp_path):
    tokenizer = load_sentencepiece(model_file)
    (tmp_path / "tokenizer").mkdir()
    tokenizer.save(str(tmp_path / "tokenizer" / "tokenizer.json"))
    again = load_sentencepiece(tmp_path)
    np.testing.assert_array_equal(tokenize(again, TEXT, 60)[0], tokenize(tokenizer, TEXT, 60)[0])


@pytest.mark.parametrize(
    ("content", "message"), [(b"\x0a\xff\x01", "no protocol buffer"), (b"", "no SentencePiece model")]
)
def test_broken_tokenizers_are_refused(content, message, tmp_path):
    (tmp_path / "spiece.model").write_bytes(content)
    with pytest.raises(InputError, match=message):
        load_sentencepiece(tmp_path)
    with pytest.raises(InputError, match=r"must be, or hold, one of tokenizer\.json"):
        load_sentencepiece(tmp_path / "nowhere")
    (tmp_path / "tokenizer.json").write_text(json.dumps({"version": "1.0"}))
    with pytest.raises(InputError, match="not a readable tokenizer file"):
        load_sentencepiece(tmp_path)


def test_prompts_as_the_pipelines_embed_them(pair, model_file, tmp_path):
    """Wan: padding masked, then zero. CogVideoX: padding is text, and is kept."""
    tokenizer = load_sentencepiece(model_file)
    net = make_torch(isinstance(pair[0], transformers.UMT5EncoderModel), vocab_size=tokenizer.get_vocab_size())
    _, config, params = convert(net.state_dict(), {"relative_attention_max_distance": 20})
    ids, mask = (torch.from_numpy(a.astype(np.int64)) for a in tokenize(tokenizer, TEXT[:2], 60))
    with torch.no_grad():
        wan = (net(input_ids=ids, attention_mask=mask).last_hidden_state * mask[..., None]).numpy()
        cog = net(input_ids=ids).last_hidden_state.numpy()
    for masked, expected in ((True, wan), (False, cog)):
        rule = PromptRule(length=60, masked=masked)
        ours = np.asarray(embed_prompts(params, config, tokenizer, TEXT[:2], rule))
        np.testing.assert_allclose(ours, expected, atol=2e-5 * np.abs(expected).max())
        file = tmp_path / f"{masked}.safetensors"
        save_prompts(file, dict(zip(TEXT, ours, strict=False)), np.float32)
        np.testing.assert_array_equal(load_prompts(file, TEXT[:2], 60), ours)
        with pytest.raises(InputError, match=r"holds no embedding of the prompt 'x'; it holds 2 others"):
            load_prompts(file, ["x"], 60)
        with pytest.raises(InputError, match=r"tokens; this model takes 3"):
            load_prompts(file, TEXT[:1], 3)
    save_prompts(tmp_path / "small.safetensors", {"a": wan[0]}, ml_dtypes.bfloat16)
    assert (tmp_path / "small.safetensors").stat().st_size < wan[0].nbytes / 2
