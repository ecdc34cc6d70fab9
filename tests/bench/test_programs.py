"""The benchmarks of whole networks run, and both of their sides compute the same, at reduced width."""

import json

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from tests.bench import bench_cogvideox, bench_magicanimate, bench_networks, memory_table


def lines(program, capsys, monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["bench", "--small", "--rounds", "1", *arguments])
    program.main()
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_magicanimate_step_is_the_released_one(capsys, monkeypatch):
    (report,) = lines(bench_magicanimate, capsys, monkeypatch)
    assert report["released way"]["relative_difference"] < 1e-4
    assert report["jaxanim"]["median_s"] > 0
    assert report["jaxanim"]["xla_temporary_gib"] > 0


@pytest.mark.parametrize("case", ["unet batch 1", "unet batch 2", "vae decode", "animatediff"])
def test_networks_are_diffusers(case, capsys, monkeypatch):
    (report,) = lines(bench_networks, capsys, monkeypatch, "--no-compile", "--only", case)
    assert report["case"] == case
    assert report["diffusers eager"]["relative_difference"] < 1e-4
    assert report["diffusers eager over jaxanim"] > 0


@pytest.mark.parametrize("case", ["block", "vae decode"])
def test_cogvideox_is_diffusers(case, capsys, monkeypatch):
    (report,) = lines(bench_cogvideox, capsys, monkeypatch, "--only", case)
    assert report["diffusers eager"]["relative_difference"] < 1e-4
    assert report["diffusers eager over jaxanim"] > 0


@pytest.mark.full_size
def test_a_same2x_step_beside_a_plain_one(capsys, monkeypatch):
    (report,) = lines(bench_cogvideox, capsys, monkeypatch, "--only", "same2x")
    assert report["same2x over plain"] > 0
    assert report["same2x"]["tflop"] >= report["plain"]["tflop"]


@pytest.mark.full_size
def test_memory_table_has_a_row_for_every_option(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["memory_table", "--small", "--only", "step, 16 frames"])
    memory_table.main()
    line, *markdown = capsys.readouterr().out.splitlines()
    rows = {(row["what"].split()[0], row["options"]): row for row in json.loads(line)["rows"]}
    assert len(markdown) == 2 + len(rows) == 8
    for system in ("AnimateDiff", "MagicAnimate"):
        whole, half, turn = (rows[system, words] for words, _ in memory_table.STEPS)
        assert whole["weights_gib"] == pytest.approx(2 * half["weights_gib"], rel=0.05)
        assert turn["working_gib"] < half["working_gib"]


def test_parts_in_one_call_are_the_loop_over_parts(capsys, monkeypatch):
    from tests.bench import bench_parts

    monkeypatch.setattr("sys.argv", ["bench", "--small", "--rounds", "1"])
    bench_parts.main()
    report = json.loads(capsys.readouterr().out)
    assert report["relative difference"] < 1e-5
    assert report["loop over one call"] > 0


@pytest.mark.parametrize("case", ["wan layer", "cogvideox layer"])
def test_gpu_program_compares_what_is_the_same(case, capsys, monkeypatch):
    from tests.bench import bench_gpu

    monkeypatch.setattr("sys.argv", ["bench", "--tiny", "--only", case, "--torch-compile", "0"])
    assert bench_gpu.main() == 0
    card, report, _ = map(json.loads, capsys.readouterr().out.splitlines())
    assert card["tflop_per_s"]["jax"] > 0
    assert report["relative_difference"] < bench_gpu.TOLERANCE
    assert report["share"]["jaxanim"] > 0
