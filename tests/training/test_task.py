"""The contract of recipes and tasks: a frozen teacher beside what learns, batches of several shapes, and folders that
are read once."""

import dataclasses
import shutil

import grain
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxanim.errors import InputError
from jaxanim.models.vae import VAEConfig
from jaxanim.training import log
from jaxanim.training.experiment import Experiment
from jaxanim.training.feed import Feed
from jaxanim.training.loop import batches, initial, train
from jaxanim.training.sharding import make_mesh, placed
from jaxanim.training.state import step_function
from jaxanim.training.task import Recipe, Task
from jaxanim.weights import load_weights, save_weights


@dataclasses.dataclass(frozen=True)
class StudentRecipe:
    """Learns the hidden states of a teacher that lies in a folder, on long and short sequences by turns."""

    teacher: str

    def open(self):
        return StudentTask(load_weights(self.teacher, mapped=True)["vae"][1])


@dataclasses.dataclass(frozen=True, eq=False)
class StudentTask:
    known: dict
    trainable: tuple[str, ...] = ("^student/",)

    def init(self, key, place=None):
        student = {"kernel": 0.1 * jax.random.normal(key, (3, 5)), "head": jnp.zeros((5, 1))}
        return placed({"teacher": self.known}, place) | {"student": student}

    def batches(self, feed):
        def draw(shared, own):
            length = 4 if shared.random() < 0.5 else 7
            return {"x": own.normal(size=(feed.batch_size, length, 3)).astype(np.float32)}

        return feed.drawn(draw)

    def loss(self, params, batch, key):
        hidden = {name: jnp.tanh(batch["x"] @ params[name]["kernel"]) for name in ("teacher", "student")}
        return jnp.mean(jnp.square(hidden["teacher"] - hidden["student"])), {
            "length": jnp.float32(batch["x"].shape[1])
        }

    def sheet(self, params, key):
        return np.zeros((8, 8, 3), np.uint8)

    def save(self, params, folder):
        save_weights(folder, {"vae": (VAEConfig(), params["student"])}, system="student")


@pytest.fixture
def teacher(tmp_path):
    folder, kernel = tmp_path / "teacher", np.random.default_rng(0).normal(size=(3, 5))
    save_weights(folder, {"vae": (VAEConfig(), {"kernel": kernel})}, system="teacher")
    return folder


def test_a_student_learns_from_a_frozen_teacher_on_batches_of_two_shapes(teacher, tmp_path):
    recipe = StudentRecipe(str(teacher))
    assert isinstance(recipe, Recipe)
    assert isinstance(recipe.open(), Task)
    schedule = {"steps": 400, "learning_rate": 0.05, "weight_decay": 0.0, "ema_decay": 0.5, "threads": 0}
    train(Experiment("student", recipe, sheet_every=0, hold="head", **schedule), tmp_path / "run")
    rows = log.read(tmp_path / "run" / "metrics.jsonl")
    assert {row["length"] for row in rows} == {4.0, 7.0}
    assert rows[-1]["loss"] < 0.05 * rows[0]["loss"]
    student = load_weights(tmp_path / "run" / "weights")["vae"][1]
    learnt, true = (np.tanh(tree["kernel"]) for tree in (student, load_weights(teacher)["vae"][1]))
    np.testing.assert_allclose(learnt, true, atol=0.1)
    assert not student["head"].any()


def test_an_open_task_needs_its_folders_no_more(teacher):
    experiment = Experiment("student", StudentRecipe(str(teacher)), threads=0)
    task = experiment.task.open()
    shutil.rmtree(teacher)
    state, frozen = initial(experiment, task, make_mesh())
    assert set(frozen) == {"teacher/kernel"}
    step = step_function(experiment, task, state)
    state, metrics = step(state, frozen, {"x": jnp.asarray(next(batches(experiment, task))["x"])})
    assert float(metrics["loss"]) > 0


def test_hosts_share_shapes_and_not_examples():
    task = StudentTask({})
    first, second = (task.batches(Feed(batch_size=2, part=part, parts=2)) for part in (0, 1))
    assert {first[i]["x"].shape for i in range(9)} == {(2, 4, 3), (2, 7, 3)}
    for i in range(9):
        assert first[i]["x"].shape == second[i]["x"].shape
        assert not np.array_equal(first[i]["x"], second[i]["x"])


def test_a_feed_of_single_elements_goes_round_once_before_it_repeats():
    elements = grain.MapDataset.source([{"x": np.float32(i)} for i in range(6)])
    hosts = [Feed(batch_size=3, part=part, parts=2).shuffled(elements) for part in (0, 1)]
    first = np.concatenate([host[0]["x"] for host in hosts])
    assert sorted(first) == list(range(6))
    with pytest.raises(InputError, match="no elements"):
        Feed().shuffled(elements[:0])
