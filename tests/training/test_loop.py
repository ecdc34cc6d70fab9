import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import unflatten_dict

from jaxanim.errors import InputError
from jaxanim.media.images import read_image
from jaxanim.training import checkpoints, chips, log
from jaxanim.training.loop import batches, initial, train
from jaxanim.training.sharding import make_mesh, shard_batch
from jaxanim.training.state import step_function
from jaxanim.training.validation import validation
from tests.training.toy import Toy, config

ROOT = Path(__file__).parents[2]
TOY = "tests/training/toy.py"


class LearnsFromAll(Toy):
    held_out = None


def start(*arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "train.run", TOY, *map(str, arguments)], cwd=ROOT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ | {"JAX_PLATFORMS": "cpu"},
    )  # fmt: skip


def begin(experiment):
    return initial(experiment, experiment.task.open(), make_mesh())


def wait_for_steps(process, workdir, count):
    """Until `count` steps are in the log of a program that is still running."""
    deadline = time.monotonic() + 300
    while len(log.read(workdir / "metrics.jsonl")) < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("uninterrupted")
    outcome = train(config, workdir)
    return workdir, outcome


def test_a_run_and_its_files(uninterrupted):
    workdir, outcome = uninterrupted
    rows = log.read(workdir / "metrics.jsonl")
    assert [row["step"] for row in rows] == list(range(1, config.steps + 1))
    assert {"loss", "largest", "gradient_norm"} <= rows[0].keys()
    assert np.mean([row["loss"] for row in rows[-10:]]) < 0.6 * np.mean([row["loss"] for row in rows[:10]])
    assert (outcome.step, outcome.stopped) == (config.steps, "finished")
    assert read_image(workdir / "loss.png").shape[2] == 3
    assert read_image(workdir / "sheets" / f"{config.steps:07d}.png").shape == (8, 4, 3)
    assert (workdir / "weights" / "kernel.npy").exists()
    kept = sorted(int(entry.name) for entry in (workdir / "checkpoints").iterdir() if entry.name.isdigit())
    assert kept == [config.steps - config.save_every, config.steps]


def test_the_loss_of_held_out_examples_is_the_average_s(uninterrupted):
    workdir, _ = uninterrupted
    rows = log.read(workdir / "metrics.jsonl")
    taken = {row["step"]: row["held_out_loss"] for row in rows if "held_out_loss" in row}
    assert list(taken) == list(range(20, config.steps + 1, 20))
    toy = config.task
    average = toy.init(jax.random.key(config.seed)) | unflatten_dict(checkpoints.load_ema(workdir), sep="/")
    expected = [
        toy.loss(average, batch, jax.random.fold_in(jax.random.key(0), n))[0]
        for n, batch in enumerate(toy.held_out(config.batch_size))
    ]
    np.testing.assert_allclose(taken[config.steps], np.mean(expected), rtol=1e-5)
    with pytest.raises(InputError, match="validate_every is 5: this task holds no examples out"):
        validation(dataclasses.replace(config, validate_every=5), LearnsFromAll(), make_mesh())


def test_losses_are_those_of_a_plain_loop(uninterrupted):
    """The first steps written out: AdamW by its equations, clipping, warm-up, and the average."""
    workdir, _ = uninterrupted
    toy = config.task
    params = toy.init(jax.random.key(config.seed))
    scale = params["frozen"]
    theta = params["fit"]["dense"]
    m = v = jax.tree.map(jnp.zeros_like, theta)
    dataset = toy.elements(config.seed).seed(config.seed).shuffle().repeat().batch(config.batch_size)
    losses = []
    for n in range(12):
        batch = {name: jnp.asarray(value) for name, value in dataset[n].items()}
        key = jax.random.fold_in(jax.random.key(config.seed), n)
        (loss, _), gradient = jax.value_and_grad(
            lambda theta, batch=batch, key=key: toy.loss({"fit": {"dense": theta}, "frozen": scale}, batch, key),
            has_aux=True,
        )(theta)
        losses.append(float(loss))
        norm = np.sqrt(sum(float(jnp.sum(g**2)) for g in jax.tree.leaves(gradient)))
        gradient = jax.tree.map(lambda g, norm=norm: g * min(1.0, config.clip_norm / norm), gradient)
        if n < config.warmup:
            rate = config.learning_rate * (n + 1) / config.warmup
        else:
            share = (n - config.warmup) / (config.steps - config.warmup)
            rate = config.learning_rate * 0.5 * (1 + np.cos(np.pi * share))
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, gradient)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g**2, v, gradient)
        for name in theta:
            update = (m[name] / (1 - 0.9 ** (n + 1))) / (jnp.sqrt(v[name] / (1 - 0.999 ** (n + 1))) + 1e-8)
            decay = config.weight_decay * theta[name] if name == "kernel" else 0.0
            theta = theta | {name: theta[name] - rate * (update + decay)}
    logged = [row["loss"] for row in log.read(workdir / "metrics.jsonl")[:12]]
    np.testing.assert_allclose(logged, losses, rtol=1e-5)


def test_killed_at_any_moment_and_resumed_is_bit_identical(uninterrupted, tmp_path):
    workdir, _ = uninterrupted
    # Slowed down by saving at every step, so that the kill falls among saves and log lines.
    process = start("--workdir", tmp_path, "save_every=1", "log_every=1")
    wait_for_steps(process, tmp_path, 20)
    process.kill()
    process.communicate()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 999, "lo')
    steps_done = len(log.read(tmp_path / "metrics.jsonl"))
    assert 20 <= steps_done < config.steps

    outcome = train(config, tmp_path)
    assert outcome.stopped == "finished"
    # Every digit of every metric of every step.
    assert log.learnt(log.read(tmp_path / "metrics.jsonl")) == log.learnt(log.read(workdir / "metrics.jsonl"))
    np.testing.assert_array_equal(
        np.load(tmp_path / "weights" / "kernel.npy"), np.load(workdir / "weights" / "kernel.npy")
    )


def test_a_signal_saves_at_the_step_it_came(tmp_path):
    process = start("--workdir", tmp_path, "save_every=0", "log_every=1", "steps=100000")
    wait_for_steps(process, tmp_path, 5)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 143, err
    assert "SIGTERM: stopped and saved at step" in out
    assert "Traceback" not in err
    step = len(log.read(tmp_path / "metrics.jsonl"))
    assert (tmp_path / "checkpoints" / str(step)).is_dir()


def test_the_budget_counts_over_resumes(tmp_path):
    endless = dataclasses.replace(config, steps=10**9, save_every=0, max_minutes=0.5 / 60)
    outcome = train(endless, tmp_path)
    assert outcome.stopped == "budget"
    assert outcome.seconds >= 0.5
    assert (tmp_path / "weights" / "kernel.npy").exists()
    again = train(endless, tmp_path)
    assert (again.step, again.stopped) == (outcome.step, "budget")
    assert (
        train(dataclasses.replace(endless, max_minutes=None, steps=outcome.step + 3), tmp_path).step
        == outcome.step + 3
    )


def test_a_loss_that_is_not_finite_stops_with_the_state_before_it_and_the_place_of_its_batch(tmp_path):
    bad = dataclasses.replace(config, task=Toy(explode_at=150), save_every=4, log_every=5)
    with pytest.raises(log.Diverged, match=r"the loss became nan and .* at step \d+; the state before it") as raised:
        train(bad, tmp_path)
    step = raised.value.step
    assert step > 5
    rows = log.read(tmp_path / "metrics.jsonl")
    assert [row["step"] for row in rows] == list(range(1, step + 1))
    assert np.isfinite([row["loss"] for row in rows[:-1]]).all()

    # As a run that does not look at its loss gets there.
    state, frozen = begin(bad)
    toy = bad.task.open()
    run, data = step_function(config, Toy(), state), batches(bad, toy)
    for _ in range(step - 1):
        state, _ = run(state, frozen, shard_batch(next(data), make_mesh()))
    like, _ = begin(bad)
    with checkpoints.open_checkpoints(tmp_path / "checkpoints", 2, clean=False) as checkpointer:
        saved, position = checkpoints.restore(checkpointer, like)
    assert int(saved.step) == step - 1
    chex.assert_trees_all_close(saved, state, rtol=1e-6)
    keys = json.loads((tmp_path / "diverged.json").read_text())
    assert (keys["step"], keys["seed"], keys["data"]) == (step, bad.seed, position.data)
    data.set_state(keys["data"])
    batch = next(data)
    assert not np.isfinite(toy.loss(unflatten_dict(saved.params | frozen, sep="/"), batch, jax.random.key(0))[0])

    with pytest.raises(log.Diverged, match=f"at step {step};"):  # the same command takes the step again
        train(bad, tmp_path)


def test_the_machine_s_part_is_logged_and_shown_to_tensorboard(tmp_path, monkeypatch):
    from tensorboardX.proto.event_pb2 import Event

    monkeypatch.setitem(chips.CHIPS, jax.devices()[0].device_kind, chips.Chip("this", flops=1e6))
    short = dataclasses.replace(config, steps=10, log_every=4, save_every=0, sheet_every=0, tensorboard=True)
    train(short, tmp_path)
    rows = log.read(tmp_path / "metrics.jsonl")
    measured = {row["step"]: row for row in rows if "mfu" in row}
    assert list(measured) == [4, 8, 10]
    for row in measured.values():
        assert set(log.MACHINE) <= row.keys()
        assert row["step_seconds"] > row["data_wait_seconds"] >= 0
        assert 0 < row["memory_gib"] < 1000
        # x w forward and the gradient of w: 8 rows, 8 features, 4 outputs.
        assert row["mfu"] == pytest.approx(2 * (2 * 8 * 8 * 4) / row["step_seconds"] / 1e6)
    assert not any(set(log.MACHINE) & row.keys() for row in log.learnt(rows))

    (file,) = (tmp_path / "tensorboard").iterdir()
    data, shown = file.read_bytes(), {}
    while data:  # TFRecords: length, its checksum, the event, its checksum
        length = int.from_bytes(data[:8], "little")
        event, data = Event.FromString(data[12 : 12 + length]), data[16 + length :]
        shown |= {(value.tag, event.step): value.simple_value for value in event.summary.value}
    assert shown["training/loss", 3] == pytest.approx(rows[2]["loss"])
    assert shown["training/gradient_norm", 10] == pytest.approx(rows[9]["gradient_norm"])
    assert shown["machine/step_seconds", 8] == pytest.approx(measured[8]["step_seconds"])


def test_a_step_is_compiled_once():
    mesh = make_mesh(config.mesh)
    task = config.task.open()
    state, frozen = initial(config, task, mesh)
    step, data = step_function(config, task, state), batches(config, task)
    for _ in range(3):
        state, _ = step(state, frozen, shard_batch(next(data), mesh))
    assert step._cache_size() == 1


def test_only_the_trainable_part_has_state():
    state, frozen = begin(config)
    assert set(state.params) == set(state.ema) == {"fit/dense/kernel", "fit/dense/bias"}
    assert set(frozen) == {"frozen/scale"}
    assert not any("frozen" in jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(state))


def test_accumulation_is_the_mean_of_the_parts(tmp_path):
    plain = dataclasses.replace(config, task=Toy(noise=0.0), steps=5)
    train(plain, tmp_path / "plain")
    train(dataclasses.replace(plain, accumulate=4), tmp_path / "parts")
    for a, b in zip(*(log.read(tmp_path / name / "metrics.jsonl") for name in ("plain", "parts")), strict=True):
        np.testing.assert_allclose([a["loss"], a["gradient_norm"]], [b["loss"], b["gradient_norm"]], rtol=1e-5)


def test_init_from_takes_the_average_of_another_run(uninterrupted, tmp_path):
    workdir, _ = uninterrupted
    state, _ = begin(dataclasses.replace(config, init_from=str(workdir), seed=5))
    np.testing.assert_array_equal(state.params["fit/dense/kernel"], np.load(workdir / "weights" / "kernel.npy"))
    # Only what fits is taken: with 9 features the kernel has another shape, the bias has not.
    state, _ = begin(dataclasses.replace(config, task=Toy(features=9), init_from=str(workdir)))
    assert state.params["fit/dense/kernel"].shape == (9, 4)
    assert np.abs(state.params["fit/dense/bias"]).max() > 0
    with pytest.raises(InputError, match="has no checkpoints"):
        begin(dataclasses.replace(config, init_from=str(tmp_path)))


def test_another_config_is_refused_and_fresh_starts_over(tmp_path):
    short = dataclasses.replace(config, steps=2, sheet_every=0)
    train(short, tmp_path)
    assert not (tmp_path / "sheets").exists()
    with pytest.raises(InputError, match=r"another learning_rate, task\.noise"):
        train(dataclasses.replace(short, learning_rate=0.5, task=Toy(noise=0.2)), tmp_path)
    noisier = dataclasses.replace(short, task=Toy(noise=0.2))
    train(noisier, tmp_path, fresh=True)
    assert json.loads((tmp_path / "config.json").read_text())["task.noise"] == "0.2"
    assert len(log.read(tmp_path / "metrics.jsonl")) == 2


def test_other_frozen_networks_are_refused(tmp_path):
    class Changed(Toy):
        def init(self, key, place=None):
            params = super().init(key)
            return params | {"frozen": {"scale": params["frozen"]["scale"].at[2].add(1e-6)}}

    Changed.__name__ = "Toy"
    train(dataclasses.replace(config, steps=2), tmp_path)
    with pytest.raises(InputError, match="frozen networks are not those"):
        train(dataclasses.replace(config, steps=4, task=Changed()), tmp_path)


def test_a_checkpoint_of_another_architecture_is_refused_in_one_sentence(tmp_path):
    train(dataclasses.replace(config, steps=2), tmp_path)
    wider, mesh = dataclasses.replace(config, task=Toy(features=9)), make_mesh()
    state, _ = initial(wider, wider.task, mesh)
    there = r"another architecture: fit/dense/kernel has shape \(8, 4\) there and shape \(9, 4\) here$"
    folder = tmp_path / "checkpoints"
    with checkpoints.open_checkpoints(folder, keep=1, clean=False) as opened, pytest.raises(InputError, match=there):
        checkpoints.restore(opened, state)
