"""The command line of the sampling programs: one sentence on stderr and exit code 2 for anything wrong."""

import argparse
import math
import re
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from jaxanim.errors import InputError
from jaxanim.weights import DTYPES

SAMPLER_OPTIONS = ("guidance_in_turn", "windows_at_once", "frames_at_once", "vae_tile")


class Parser(argparse.ArgumentParser):
    """argparse without the usage lines before an error, so that what is wrong is all there is to read."""

    def error(self, message: str) -> NoReturn:
        """Ends the program with code 2."""
        self.exit(2, f"{self.prog}: {message}\n")


def run(program: Callable[[Sequence[str] | None], None], name: str, argv: Sequence[str] | None = None) -> int:
    """Calls a program's body and turns an InputError into one sentence on stderr and exit code 2."""
    try:
        program(argv)
    except InputError as error:
        print(f"{name}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


def add_memory_options(options: Parser) -> None:
    """Adds the options that trade time for memory; docs/performance.md says how much each saves."""
    group = options.add_argument_group("less memory (docs/performance.md has a table)")
    add = group.add_argument
    add("--dtype", choices=DTYPES, default="float32", help="of parameters and computation (default: float32)")
    add("--guidance-in-turn", action="store_true", default=None, help="the two branches one after the other")
    add("--windows-at-once", type=whole(1), help="windows of a long video in one batch (default: all)")
    add("--frames-at-once", type=whole(1), help="frames that the VAE decodes together (default: 8)")
    add("--vae-tile", type=whole(64), metavar="PIXELS", help="decode in tiles of this side; exact (default: whole)")


def memory_options(parsed: argparse.Namespace) -> dict:
    """Of what `add_memory_options` added, the options of a system's sampler; None where nothing was said."""
    return {name: getattr(parsed, name) for name in SAMPLER_OPTIONS}


def size(text: str) -> tuple[int, int]:
    """WIDTHxHEIGHT, as people write it, as (height, width)."""
    match = re.fullmatch(r"(\d+)[xX](\d+)", text)
    if not match or min(map(int, match.groups())) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 512x768 (width x height)")
    width, height = map(int, match.groups())
    return height, width


def whole(low: int, high: int | None = None) -> Callable[[str], int]:
    """A parser of whole numbers from `low` to `high`."""
    most = "" if high is None else f" and at most {high}"

    def parse(text: str) -> int:
        if not re.fullmatch(r"[+-]?\d+", text) or int(text) < low or (high is not None and int(text) > high):
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {low}{most}")
        return int(text)

    return parse


def number(low: float, *, above: bool = False) -> Callable[[str], float]:
    """A parser of finite numbers of at least (or, with `above`, above) `low`."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value) or value < low or (above and value == low):
            bound = f"above {low:g}" if above else f"of at least {low:g}"
            raise argparse.ArgumentTypeError(f"{text!r} is not a number {bound}")
        return value

    return parse


def seeds(text: str) -> range:
    """A:B, the seeds from A up to but not including B."""
    match = re.fullmatch(r"(\d+):(\d+)", text)
    if not match or int(match[1]) >= int(match[2]):
        raise argparse.ArgumentTypeError(f"{text!r} is not a range of seeds such as 950000:950032")
    return range(int(match[1]), int(match[2]))
