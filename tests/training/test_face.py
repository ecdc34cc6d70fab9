"""The face network's training: ArcFace's equation written out, and a few steps that learn."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxanim.data.faces import FaceCrops
from jaxanim.data.puppets import PuppetClips
from jaxanim.metrics.face import load_face_network
from jaxanim.models.face import FaceConfig
from jaxanim.training.experiment import Experiment
from jaxanim.training.loop import train
from jaxanim.training.tasks.face import FaceTask, arcface_logits
from jaxanim.weights import read_description

SIZE = (64, 64)


def crops(first, count):
    return FaceCrops(PuppetClips(seeds=(first, count), frames=6, span=60, size=SIZE), side=16)


@pytest.fixture
def task(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXANIM_CACHE", str(tmp_path / "cache"))
    return FaceTask(FaceConfig(side=16, widths=(8, 16), embedding=8), crops(5, 6), crops(900_000, 6))


def test_logits_are_arcface_s_equation():
    angles = np.random.default_rng(0).uniform(0.05, np.pi - 0.4, (4, 5))
    identity, m, s = np.array([0, 3, 1, 4]), 0.3, 16.0
    expected = s * np.cos(angles)
    for i, own in enumerate(identity):
        expected[i, own] = s * np.cos(angles[i, own] + m)
    ours = arcface_logits(jnp.cos(jnp.asarray(angles, jnp.float32)), jnp.asarray(identity), m, s)
    np.testing.assert_allclose(ours, expected, atol=1e-4)
    # Past pi - m the logit goes on falling as the angle grows.
    late = arcface_logits(jnp.cos(jnp.linspace(2.0, 3.1, 30))[:, None], jnp.zeros(30, int), m, s)
    assert (np.diff(late[:, 0]) < 0).all()


def test_trains_exports_and_serves(task, tmp_path):
    experiment = Experiment(
        "face", task, steps=40, batch_size=8, learning_rate=5e-3, weight_decay=0.0, ema_decay=0.5, sheet_every=0,
        save_every=0, threads=0,
    )  # fmt: skip
    outcome = train(experiment, tmp_path / "run")
    batch = {
        name: jnp.asarray(np.stack([task.elements()[i][name] for i in range(8)])) for name in task.elements()[0]
    }
    params = task.init(jax.random.key(experiment.seed))
    before = float(jax.jit(task.loss)(params, batch, jax.random.key(0))[0])
    assert outcome.loss < 0.8 * before
    result = read_description(tmp_path / "run" / "weights")["metadata"]
    assert 2 <= result["held_out_identities"] <= 6
    assert 0 <= result["found"] <= 1
    network = load_face_network(tmp_path / "run" / "weights")
    faces = np.stack([task.elements()[i]["face"] for i in range(4)])
    chex.assert_shape((network.embed(faces), network.read_state(faces)), ((4, 8), (4, 4)))


def test_only_seen_faces_are_learnt_from(task):
    source = task.elements()
    elements = [task.crops[i] for i in range(len(task.crops))]
    assert len(source) == sum(int(element["seen"].sum()) for element in elements)
    assert 0 < len(source) < 36  # two of the six turn away
    for index in (0, len(source) - 1):
        drawn = source[index]
        own = elements[int(drawn["identity"])]
        assert any(np.array_equal(drawn["face"], face) for face in own["faces"][own["seen"]])
