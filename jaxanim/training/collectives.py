"""What devices send each other in a compiled program, read from its text."""

import math
import re
from collections import Counter
from typing import NamedTuple

KINDS = ("all-gather", "all-reduce", "reduce-scatter", "all-to-all", "collective-permute")

COMPUTATION = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\{\s*$")
# %name = TYPE operation(...)
INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?(?P<name>[\w.\-]+) = (?P<type>.*?) (?P<operation>[a-z][\w\-]*)\(")
CALLED = re.compile(r"(?:calls|to_apply|body|branch_computations|called_computations)=(\{[^}]*\}|%?[\w.\-]+)")
CONDITION = re.compile(r"condition=%?([\w.\-]+)")
CONSTANT = re.compile(r"[su]32\[\]\S* constant\((\d+)\)")
OPERANDS = re.compile(r" (?:add|compare|tuple|get-tuple-element)\(([^()]*)\)(?:, index=(\d+))?")
CHANNEL = re.compile(r"channel_id=(\d+)")
SHAPE = re.compile(r"([a-z]+)(\d*)\w*\[([\d,]*)\]")
LISTED = re.compile(r"replica_groups=(?:\{\{([\d,]+)\}|\[\d+,(\d+)\])")
NAMED = re.compile(r"replica_groups=mesh\[(.*?)\][^{}]*\{(.*?)\}")


class Traffic(NamedTuple):
    """Of one device in one run of a program.

    calls: collectives by kind. bytes: that the device receives, by kind, in the cheapest way there is: of a result
    in n parts a gather brings (n - 1) / n, a sum twice that.
    """

    calls: dict[str, int]
    bytes: dict[str, int]


class _Found(NamedTuple):
    kind: str
    bytes: int
    turns: int


class _Loop(NamedTuple):
    """What a computation says of a loop whose condition or body it is; instructions by name.

    constants: integers. operands: of additions, comparisons and tuples, the last of all as "ROOT". places: which
    part of its parameter an instruction takes.
    """

    constants: dict[str, int]
    operands: dict[str, list[str]]
    places: dict[str, int]

    def read(self, name: str, line: str) -> None:
        """Takes in an instruction."""
        if constant := CONSTANT.search(line):
            self.constants[name] = int(constant[1])
        elif found := OPERANDS.search(line):
            names = re.findall(r"%([\w.\-]+)", found[1])
            self.operands[name] = names
            if found[2]:
                self.places[name] = int(found[2])
            if line.lstrip().startswith("ROOT"):
                self.operands["ROOT"] = names


def _turns(condition: _Loop, body: _Loop) -> int:
    """How often a loop is gone through that counts up from 0 to the constant that its condition compares with."""
    limit = max(condition.constants.values(), default=1)
    compared = [condition.places[name] for name in condition.operands.get("ROOT", ()) if name in condition.places]
    after = body.operands.get("ROOT", ())
    if not compared or len(after) <= compared[0]:
        return limit
    added = body.operands.get(after[compared[0]], ())
    steps = [body.constants[name] for name in added if name in body.constants]
    return math.ceil(limit / max(steps, default=1))


def traffic(text: str) -> Traffic:
    """The collectives of an optimised HLO module, as `compiled.as_text()` has it; a loop's counted for each turn.

    A TPU's compiler may cut one collective into steps that overlap with computation; their channel tells that they
    are one.
    """
    own: dict[str, dict[str, _Found]] = {}
    called: dict[str, list[tuple[str, str | None]]] = {}
    loops: dict[str, _Loop] = {}
    entry, name = "", ""
    for line in text.splitlines():
        if start := COMPUTATION.match(line):
            name = start[2]
            own[name], called[name], loops[name] = {}, [], _Loop({}, {}, {})
            entry = name if start[1] else entry
        elif name and (instruction := INSTRUCTION.match(line)):
            loops[name].read(instruction["name"], line)
            kind = instruction["operation"].removesuffix("-start")
            if kind in KINDS:
                channel = CHANNEL.search(line)
                key = channel[1] if channel else f"{name} {instruction['name']}"
                own[name][key] = _Found(kind, _received(kind, instruction["type"], line), 1)
            else:
                condition = CONDITION.search(line)
                for found in CALLED.findall(line):
                    inner = found.strip("{}").split(",")
                    called[name] += [(each.strip(" %"), condition and condition[1]) for each in inner]

    totals: dict[str, dict[str, _Found]] = {}

    def total(name: str) -> dict[str, _Found]:
        if name not in totals:
            totals[name] = dict(own.get(name, {}))
            for inner, condition in called.get(name, ()):
                turns = _turns(loops[condition], loops[inner]) if condition else 1
                for key, found in total(inner).items():
                    more = found._replace(turns=found.turns * turns)
                    if key not in totals[name] or totals[name][key].turns < more.turns:
                        totals[name][key] = more
        return totals[name]

    calls, size = Counter(), Counter()
    for found in total(entry).values():
        calls[found.kind] += found.turns
        size[found.kind] += found.turns * found.bytes
    return Traffic(dict(sorted(calls.items())), dict(sorted(size.items())))


def _received(kind: str, result: str, line: str) -> int:
    """Bytes that come to one device; an asynchronous start's result is what is sent and then what is received."""
    shapes = [_bytes(*shape) for shape in SHAPE.findall(result)]
    started = "-start(" in line and kind in ("all-gather", "collective-permute")
    size = shapes[1] if started else sum(shapes)
    if kind == "collective-permute":
        return size
    n = _parts(line)
    if kind == "reduce-scatter":
        return size * (n - 1)
    return size * (n - 1) // n * (2 if kind == "all-reduce" else 1)


def _parts(line: str) -> int:
    """Devices in a group."""
    if listed := LISTED.search(line):
        return int(listed[2]) if listed[2] else len(listed[1].split(","))
    if named := NAMED.search(line):
        sizes = {axis: int(size) for axis, size in re.findall(r"'([\w]+)'=(\d+)", named[1])}
        chosen = re.findall(r"'(\w+)'(?::\(\d+\)(\d+))?", named[2])
        return math.prod(int(part) if part else sizes[axis] for axis, part in chosen)
    return 1


def _bytes(kind: str, bits: str, dimensions: str) -> int:
    return math.prod(int(d) for d in dimensions.split(",") if d) * (1 if kind == "pred" else int(bits or 8) // 8)
