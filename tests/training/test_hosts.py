"""Training on several processes, as on several hosts: real ones, over gloo."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from jaxanim.training import log

TOY = "tests/training/toy.py"
# Two devices in all, whoever holds them, so that sums are of the same two parts; a constant rate, which is the same
# whatever the number of steps.
FIELDS = ["steps=24", "schedule=constant", "batch_size=8", "save_every=4", "log_every=1", "sheet_every=0",
          "validate_every=0"]  # fmt: skip


def start(workdir, processes=1, *fields):
    """The processes of one run, two devices in all."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    flags = f"--xla_force_host_platform_device_count={2 // processes}"
    environment = os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    hosts = ["--coordinator", address, "--processes", str(processes)] if processes > 1 else []
    return [
        subprocess.Popen(
            [sys.executable, "-m", "train.run", TOY, *FIELDS, *fields, "--workdir", str(workdir), *hosts,
             *(["--process", str(i)] if hosts else [])],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for i in range(processes)
    ]  # fmt: skip


def ended(processes, codes):
    outputs = [process.communicate(timeout=300)[0] for process in processes]
    assert [process.returncode for process in processes] == codes, "\n".join(outputs)
    return outputs


def wait_for(workdir, step, processes):
    deadline = time.monotonic() + 300
    while not (workdir / "checkpoints" / str(step)).is_dir():
        assert time.monotonic() < deadline
        assert all(process.poll() is None for process in processes), [p.communicate()[0] for p in processes]
        time.sleep(0.02)


def losses(workdir):
    return log.learnt(log.read(workdir / "metrics.jsonl"))


@pytest.mark.slow
def test_a_lost_process_costs_the_steps_since_the_last_save_and_any_number_goes_on(tmp_path):
    whole = start(tmp_path / "whole")
    # Slow enough that the kill falls in the middle.
    pair = start(tmp_path / "one", 2, "steps=100000")
    wait_for(tmp_path / "one", 8, pair)
    pair[1].kill()
    pair[1].communicate()
    output = pair[0].communicate(timeout=300)[0]
    assert pair[0].returncode != 0, output
    for folder in (tmp_path / "one" / "checkpoints").iterdir():
        if folder.name.isdigit() and int(folder.name) > 20:  # it was quick: go on from an earlier step than the end
            shutil.rmtree(folder)
    ended(whole, [0])
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    ended(start(tmp_path / "one"), [0])
    ended(start(tmp_path / "two", 2), [0, 0])
    expected = losses(tmp_path / "whole")
    assert [row["step"] for row in expected] == list(range(1, 25))
    assert losses(tmp_path / "one") == expected
    assert losses(tmp_path / "two") == expected
    kernels = [np.load(tmp_path / name / "weights" / "kernel.npy") for name in ("whole", "one", "two")]
    np.testing.assert_array_equal(kernels[0], kernels[1])
    np.testing.assert_array_equal(kernels[0], kernels[2])


@pytest.mark.slow
def test_a_signal_to_one_process_saves_and_ends_both(tmp_path):
    pair = start(tmp_path, 2, "steps=100000", "save_every=0")
    while len(losses(tmp_path)) < 3:
        assert all(process.poll() is None for process in pair), [p.communicate()[0] for p in pair]
        time.sleep(0.02)
    pair[1].send_signal(signal.SIGTERM)
    outputs = ended(pair, [143, 143])
    assert all("SIGTERM: stopped and saved at step" in output for output in outputs)
    step = losses(tmp_path)[-1]["step"]
    assert (tmp_path / "checkpoints" / str(step)).is_dir()


@pytest.mark.slow
def test_a_loss_that_is_not_finite_ends_both_with_a_saved_state(tmp_path):
    outputs = ended(start(tmp_path, 2, "steps=100", "task.explode_at=150", "log_every=5"), [1, 1])
    keys = json.loads((tmp_path / "diverged.json").read_text())
    assert f"at step {keys['step']}; the state before it is checkpoint {keys['step'] - 1}" in outputs[0]
    assert (tmp_path / "checkpoints" / str(keys["step"] - 1)).is_dir()
