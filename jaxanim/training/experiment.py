"""How a task is trained, and overriding any of it from the command line."""

import dataclasses
import difflib
import types
import typing
from collections.abc import Sequence
from typing import Any, Literal

from jaxanim.errors import InputError
from jaxanim.training.partition import check_expression
from jaxanim.training.sharding import MeshShape
from jaxanim.training.task import Recipe


@dataclasses.dataclass(frozen=True)
class Experiment:
    """One training run.

    task: the recipe of what is learnt. hold, thaw: regular expressions over parameter paths; where `hold` is
    found a parameter does not learn though the task trains it, where `thaw` is found it learns though the task
    freezes it. batch_size: examples per optimizer update, over all devices. accumulate: equal parts into which
    a batch is cut, computed one after another to save memory. warmup: updates over which the learning rate
    rises from zero. optimizer: "muon" learns in fewer updates what is trained from scratch. clip_norm: largest
    global norm of a gradient, 0 for no limit. ema_decay: the decay of the averaged parameters
    (`jaxanim.training.ema`). init_from: working folder of another run, from whose last checkpoint parameters of
    the same path and shape are taken. max_minutes: the training stops when the run, counted over all resumes,
    has taken this long. log_every, save_every, sheet_every, validate_every: in updates, and (but for the last, the
    loss of held-out examples) at the end; 0 for never (save: at the end only). keep: checkpoints kept. threads:
    that read data ahead. tensorboard: write events for it too. frozen_dtype: what parameters that do not learn are
    held in, also in the weights written at the end: bfloat16 takes half the memory.
    """

    name: str
    task: Recipe
    hold: str | None = None
    thaw: str | None = None
    steps: int = 1000
    batch_size: int = 8
    learning_rate: float = 1e-4
    warmup: int = 0
    schedule: Literal["constant", "cosine"] = "constant"
    optimizer: Literal["adamw", "muon"] = "adamw"
    weight_decay: float = 0.01
    beta2: float = 0.999
    clip_norm: float = 1.0
    ema_decay: float = 0.999
    seed: int = 0
    accumulate: int = 1
    log_every: int = 10
    save_every: int = 500
    sheet_every: int = 500
    validate_every: int = 0
    keep: int = 2
    init_from: str | None = None
    max_minutes: float | None = None
    threads: int = 2
    tensorboard: bool = False
    frozen_dtype: Literal["float32", "bfloat16"] = "float32"
    mesh: MeshShape = dataclasses.field(default_factory=MeshShape)

    def __post_init__(self):
        check_expression("hold", self.hold)
        check_expression("thaw", self.thaw)
        for field in ("steps", "batch_size", "accumulate", "keep"):
            if getattr(self, field) < 1:
                raise InputError(f"{field} must be at least 1, not {getattr(self, field)}")
        for field in (
            "warmup",
            "log_every",
            "save_every",
            "sheet_every",
            "validate_every",
            "threads",
            "weight_decay",
            "clip_norm",
        ):
            if getattr(self, field) < 0:
                raise InputError(f"{field} must not be negative, it is {getattr(self, field)}")
        if self.learning_rate <= 0:
            raise InputError(f"learning_rate must be above 0, not {self.learning_rate}")
        if not 0 <= self.ema_decay < 1:
            raise InputError(f"ema_decay must be in [0, 1), not {self.ema_decay}")
        if self.schedule not in ("constant", "cosine"):
            raise InputError(f"schedule must be constant or cosine, not {self.schedule!r}")
        if self.optimizer not in ("adamw", "muon"):
            raise InputError(f"optimizer must be adamw or muon, not {self.optimizer!r}")
        if self.frozen_dtype not in ("float32", "bfloat16"):
            raise InputError(f"frozen_dtype must be float32 or bfloat16, not {self.frozen_dtype!r}")
        if self.batch_size % self.accumulate:
            raise InputError(
                f"batch_size {self.batch_size} does not divide into accumulate={self.accumulate} parts"
            )
        if self.max_minutes is not None and self.max_minutes <= 0:
            raise InputError(f"max_minutes must be above 0, not {self.max_minutes}")


CHANGEABLE = {
    "name", "steps", "log_every", "save_every", "sheet_every", "validate_every", "keep", "max_minutes", "threads",
    "tensorboard", "frozen_dtype",
}  # fmt: skip
"""Fields that may differ between a run and its resumption; those of `mesh` may too. Whether the frozen parameters
are the same is seen by their bits."""


def describe(config: Any, prefix: str = "") -> dict[str, str]:
    """Every field of nested dataclasses by dotted path, its value as text."""
    described = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            described |= {f"{prefix}{field.name}": type(value).__name__}
            described |= describe(value, f"{prefix}{field.name}.")
        else:
            described[f"{prefix}{field.name}"] = repr(value)
    return described


def differences(old: dict[str, str], new: dict[str, str]) -> list[str]:
    """The dotted paths that keep a run described by `old` from being resumed as `new`."""
    paths = old.keys() | new.keys()
    return sorted(
        path
        for path in paths
        if old.get(path) != new.get(path) and path not in CHANGEABLE and path.split(".")[0] != "mesh"
    )


def override(config: Any, assignments: Sequence[str]) -> Any:
    """A copy of a frozen dataclass with "dotted.path=value" assignments made, typed by the fields'
    annotations.

    Raises InputError for an unknown name, with the names near to it, and for a value of the wrong type.
    """
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        if not equals:
            raise InputError(f"override {assignment!r} is not of the form name=value")
        config = _assign(config, path.strip().split("."), text.strip(), path.strip())
    return config


def _assign(config: Any, names: list[str], text: str, path: str) -> Any:
    name, rest = names[0], names[1:]
    if not dataclasses.is_dataclass(config):
        raise InputError(f"override {path}: there is nothing inside {config!r} to name {name!r}")
    fields = [field.name for field in dataclasses.fields(config) if field.init]
    if name not in fields:
        near = difflib.get_close_matches(name, fields, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"the names are {', '.join(fields)}"
        raise InputError(f"override {path}: {type(config).__name__} has no field {name!r}; {hint}")
    if rest:
        value = _assign(getattr(config, name), rest, text, path)
    else:
        value = parse(text, typing.get_type_hints(type(config))[name], path)
    try:
        return dataclasses.replace(config, **{name: value})
    except InputError:
        raise
    except (ValueError, TypeError) as error:
        raise InputError(f"override {path}={text}: {error}") from error


def parse(text: str, kind: Any, path: str) -> Any:
    """`text` as a value of the annotated type `kind`; raises InputError naming `path` where it is none."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    wrong = InputError(f"override {path}={text}: the value must be {_say(kind)}")
    if origin in (typing.Union, types.UnionType):
        for member in sorted(arguments, key=lambda member: member is str):
            try:
                return parse(text, member, path)
            except InputError:
                continue
        raise wrong
    if origin is Literal:
        for choice in arguments:
            if text == str(choice):
                return choice
        raise wrong
    if origin in (tuple, list):
        return _parse_sequence(text, origin, arguments, path, wrong)
    if kind is type(None) and text.lower() == "none":
        return None
    if kind is bool and text.lower() in ("true", "false", "1", "0"):
        return text.lower() in ("true", "1")
    if kind is str:
        return text
    try:
        if kind is int:
            return int(text.replace("_", ""))
        if kind is float:
            return float(text)
    except (ValueError, SyntaxError) as error:
        raise wrong from error
    raise wrong


def _parse_sequence(text: str, origin: type, arguments: tuple, path: str, wrong: InputError) -> Any:
    parts = [part.strip().strip("'\"") for part in text.strip("()[]").split(",") if part.strip()]
    if origin is list or arguments[-1] is Ellipsis:
        kinds = [arguments[0]] * len(parts)
    else:
        kinds = list(arguments)
    if len(kinds) != len(parts) or any(typing.get_origin(kind) in (tuple, list) for kind in kinds):
        raise wrong
    return origin(parse(part, kind, path) for part, kind in zip(parts, kinds, strict=True))


def _say(kind: Any) -> str:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        return "one of " + ", ".join(map(str, arguments))
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_say(member) for member in arguments)
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "text", type(None): "none"}
    if origin in (tuple, list):
        return f"values separated by commas ({kind})"
    if kind in names:
        return names[kind]
    return f"a {getattr(kind, '__name__', kind)}, which can only be set field by field or in a config file"
