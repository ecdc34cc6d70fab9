"""The benchmark of Wan's networks runs, and both of its sides compute the same, at reduced width."""

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from tests.bench import bench_wan
from tests.bench.test_programs import lines


@pytest.mark.parametrize("case", ["block", "vae decode"])
def test_networks_are_diffusers(case, capsys, monkeypatch):
    (report,) = lines(bench_wan, capsys, monkeypatch, "--no-compile", "--only", case)
    assert report["diffusers eager"]["relative_difference"] < 1e-4
    assert report["diffusers eager over jaxanim"] > 0


def test_thirty_blocks_compile_as_fast_as_two(capsys, monkeypatch):
    """The program is the same but for the length of its loop: what is traced and compiled is one block."""
    (report,) = lines(bench_wan, capsys, monkeypatch, "--only", "compile")
    few, many = report["2 blocks"], report["30 blocks"]
    assert many["parameters"] > 10 * few["parameters"] / 2
    assert many["compile_s"] < 3 * few["compile_s"] + 1
