"""CLIP's tokenizer against transformers' CLIPTokenizer, on a small vocabulary."""

import json

import numpy as np
import pytest

from jaxanim.errors import InputError
from jaxanim.models.tokenizer import (
    build_word_tokenizer,
    encode,
    load_tokenizer,
    lost_words,
    read_prompts,
    save_tokenizer,
)

WORDS = [
    "a",
    "red",
    "scarf",
    "bird",
    "walks",
    "walking",
    "walk",
    "talking",
    "king",
    "café",
    "banana",
    "striped",
]
PROMPTS = [
    "",
    "a red bird walking",
    "A  RED\tbird\nwalking ",
    "talking, talks & balks! the king's scarf isn't 42 café Café 鳥 🐦",
    "banana " * 40,
    "<|startoftext|> red <|endoftext|> bird",
    "don't we'll they've I'm -- ... -bird- red2red",
    "unknownlongword",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    build_word_tokenizer(WORDS, folder)
    return folder


def transformers_tokenizer(folder):
    transformers = pytest.importorskip("transformers")
    return transformers.CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))


@pytest.mark.parametrize("length", [77, 12])
def test_matches_transformers(folder, length):
    theirs = transformers_tokenizer(folder)
    expected = theirs(PROMPTS, padding="max_length", truncation=True, max_length=length)["input_ids"]
    ours = encode(load_tokenizer(folder, length), PROMPTS)
    assert ours.dtype == np.int32
    np.testing.assert_array_equal(ours, expected)


def test_every_word_is_one_token(folder):
    tokenizer = load_tokenizer(folder)
    vocab = tokenizer.get_vocab()
    for word in WORDS:
        assert tokenizer.encode(word).tokens[1].endswith("</w>")
        ids = encode(tokenizer, [word])[0]
        assert list(ids[[0, 2, 3]]) == [
            vocab["<|startoftext|>"],
            vocab["<|endoftext|>"],
            vocab["<|endoftext|>"],
        ]
    firsts = encode(tokenizer, WORDS)[:, 1]
    assert len(set(firsts)) == len(WORDS)
    assert len(vocab) < 512 + 2 + sum(map(len, WORDS))
    assert max(vocab.values()) == len(vocab) - 1 == vocab["<|endoftext|>"]


def test_any_text_has_a_code(folder):
    tokenizer = load_tokenizer(folder)
    end = tokenizer.token_to_id("<|endoftext|>")
    ids = tokenizer.encode("鳥 Ünïcode 🐦 \x00~").ids
    content = ids[1 : ids.index(end)]
    assert len(content) > 10
    assert tokenizer.decode(content).replace("</w>", " ").startswith("鳥 ünïcode 🐦")


def test_saving_keeps_everything_but_the_machine(folder, tmp_path):
    tokenizer = load_tokenizer(folder, length=20)
    save_tokenizer(tokenizer, tmp_path / "again")
    again = load_tokenizer(tmp_path / "again")
    np.testing.assert_array_equal(encode(again, PROMPTS), encode(tokenizer, PROMPTS))
    assert encode(again, PROMPTS).shape == (len(PROMPTS), 20)
    assert sorted(path.name for path in (tmp_path / "again").iterdir()) == [
        "merges.txt",
        "tokenizer_config.json",
        "vocab.json",
    ]


def test_a_whole_tokenizer_file_serves_too(folder, tmp_path):
    transformers_tokenizer(folder).save_pretrained(tmp_path)
    for name in ("vocab.json", "merges.txt"):
        (tmp_path / name).unlink(missing_ok=True)
    assert (tmp_path / "tokenizer.json").exists()
    np.testing.assert_array_equal(
        encode(load_tokenizer(tmp_path), PROMPTS), encode(load_tokenizer(folder), PROMPTS)
    )


def test_words_that_cannot_be_one_token_are_refused(tmp_path):
    for word in ("t-shirt", "two words", "42", ""):
        with pytest.raises(InputError, match="cannot be one token"):
            build_word_tokenizer(["fine", word], tmp_path)
    assert not list(tmp_path.iterdir())


def test_broken_folders_are_refused(folder, tmp_path):
    with pytest.raises(InputError, match=r"must hold vocab.json and merges.txt"):
        load_tokenizer(tmp_path)
    (tmp_path / "merges.txt").write_text((folder / "merges.txt").read_text())
    (tmp_path / "vocab.json").write_text("{ half a file")
    with pytest.raises(InputError, match=r"vocab.json is not a readable"):
        load_tokenizer(tmp_path)
    vocab = json.loads((folder / "vocab.json").read_text())
    del vocab["<|endoftext|>"]
    (tmp_path / "vocab.json").write_text(json.dumps(vocab))
    with pytest.raises(InputError, match=r"no CLIP tokenizer"):
        load_tokenizer(tmp_path)


def test_the_words_that_a_cut_prompt_loses_are_told(tmp_path, capsys):
    words = ["one", "two", "three", "four"]
    tokenizer = build_word_tokenizer(words, tmp_path, length=6)
    assert lost_words(tokenizer, "one two three four") == ""
    assert lost_words(tokenizer, " ".join([*words, "two", "One"])) == "two One"
    ids = read_prompts(tokenizer, ["one two three four two One", "", "one"])
    np.testing.assert_array_equal(ids, encode(tokenizer, ["one two three four", "", "one"]))
    assert capsys.readouterr().err == "the prompt is cut after 6 tokens, without its last words: 'two One'\n"
