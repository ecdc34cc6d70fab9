"""SentencePiece's tokenizers of the T5 family, as `tokenizers` runs them: from tokenizer.json or spiece.model.

`spiece.model` is a protocol buffer (https://github.com/google/sentencepiece, sentencepiece_model.proto) of which a
Unigram tokenizer needs the pieces with their scores and kinds, the table that normalises letters, and a few flags.
"""

import html
import os
import re
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int
from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import Unigram

from jaxanim.errors import InputError

FILES = ("tokenizer.json", "spiece.model", "sentencepiece.model", "tokenizer.model")
PAD, END = "<pad>", "</s>"
UNIGRAM = 1
# The kind of the pieces that are no text, such as the end token.
CONTROL = 3


def load_sentencepiece(path: str | os.PathLike) -> Tokenizer:
    """The tokenizer of a file, or of a folder that holds one of FILES (or a folder "tokenizer" that does).

    It puts the end token after a prompt. Raises InputError where there is none or it is damaged or of another kind.
    """
    file = _find(Path(path))
    try:
        tokenizer = Tokenizer.from_file(str(file)) if file.suffix == ".json" else _from_model(file.read_bytes())
    except InputError:
        raise
    except Exception as error:  # the tokenizers package raises bare Exceptions
        raise InputError(f"{file} is not a readable tokenizer file: {error}") from error
    if missing := [token for token in (PAD, END) if tokenizer.token_to_id(token) is None]:
        raise InputError(f"{file} holds no tokenizer of the T5 family: it lacks {missing[0]}")
    return tokenizer


def tokenize(
    tokenizer: Tokenizer, prompts: Sequence[str], length: int
) -> tuple[Int[np.ndarray, "prompts length"], Bool[np.ndarray, "prompts length"]]:
    """(token ids, mask of what is no padding) of prompts, cut or padded to `length` tokens with the end token."""
    tokenizer = Tokenizer.from_str(tokenizer.to_str())
    tokenizer.enable_truncation(max_length=length)
    tokenizer.enable_padding(length=length, pad_id=tokenizer.token_to_id(PAD), pad_token=PAD)
    encodings = tokenizer.encode_batch([clean(prompt) for prompt in prompts])
    ids = np.array([encoding.ids for encoding in encodings], np.int32)
    return ids, np.array([encoding.attention_mask for encoding in encodings], bool)


def clean(prompt: str) -> str:
    """A prompt with HTML's entities resolved (twice: some are escaped twice) and single spaces."""
    return re.sub(r"\s+", " ", html.unescape(html.unescape(prompt))).strip()


def _find(path: Path) -> Path:
    if path.is_file():
        return path
    for folder in (path, path / "tokenizer"):
        for name in FILES:
            if (folder / name).is_file():
                return folder / name
    raise InputError(f"tokenizer {path} must be, or hold, one of {', '.join(FILES)}")


def _from_model(data: bytes) -> Tokenizer:
    pieces, trainer, normalizer = [], {}, {}
    for number, value in _fields(data):
        if number == 1:
            piece = dict(_fields(value))
            score = struct.unpack("<f", piece.get(2, bytes(4)))[0]
            pieces.append((piece[1].decode(), score, piece.get(3, 1)))
        elif number == 2:
            trainer = dict(_fields(value))
        elif number == 3:
            normalizer = dict(_fields(value))
    if not pieces or trainer.get(3, UNIGRAM) != UNIGRAM:
        raise InputError("the file holds no SentencePiece model of the kind Unigram, which T5's are")
    vocab = [(piece, score) for piece, score, _ in pieces]
    tokenizer = Tokenizer(Unigram(vocab, unk_id=trainer.get(40, 0), byte_fallback=bool(trainer.get(35, 0))))
    steps = [normalizers.Precompiled(normalizer[2])] if normalizer.get(2) else []
    if normalizer.get(4, 1):
        steps += [normalizers.Strip(), normalizers.Replace(Regex(r" {2,}"), " ")]
    tokenizer.normalizer = normalizers.Sequence(steps)
    scheme = "always" if normalizer.get(3, 1) else "never"
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
    tokenizer.decoder = decoders.Metaspace(prepend_scheme=scheme)
    special = [AddedToken(piece, normalized=False, special=True) for piece, _, kind in pieces if kind == CONTROL]
    tokenizer.add_special_tokens(special)
    end = tokenizer.token_to_id(END)
    if end is None:
        raise InputError(f"the file holds no tokenizer of the T5 family: it lacks {END}")
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {END}", pair=f"$A {END} $B {END}", special_tokens=[(END, end)]
    )
    return tokenizer


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(number, value) of a message's fields: integers, or the bytes of everything else."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        kind = tag & 7
        if kind == 0:
            value, at = _varint(data, at)
            yield tag >> 3, value
            continue
        size = {1: 8, 5: 4}.get(kind)
        if kind == 2:
            size, at = _varint(data, at)
        if size is None or at + size > len(data):
            raise InputError("the file is no protocol buffer, or is cut short")
        yield tag >> 3, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data):
            raise InputError("the file is no protocol buffer, or is cut short")
        value |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not data[at - 1] & 0x80:
            return value, at
