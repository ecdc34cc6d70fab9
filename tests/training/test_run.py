"""The program `python -m train.run`, called in this process."""

import json
import os
import re
import socket
import subprocess
import sys

import pytest

from configs.weights import RUNS
from jaxanim.config_file import load_config
from jaxanim.training.experiment import Experiment, describe, override
from train.run import main

TOY = "tests/training/toy.py"


def test_trains_and_says_where_the_weights_are(tmp_path, capsys):
    arguments = [TOY, "steps=3", "--workdir", str(tmp_path / "run")]
    assert main(arguments) == 0
    assert "finished: step 3 of 3" in capsys.readouterr().out
    # Overrides may stand behind options; a finished run is only reported again.
    assert main([*arguments, "--resume"]) == 0
    assert main([TOY, "--workdir", str(tmp_path / "run"), "steps=4", "--resume"]) == 0
    assert "finished: step 4 of 4" in capsys.readouterr().out


def test_a_lost_run_exits_with_1(tmp_path, capsys):
    assert main([TOY, "task.explode_at=0", "--workdir", str(tmp_path)]) == 1
    assert "the loss became nan" in capsys.readouterr().err


@pytest.mark.parametrize(("arguments", "message"), [
    ([], "config is missing"), (["configs/none.py"], "does not exist"), (["README.md"], "is not a Python file"),
    ([TOY, "step=1"], "did you mean steps"), ([TOY, "steps=many"], "must be a whole number"),
    ([TOY, "task.trainable=fir"], "'fir', which is in no parameter path"), ([TOY, "--resume"], "no checkpoint to go on from"),
    ([TOY, "hold=bais"], "hold is 'bais', which is in no parameter path"), ([TOY, "thaw=("], "thaw is '(', which is no regular"),
    (["jaxanim/errors.py"], "no module-level `config`"), ([TOY, "init_from=nowhere"], "has no checkpoints"),
    ([TOY, "mesh.tensor=7"], "does not cover"), ([TOY, "frozen_dtype=int8"], "must be one of float32, bfloat16"), ([TOY, "--process", "1"], "--coordinator is missing"),
    ([TOY, "--coordinator", "localhost:1", "--process", "0"], "also needs --processes"),
    ([TOY, "--coordinator", "localhost:1", "--process", "2", "--processes", "2"], "--process is 2: give 0 to 1"),
])  # fmt: skip
def test_bad_input_is_one_sentence_and_exit_code_2(arguments, message, tmp_path, capsys):
    assert main([*arguments, "--workdir", str(tmp_path / "run")]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def test_list_names_the_configs(capsys):
    assert main(["--list"]) == 0
    assert "configs/vae.py" in capsys.readouterr().out


def test_the_runs_of_the_shipped_weights_fit_their_configs_and_each_other():
    before = set()
    for run in RUNS:
        experiment = override(load_config(f"configs/{run.config}.py", Experiment), run.overrides)
        started = set(re.findall(r"runs/(\w+)", " ".join(describe(experiment).values())))
        assert started <= before, f"{run.name} begins with {started - before}, which no earlier run made"
        before.add(run.name)


def test_two_processes_train_as_one(tmp_path):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    command = [sys.executable, "-m", "train.run", TOY, "steps=3", "batch_size=8", "--coordinator", address]
    environment = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=1"}
    processes = [
        subprocess.Popen(
            [*command, "--processes", "2", "--process", str(i), "--workdir", str(tmp_path / "two")],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for i in range(2)
    ]  # fmt: skip
    outputs = [process.communicate(timeout=300)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], "\n".join(outputs)
    # Each host reads its own half, so the data differ from those of one process; the run itself is one.
    metrics = [json.loads(line) for line in (tmp_path / "two" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in metrics] == [1, 2, 3]
    assert all("finished: step 3 of 3" in output for output in outputs)
    losses = [output.split("loss ")[-1].split(",")[0] for output in outputs]
    assert losses[0] == losses[1]
