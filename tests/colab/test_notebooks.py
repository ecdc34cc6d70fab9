"""What every notebook of colab/ keeps to, and those of the systems and of training, run."""

import dataclasses
import json

import pytest

from jaxanim.media.images import read_image
from jaxanim.media.video import read_video
from jaxanim.models.tokenizer import load_tokenizer
from jaxanim.systems.magicanimate.system import save
from jaxanim.systems.poseanything.system import save as save_poseanything
from tests.colab.notebooks import FOLDER, ROOT, cells, plain, run
from tests.systems import tiny_poseanything
from tests.systems.tiny import FLAT, tiny

ALL = sorted(path.stem for path in FOLDER.glob("*.ipynb"))


@pytest.mark.parametrize("name", ALL)
def test_nothing_of_a_run_is_kept_and_there_are_settings(name):
    text = (FOLDER / f"{name}.ipynb").read_text(encoding="utf-8")
    book = json.loads(text)
    for cell in book["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None
    assert sum("settings" in tags for _, tags in cells(name)) == 1
    assert "default_backend" in text
    for source, _ in cells(name):
        compile(plain(source), name, "exec")


def test_magicanimate(monkeypatch, tmp_path, capsys):
    small = {"FRAMES": 2, "SIZE": "64x64", "OUT": str(tmp_path)}
    _, shown = run("magicanimate", monkeypatch, **small)
    out = capsys.readouterr().out
    assert "the puppets run here" in out
    assert "levels of 255" in out
    assert json.loads(next(line for line in out.splitlines() if line.startswith("{")))["frames"] == 2
    assert [type(one).__name__ for one in shown] == ["Image", "Image", "Video", "Image"]
    before, after = (read_video(tmp_path / f"{name}.mp4")[0] for name in ("result", "changed"))
    assert before.shape == after.shape == (2, 64, 64, 3)
    # Two characters, in two places, differ all over.
    assert (before != after).mean() > 0.5


@pytest.mark.slow
def test_magicpose(monkeypatch, tmp_path):
    _, shown = run("magicpose", monkeypatch, FRAMES=1, SIZE="64x64", OUT=str(tmp_path))
    assert shown[-1].path == tmp_path / "both.png"
    assert read_image(tmp_path / "both.png").std() > 20


@pytest.mark.slow
def test_poseanimate(monkeypatch, tmp_path):
    small = {"FRAMES": 1, "SIZE": "64x64", "STEPS": ["--steps", "2", "--inner-steps", "1", "--transition", "0"]}
    names, shown = run("poseanimate", monkeypatch, OUT=str(tmp_path), **small)
    assert names["SUBJECT"] in names["PROMPT"]
    assert [type(one).__name__ for one in shown] == ["Image", "Image", "Video", "Image"]
    assert read_image(tmp_path / "both.png").std() > 20


@pytest.mark.slow
def test_poseanything(monkeypatch, tmp_path, capsys):
    """On an untrained system of small networks, and without weights on one of the puppets' size."""
    save_poseanything(
        tiny_poseanything.tiny().params, tiny_poseanything.CONFIG, tiny_poseanything.TOKENIZER, tmp_path / "w"
    )
    small = {"FRAMES": 5, "SIZE": "32x32", "STEPS": ["--steps", "2"], "OUT": str(tmp_path / "out")}
    names, shown = run("poseanything", monkeypatch, WEIGHTS=str(tmp_path / "w"), **small)
    assert names["trained"]
    assert "what they make is noise" not in capsys.readouterr().out
    assert [type(one).__name__ for one in shown] == ["Image", "Image", "Video", "Image"]
    before, after = (read_video(tmp_path / "out" / f"{name}.mp4")[0] for name in ("result", "changed"))
    assert before.shape == after.shape == (5, 32, 32, 3)
    assert (before[0] == after[0]).all()  # the picture itself
    assert (before[1:] != after[1:]).any()
    small |= {"SIZE": "64x64", "OUT": str(tmp_path / "none")}
    names, _ = run("poseanything", monkeypatch, WEIGHTS=str(tmp_path / "nowhere"), CHARACTER="fish", **small)
    assert not names["trained"]
    assert "what they make is noise" in capsys.readouterr().out
    assert "fish" in names["PROMPT"]


@pytest.mark.slow
def test_training(monkeypatch, tmp_path, capsys):
    """From weights whose networks compile in seconds."""
    text = dataclasses.replace(FLAT.text_encoder, max_position_embeddings=32)
    sizes = dataclasses.replace(FLAT, text_encoder=text)
    save(
        tiny(sizes=sizes).params, sizes, load_tokenizer(ROOT / "weights/magicanimate/tokenizer"), tmp_path / "start"
    )
    small = {
        "SIZE": (32, 32),
        "FRAMES": 2,
        "BATCH": 1,
        "STEPS": 2,
        "LOG": 1,
        "SHEET": 0,
        "PUPPETS": range(100, 102),
    }
    names, shown = run("training", monkeypatch, OUT=str(tmp_path), START=str(tmp_path / "start"), **small)
    assert "2 videos" in capsys.readouterr().out
    assert names["losses"][0] == names["others"][0]
    assert names["losses"][-1] != names["others"][-1]
    assert (tmp_path / "run" / "weights" / "config.json").is_file()
    assert shown[-1].path.name == "loss.png"


@pytest.mark.slow
def test_directanimator(monkeypatch, tmp_path, capsys):
    small = {"SIZE": (32, 32), "PAIRS": 2, "BATCH": 2, "STEPS": {"vae": 2, "stage1": 2, "stage2": 4}, "VALIDATE": 2}
    small |= {"CHANNELS": (8, 8, 8), "LAYERS": 2, "SAMPLING_STEPS": 2}
    monkeypatch.setenv("JAXANIM_CACHE", str(tmp_path / "cache"))
    _, shown = run("directanimator", monkeypatch, OUT=str(tmp_path), **small)
    out = capsys.readouterr().out
    told = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    assert len(told[0]["lowest"]["slow"]) == len(told[0]["ratios"]) == 1
    assert told[1]["system"] == "directanimator"
    assert [type(one).__name__ for one in shown] == ["Image", "Image", "Video", "Image", "Image"]
    assert read_video(tmp_path / "result.mp4")[0].shape == (9, 32, 32, 3)
    assert "of 255 levels" in out
