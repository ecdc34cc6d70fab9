"""CLIP's tokenizer: lower-cased byte-level byte-pair encoding, read from the files that checkpoints come
with."""

import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from jaxtyping import Int
from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE

from jaxanim.errors import InputError
from jaxanim.media.files import atomic_path
from jaxanim.media.tell import tell

START = "<|startoftext|>"
END = "<|endoftext|>"
WORD_END = "</w>"
LENGTH = 77
# English contractions, runs of letters, single digits, runs of anything else (Radford et al. 2021's code).
PIECES = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def load_tokenizer(folder: str | os.PathLike, length: int | None = None) -> Tokenizer:
    """The tokenizer in a checkpoint's folder: `vocab.json` with `merges.txt`, or else `tokenizer.json`.

    It puts the start token before a prompt and the end token after it, cuts prompts to `length` tokens and
    fills shorter ones up with the end token. `length` is by default what the folder's `tokenizer_config.json`
    says ("model_max_length"), or 77. Raises InputError for a folder without these files, or with broken ones.
    """
    folder = Path(folder)
    vocab, merges, whole = (folder / name for name in ("vocab.json", "merges.txt", "tokenizer.json"))
    if vocab.is_file() and merges.is_file():
        tokenizer = _read(vocab, lambda: _clip_tokenizer(BPE.from_file(str(vocab), str(merges), **_bpe_options())))
    elif whole.is_file():
        tokenizer = _read(whole, lambda: Tokenizer.from_file(str(whole)))
    else:
        raise InputError(f"tokenizer folder {folder} must hold vocab.json and merges.txt, or tokenizer.json")
    if not {START, END} <= tokenizer.get_vocab(with_added_tokens=False).keys():
        raise InputError(f"tokenizer folder {folder} holds no CLIP tokenizer: its words lack {START} or {END}")
    return _with_length(tokenizer, length or _configured_length(folder))


def save_tokenizer(tokenizer: Tokenizer, folder: str | os.PathLike) -> None:
    """Writes `tokenizer` as `vocab.json`, `merges.txt` and `tokenizer_config.json`, as `load_tokenizer` reads
    it."""
    model = json.loads(tokenizer.to_str())["model"]
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    files = {
        "vocab.json": json.dumps(model["vocab"], ensure_ascii=False),
        "merges.txt": "\n".join(["#version: 0.2", *merges, ""]),
        "tokenizer_config.json": json.dumps({"model_max_length": tokenizer.truncation["max_length"]}),
    }
    for name, text in files.items():
        with atomic_path(Path(folder) / name) as path:
            path.write_text(text, encoding="utf-8")


def encode(tokenizer: Tokenizer, prompts: Sequence[str]) -> Int[np.ndarray, "prompts length"]:
    """Token ids of prompts, int32, each as long as the tokenizer makes them all."""
    return np.array([encoding.ids for encoding in tokenizer.encode_batch(list(prompts))], np.int32)


def read_prompts(tokenizer: Tokenizer, prompts: Sequence[str]) -> Int[np.ndarray, "prompts length"]:
    """`encode` for what a user wrote: tells which words are lost where a prompt is longer than the tokenizer's."""
    for prompt in prompts:
        if lost := lost_words(tokenizer, prompt):
            length = tokenizer.truncation["max_length"]
            tell(f"the prompt is cut after {length} tokens, without its last words: {lost!r}")
    return encode(tokenizer, prompts)


def lost_words(tokenizer: Tokenizer, prompt: str) -> str:
    """The end of a prompt that its tokens do not reach."""
    starts = [
        start
        for piece in tokenizer.encode(prompt).overflowing
        for (start, end), special in zip(piece.offsets, piece.special_tokens_mask, strict=True)
        if not special and end > start
    ]
    return prompt[min(starts) :].strip() if starts else ""


def build_word_tokenizer(words: Iterable[str], folder: str | os.PathLike, length: int = LENGTH) -> Tokenizer:
    """A small CLIP tokenizer, written to `folder`, in which each of `words` is a single token.

    Other text still has a code: the 256 bytes are tokens, within a word and at its end, as in CLIP's own
    vocabulary. The merges are learned from the words by byte-pair encoding (Sennrich et al. 2016, Alg. 1)
    until none is split. Raises InputError for a word that CLIP's tokenizer would cut into pieces before any
    merge ("t-shirt", "42").
    """
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    symbols = [*alphabet, *(letter + WORD_END for letter in alphabet)]
    bare = _clip_tokenizer(BPE({END: 0, START: 1}, [], **_bpe_options()))
    merges = _learn_merges([_letters(bare, word) for word in dict.fromkeys(words)])
    tokens = dict.fromkeys([*symbols, *("".join(pair) for pair in merges), START, END])
    vocab = {token: index for index, token in enumerate(tokens)}
    tokenizer = _with_length(_clip_tokenizer(BPE(vocab, merges, **_bpe_options())), length)
    save_tokenizer(tokenizer, folder)
    return tokenizer


def _letters(tokenizer: Tokenizer, word: str) -> tuple[str, ...]:
    pieces = tokenizer.pre_tokenizer.pre_tokenize_str(tokenizer.normalizer.normalize_str(word))
    if len(pieces) != 1:
        raise InputError(f"word {word!r} cannot be one token: use a single run of letters")
    *letters, last = pieces[0][0]
    return *letters, last + WORD_END


def _learn_merges(words: list[tuple[str, ...]]) -> list[tuple[str, str]]:
    """Merges the commonest pair of neighbours (of several, the first in alphabetical order) until words are
    whole."""
    merges = []
    while pairs := Counter(pair for word in words for pair in pairwise(word)):
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        words = [_merge(word, best) if best[0] in word else word for word in words]
    return merges


def _merge(word: tuple[str, ...], pair: tuple[str, str]) -> tuple[str, ...]:
    merged: list[str] = []
    for symbol in word:
        # A symbol that was just made cannot be the left half again: it is longer than the pair's first part.
        if merged and (merged[-1], symbol) == pair:
            merged[-1] += symbol
        else:
            merged.append(symbol)
    return tuple(merged)


def _bpe_options() -> dict:
    return {
        "unk_token": END,
        "end_of_word_suffix": WORD_END,
        "continuing_subword_prefix": "",
        "fuse_unk": False,
    }


def _clip_tokenizer(model: BPE) -> Tokenizer:
    """CLIP's text cleaning and splitting around its byte-pair encoding."""
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in (START, END)])
    ends = ((END, tokenizer.token_to_id(END)), (START, tokenizer.token_to_id(START)))
    tokenizer.post_processor = processors.RobertaProcessing(*ends, trim_offsets=False, add_prefix_space=False)
    return tokenizer


def _with_length(tokenizer: Tokenizer, length: int) -> Tokenizer:
    tokenizer.enable_truncation(max_length=length)
    tokenizer.enable_padding(length=length, pad_id=tokenizer.token_to_id(END), pad_token=END)
    return tokenizer


def _configured_length(folder: Path) -> int:
    path = folder / "tokenizer_config.json"
    if not path.is_file():
        return LENGTH
    length = _read(path, lambda: json.loads(path.read_text(encoding="utf-8"))).get("model_max_length", LENGTH)
    # Some folders hold a huge number for "no limit"; CLIP has position embeddings for 77 tokens.
    return min(int(length), LENGTH)


def _read(path: Path, read):
    try:
        return read()
    except Exception as error:  # the tokenizers package raises bare Exceptions
        raise InputError(f"{path} is not a readable tokenizer file: {error}") from error
