"""A small tokenizer of T5's family, for text encoders that learn few words."""

from collections.abc import Iterable

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from jaxanim.models.sentencepiece import END, PAD

UNKNOWN = "<unk>"


def word_tokenizer(words: Iterable[str]) -> Tokenizer:
    """Each of `words` is one token, whatever its case, any other run of letters is UNKNOWN, and the end token comes
    last; `jaxanim.models.sentencepiece.load_sentencepiece` reads it from a tokenizer.json."""
    known = sorted({word.lower() for word in words})
    vocab = {token: index for index, token in enumerate((PAD, END, UNKNOWN, *known))}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens([PAD, END])
    tokenizer.post_processor = processors.TemplateProcessing(single=f"$A {END}", special_tokens=[(END, vocab[END])])
    return tokenizer
