"""No program replaces what it reads: whatever the outputs are called, every input is the same file afterwards."""

import os
import shutil

import pytest

from jaxanim.media.images import read_image
from jaxanim.media.video import read_video
from jaxanim.puppets.__main__ import main as puppets
from sample.animate import main as animate
from sample.evaluate import main as evaluate
from sample.generate import main as generate
from train.parts import main as parts
from train.run import main as train


@pytest.fixture
def inputs(puppet, tmp_path):
    """A copy of the puppet's folder that a wrong program may spoil, with a config of an evaluation."""
    folder = shutil.copytree(puppet, tmp_path / "inputs")
    (folder / "girl.png").write_bytes((folder / "reference.png").read_bytes())
    (folder / "linked.mp4").symlink_to("densepose.mp4")
    os.link(folder / "densepose.mp4", folder / "hard.mp4")
    shutil.copytree(folder / "openpose", folder / "motions" / "dance")
    return folder


def contents(*folders):
    return {path: path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file()}


def command(inputs, tiny, **changes):
    options = {"reference": "girl.png", "motion": "densepose.mp4", "out": "new.mp4"} | changes
    given = [text for name, path in options.items() for text in (f"--{name}", str(inputs / path))]
    return [*given, "--weights", str(tiny[0])]


def test_the_implied_sheet_does_not_replace_the_reference(inputs, tiny, capsys):
    before = contents(inputs, tiny[0])
    assert animate(command(inputs, tiny, out="girl.mp4")) == 0
    after = contents(inputs, tiny[0])
    assert {path: after[path] for path in before} == before
    assert {path.name for path in after.keys() - before.keys()} == {"girl.mp4", "girl_sheet.png"}
    assert read_image(inputs / "girl_sheet.png").shape[0] > 3 * 64
    assert "contact sheet" in capsys.readouterr().out
    assert len(read_video(inputs / "girl.mp4")[0]) == 10


def test_another_file_is_replaced_by_a_whole_one(inputs, tiny):
    shutil.copy(inputs / "truth.mp4", inputs / "new.mp4")
    assert animate(command(inputs, tiny)) == 0
    assert read_video(inputs / "new.mp4")[0].shape == (10, 64, 48, 3)


REFUSED = {
    "motion": {"out": "densepose.mp4"},
    "motion by another way": {"out": "motions/../densepose.mp4"},
    "motion by a link": {"out": "linked.mp4"},
    "link given as motion": {"motion": "linked.mp4", "out": "densepose.mp4"},
    "motion by a hard link": {"out": "hard.mp4"},
    "truth": {"truth": "truth.mp4", "out": "truth.mp4"},
    "mask": {"truth": "truth.mp4", "mask": "mask.mp4", "out": "mask.mp4"},
    "mask beside the truth": {"truth": "truth.mp4", "out": "mask.mp4"},
    "sheet is the reference": {"sheet": "girl.png"},
    "sheet is a frame": {"motion": "images", "sheet": "images/003.png"},
    "sheet is beside frames": {"motion": "images", "sheet": "images/new.png"},
    "implied sheet is beside frames": {"motion": "images", "out": "images/new.mp4"},
    "video is beside keypoints": {"motion": "openpose", "out": "openpose/new.mp4"},
}


@pytest.mark.parametrize("case", REFUSED)
def test_animate_refuses_to_write_what_it_reads(case, inputs, tiny, capsys):
    before = contents(inputs, tiny[0])
    assert animate(command(inputs, tiny, **REFUSED[case])) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("sample.animate: --out is" if "sheet" not in case else "sample.animate: --")
    assert err.count("\n") == 1
    assert contents(inputs, tiny[0]) == before
    assert tiny[1] == []


@pytest.mark.parametrize(("out", "sheet"), [("girl.png", None), ("new.png", "girl.png"), ("new.png", "new.png")])
def test_generate_refuses_too(out, sheet, inputs, tiny, capsys):
    before = contents(inputs)
    arguments = ["--weights", str(tiny[0]), "--prompt", "p", "--control", str(inputs / "girl.png")]
    arguments += ["--out", str(inputs / out), *(["--sheet", str(inputs / sheet)] if sheet else [])]
    assert generate(arguments) == 2
    assert " too; " in capsys.readouterr().err
    assert contents(inputs) == before


@pytest.mark.parametrize("out", ["motions/dance", "weights"])
def test_evaluate_refuses_too(out, inputs, tiny, tmp_path, capsys):
    config = tmp_path / "tiny_eval.py"
    config.write_text(
        "from jaxanim.metrics.evaluate import Evaluation\n"
        f'config = Evaluation("tiny", "magicanimate", {str(tiny[0])!r}, (64, 48), 4)\n'
    )
    before = contents(tmp_path)
    place = tiny[0] if out == "weights" else inputs / out
    arguments = [str(config), "--seeds", "950000:950001", "--motions", str(inputs / "motions"), "--out", str(place)]
    assert evaluate(arguments) == 2
    assert "results.json, a file in the folder that" in capsys.readouterr().err
    assert contents(tmp_path) == before


def test_train_refuses_a_working_folder_that_it_reads_from(tmp_path, capsys):
    toy, run = "tests/training/toy.py", tmp_path / "run"
    assert train([toy, "steps=2", "--workdir", str(run)]) == 0
    before = contents(run)
    assert train([toy, "steps=2", f"init_from={run}", "--fresh", "--workdir", str(run)]) == 2
    assert "of the working folder is" in capsys.readouterr().err
    assert contents(run) == before


def test_parts_refuse_to_be_their_own_source(inputs, tmp_path, capsys):
    (tmp_path / "parts").mkdir()
    for out in ("parts", "."):
        arguments = [str(tmp_path / out), "--base", str(inputs), "--appearance", str(tmp_path / "parts")]
        assert parts(arguments) == 2
        assert "OUT is" in capsys.readouterr().err


def test_puppets_refuse_a_folder_with_their_motion_in_it(tmp_path, monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["puppets", "--seed", "3", "--size", "64x64", *map(str, arguments)])
        puppets()

    run("--frames", 3, "--out", tmp_path / "clip")
    before = contents(tmp_path)
    with pytest.raises(SystemExit):
        run("--motion", tmp_path / "clip" / "openpose", "--out", tmp_path / "clip")
    assert "the folder in which --motion" in capsys.readouterr().err
    assert contents(tmp_path) == before
