import dataclasses
from typing import Literal

import pytest

from jaxanim.errors import InputError
from jaxanim.training.experiment import Experiment, describe, differences, override
from tests.training.toy import config


@dataclasses.dataclass(frozen=True)
class Inner:
    channels: tuple[int, ...] = (8, 16)
    size: tuple[int, int] = (4, 4)
    kind: Literal["a", "b", 3] = "a"
    flag: bool = False
    limit: float | None = None

    def __post_init__(self):
        if self.limit is not None and self.limit < 0:
            raise ValueError(f"limit is negative: {self.limit}")


@dataclasses.dataclass(frozen=True)
class Outer:
    inner: Inner = dataclasses.field(default_factory=Inner)
    other: Inner | None = None
    name: str = "x"
    count: int = 1
    title: str | None = None


@pytest.mark.parametrize(("assignment", "path", "value"), [
    ("count=1_000", "count", 1000), ("name=a=b", "name", "a=b"), ("title=None", "title", None), ("title=5", "title", "5"),
    ("inner.channels=1,2,3", "inner.channels", (1, 2, 3)), ("inner.channels=(4,)", "inner.channels", (4,)),
    ("inner.size=64,32", "inner.size", (64, 32)), ("inner.kind=b", "inner.kind", "b"), ("inner.kind=3", "inner.kind", 3),
    ("inner.flag=true", "inner.flag", True), ("inner.limit=1e-3", "inner.limit", 1e-3), ("inner.limit=none", "inner.limit", None),
])  # fmt: skip
def test_values_are_typed(assignment, path, value):
    changed = override(Outer(), [assignment])
    found = changed
    for name in path.split("."):
        found = getattr(found, name)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(("assignment", "message"), [
    ("inner.chanels=1", "did you mean channels"), ("conut=2", "did you mean count"), ("zzz=2", "the names are inner, other, name"),
    ("count=1.5", "must be a whole number"), ("count=", "must be a whole number"), ("inner.flag=maybe", "must be true or false"),
    ("inner.kind=c", "one of a, b, 3"), ("inner.size=1,2,3", "separated by commas"), ("inner.limit=x", "a number or none"),
    ("inner.limit=-1", "limit is negative"), ("inner=5", "field by field"), ("other.size=1,1", "nothing inside None"),
    ("count.x=5", "nothing inside 1"), ("count", "not of the form name=value"),
])  # fmt: skip
def test_bad_overrides_are_told_in_one_sentence(assignment, message):
    with pytest.raises(InputError, match=message) as raised:
        override(Outer(), [assignment])
    assert assignment.split("=")[0] in str(raised.value)


def test_into_the_task_and_the_mesh():
    changed = override(config, ["task.features=3", "mesh.fsdp=2", "steps=7", "max_minutes=5"])
    assert (changed.task.features, changed.mesh.fsdp, changed.steps, changed.max_minutes) == (3, 2, 7, 5.0)
    assert config.task.features == 8


@pytest.mark.parametrize("assignment", [
    "steps=0", "batch_size=7 accumulate=2", "learning_rate=0", "ema_decay=1", "schedule=linear", "optimizer=sgd", "max_minutes=0", "warmup=-1",
])  # fmt: skip
def test_impossible_experiments(assignment):
    with pytest.raises(InputError, match=assignment.split("=")[0]):
        override(config, assignment.split())


def test_what_may_change_on_resuming():
    old = describe(config)
    assert (
        differences(old, describe(override(config, ["steps=9", "log_every=1", "mesh.fsdp=2", "max_minutes=1"])))
        == []
    )
    assert differences(old, describe(override(config, ["task.noise=1", "batch_size=2"]))) == [
        "batch_size",
        "task.noise",
    ]
    assert all(field.name in old for field in dataclasses.fields(Experiment))
