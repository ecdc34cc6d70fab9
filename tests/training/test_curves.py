"""Runs beside others: steps to an equal held-out loss."""

import json

import numpy as np
import pytest

from jaxanim.errors import InputError
from jaxanim.media.images import read_image
from jaxanim.training.curves import ratio, read_curve, steps_to
from train.curves import main


def write_run(folder, values, every=10):
    folder.mkdir()
    rows = [{"step": step, "loss": 1.0} for step in range(1, every * len(values) + 1)]
    for n, value in enumerate(values):
        rows[every * (n + 1) - 1]["held_out_denoising"] = value
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(folder)


def test_steps_to_a_level_lie_between_measured_ones():
    curve = np.array([10.0, 20.0, 30.0]), np.array([1.0, 0.5, 0.7])
    assert steps_to(curve, 1.0) == 10
    assert steps_to(curve, 0.75) == 15
    assert steps_to(curve, 0.5) == 20
    assert np.isnan(steps_to(curve, 0.4))


def test_a_run_that_falls_four_times_as_fast_has_ratio_four():
    steps = np.arange(10.0, 1000, 10)
    slow, fast = (steps, 1 / steps), (steps, 1 / (4 * steps))
    np.testing.assert_allclose(ratio(slow, fast), 4, rtol=2e-2)
    assert ratio(slow, slow) == 1
    assert np.isnan(ratio(fast, slow))


def test_the_program_draws_and_prints(tmp_path, capsys):
    slow = [write_run(tmp_path / f"s{n}", [1.0, 0.8, 0.6, 0.4]) for n in range(2)]
    fast = [write_run(tmp_path / "f0", [0.8, 0.4, 0.3, 0.2]), write_run(tmp_path / "f1", [1.0, 0.9, 0.9, 0.9])]
    out = tmp_path / "curves.png"
    assert main(["--slow", *slow, "--fast", *fast, "--out", str(out)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["ratios"] == [2.0, None]
    assert (told["mean"], told["least"], told["most"]) == (2.0, 2.0, 2.0)
    assert told["lowest"] == {"slow": [0.4, 0.4], "fast": [0.2, 0.9]}
    assert read_image(out).std() > 0


def test_bad_input_is_told(tmp_path, capsys):
    run = write_run(tmp_path / "run", [1.0])
    assert main(["--slow", run, "--fast", run, run, "--out", str(tmp_path / "a.png")]) == 2
    assert main(["--slow", run, "--fast", run, "--out", str(tmp_path / "a.jpg")]) == 2
    assert not (tmp_path / "a.png").exists()
    assert "give as many of both" in capsys.readouterr().err
    with pytest.raises(InputError, match="has no held_out_x"):
        read_curve(run, "held_out_x")
