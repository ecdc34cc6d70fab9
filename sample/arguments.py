"""The command line of the sampling programs: one sentence on stderr and exit code 2 for anything wrong."""

import argparse
import dataclasses
import inspect
import math
import re
import types
import typing
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from jaxanim.compiled import add_no_cache
from jaxanim.ending import ends_well
from jaxanim.systems.base import InputFile, OutputFile
from jaxanim.weights import DTYPES


class Parser(argparse.ArgumentParser):
    """argparse without the usage lines before an error, so that what is wrong is all there is to read."""

    def __init__(self, *args: Any, **options: Any):
        super().__init__(*args, **options)
        add_no_cache(self)

    def error(self, message: str) -> NoReturn:
        """Ends the program with code 2."""
        self.exit(2, f"{self.prog}: {message}\n")


def run(program: Callable[[Sequence[str] | None], None], name: str, argv: Sequence[str] | None = None) -> int:
    """Calls a program's body; returns its exit code, see `jaxanim.ending.ends_well`."""
    return ends_well(name, lambda: program(argv))


def add_memory_options(options: Parser) -> None:
    """Adds the options that trade time for memory; docs/performance.md says how much each saves."""
    group = options.add_argument_group("less memory (docs/performance.md has a table)")
    add = group.add_argument
    add("--dtype", choices=DTYPES, default="float32", help="of parameters and computation (default: float32)")
    add("--guidance-in-turn", action="store_true", default=None, help="the two branches one after the other")
    add("--windows-at-once", type=whole(1), help="windows of a long video in one batch (default: all)")
    add("--frames-at-once", type=whole(1), help="frames that the VAE decodes together (default: 8)")
    add("--vae-tile", type=whole(64), metavar="PIXELS", help="decode in tiles of this side; exact (default: whole)")


def add_fields(options: Parser, kind: type, title: str) -> None:
    """Adds an argument for every field of a frozen dataclass: its name, its type (choices where that is a Literal),
    and as help what the docstring says of it. Nothing said is None."""
    group, explained = options.add_argument_group(title), attributes(kind)
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        default = "" if field.default is None else f" (default: {_shown(field.default)})"
        group.add_argument(
            f"--{field.name.replace('_', '-')}",
            default=None,
            help=(explained.get(field.name, "") + default).replace("%", "%%"),
            **_taken(hints[field.name]),
        )


def attributes(kind: type) -> dict[str, str]:
    """The Attributes section of a class's docstring, by name."""
    _, _, section = (inspect.getdoc(kind) or "").partition("Attributes:\n")
    entries = re.findall(r"^  (\w+(?:, \w+)*): (.+(?:\n    .+)*)", section.partition("\n\n")[0], re.MULTILINE)
    return {name: " ".join(text.split()) for names, text in entries for name in names.split(", ")}


def _shown(default: Any) -> Any:
    return {True: "yes", False: "no"}[default] if isinstance(default, bool) else default


def _taken(hint: Any) -> dict[str, Any]:
    """argparse's keywords for values of a type."""
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        (hint,) = (one for one in typing.get_args(hint) if one is not type(None))
    if typing.get_origin(hint) is typing.Literal:
        choices = typing.get_args(hint)
        return {"choices": choices, "type": type(choices[0])}
    return {
        bool: {"action": argparse.BooleanOptionalAction},
        int: {"type": whole()},
        float: {"type": number()},
        str: {},
        InputFile: {"metavar": "FILE"},
        OutputFile: {"metavar": "FILE"},
    }[hint]


def files(parsed: argparse.Namespace, options: type, kind: Any) -> dict[str, str]:
    """By argument, the files of one kind (`InputFile`, `OutputFile`) that are named for a system's options."""
    hints = typing.get_type_hints(options)
    named = {name: getattr(parsed, name) for name, hint in hints.items() if kind in (hint, *typing.get_args(hint))}
    return {f"--{name.replace('_', '-')}": path for name, path in named.items() if path is not None}


def said(parsed: argparse.Namespace, *kinds: type) -> dict[str, Any]:
    """Of the fields of these dataclasses, those that the arguments name with a value."""
    names = [field.name for kind in kinds for field in dataclasses.fields(kind)]
    return {name: getattr(parsed, name) for name in names if getattr(parsed, name, None) is not None}


def size(text: str) -> tuple[int, int]:
    """WIDTHxHEIGHT, as people write it, as (height, width)."""
    match = re.fullmatch(r"(\d+)[xX](\d+)", text)
    if not match or min(map(int, match.groups())) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 512x768 (width x height)")
    width, height = map(int, match.groups())
    return height, width


def whole(low: int | None = None, high: int | None = None) -> Callable[[str], int]:
    """A parser of whole numbers from `low` to `high`."""
    least = "" if low is None else f" of at least {low}"
    most = "" if high is None else f" and at most {high}"

    def parse(text: str) -> int:
        inside = re.fullmatch(r"[+-]?\d+", text) and (low is None or int(text) >= low)
        if not inside or (high is not None and int(text) > high):
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number{least}{most}")
        return int(text)

    return parse


def number(low: float = -math.inf, high: float = math.inf, *, above: bool = False) -> Callable[[str], float]:
    """A parser of finite numbers of at least (or, with `above`, above) `low` and at most `high`."""
    bound = "" if low == -math.inf else f" above {low:g}" if above else f" of at least {low:g}"
    bound += "" if high == math.inf else f" and at most {high:g}"

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value) or not low <= value <= high or (above and value == low):
            raise argparse.ArgumentTypeError(f"{text!r} is not a number{bound}")
        return value

    return parse


def seeds(text: str) -> range:
    """A:B, the seeds from A up to but not including B."""
    match = re.fullmatch(r"(\d+):(\d+)", text)
    if not match or int(match[1]) >= int(match[2]):
        raise argparse.ArgumentTypeError(f"{text!r} is not a range of seeds such as 950000:950032")
    return range(int(match[1]), int(match[2]))
