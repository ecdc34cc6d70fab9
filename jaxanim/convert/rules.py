"""Tables of patterns that turn a checkpoint's names into diffusers', and the check that they do so one to one."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jaxanim.errors import InputError
from jaxanim.tensor_file import LazyTensor

Tensors = Mapping[str, LazyTensor]
Rules = Sequence[tuple[str, str]]
"""(pattern that a whole name has to match, its new name in `re.sub`'s notation)."""
Drops = Sequence[tuple[str, str]]
"""(pattern that a whole name has to match, why it is left out)."""


class Naming(NamedTuple):
    """One way in which files name a network's tensors.

    Attributes:
      signature: pattern of a name that it alone has.
      called: whose names they are, in a sentence.
      rules: to diffusers' names; a function of a file's names where they depend on those.
      parted: takes apart, before the rules, tensors that the file has joined.
    """

    signature: str
    called: str
    rules: Rules | Callable[[Collection[str]], Rules]
    parted: Callable[[Tensors], Tensors] | None = None


class Kind(NamedTuple):
    """A kind of network, as its file in `jaxanim.convert.families` declares it in `KINDS`.

    Attributes:
      network: its name in weights folders.
      title: in a sentence.
      infer: (path, tensors in diffusers' names, config.json) to its config.
    """

    network: str
    title: str
    infer: Callable[..., Any]
    namings: tuple[Naming, ...]
    drops: Drops = ()


class Renamed(NamedTuple):
    """Tensors under new names, and the file's names left out on purpose with the reason."""

    tensors: dict[str, LazyTensor]
    dropped: dict[str, str]


def rename(path: Path, what: str, tensors: Tensors, rules: Rules, drops: Drops = ()) -> Renamed:
    """Applies a table; each name has to be dropped by one pattern or renamed by exactly one rule.

    Raises:
      InputError: a name that no pattern knows, or two names that meet in one.
      ValueError: two rules for one name: the table is wrong.
    """
    renamed, dropped, unknown = {}, {}, []
    for key, tensor in tensors.items():
        reason = next((reason for pattern, reason in drops if re.fullmatch(pattern, key)), None)
        if reason is not None:
            dropped[tensor.name] = reason
            continue
        names = [match.expand(name) for pattern, name in rules if (match := re.fullmatch(pattern, key))]
        if len(names) > 1:
            raise ValueError(f"{len(names)} rules match {key!r}")
        if not names:
            unknown.append(tensor.name)
        elif names[0] in renamed:
            raise InputError(
                f"checkpoint {path} holds {names[0]} of {what} twice, the second time as {tensor.name}"
            )
        else:
            renamed[names[0]] = tensor
    if unknown:
        raise InputError(
            f"checkpoint {path} holds {count(unknown)} that belong to another network than {what}; --skip leaves "
            "out what is not needed"
        )
    return Renamed(renamed, dropped)


def count(keys: Sequence[str]) -> str:
    """`keys` in words for a message: how many, and the first of them."""
    if len(keys) == 1:
        return f"a tensor {keys[0]!r}"
    few = ", ".join(map(repr, keys[:_LISTED]))
    return f"{len(keys)} tensors, {few}," if len(keys) <= _LISTED else f"{len(keys)} tensors, such as {few},"


_LISTED = 6


def modules(pairs: Mapping[str, str]) -> Rules:
    """Rules that move whole modules: the parameters `old.*` become `new.*`."""
    return [(re.escape(old) + r"\.(weight|bias)", rf"{new}.\1") for old, new in pairs.items()]
