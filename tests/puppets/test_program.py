"""`python -m jaxanim.puppets`: what it writes is what was rendered; bad input is answered with one sentence."""

import sys

import numpy as np
import pytest

from jaxanim.cues import densepose, openpose, skeleton
from jaxanim.media.images import read_image
from jaxanim.media.video import read_motion, read_video
from jaxanim.puppets import puppet_clip
from jaxanim.puppets.__main__ import main
from jaxanim.puppets.export import FILES


def _run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["puppets", *map(str, arguments)])
    main()


def test_files_hold_the_clip(tmp_path, monkeypatch):
    out = tmp_path / "clip"
    _run(monkeypatch, "--seed", 950_001, "--frames", 6, "--size", "96x64", "--out", out)
    clip = puppet_clip(950_001, 6, (64, 96))
    assert {entry.name for entry in out.iterdir()} == set(FILES)
    np.testing.assert_array_equal(read_image(out / "reference.png"), clip.reference)
    truth, fps = read_video(out / "truth.mp4")
    assert fps == 25
    error = np.mean((truth.astype(float) - clip.frames) ** 2)
    assert 10 * np.log10(255**2 / error) > 48
    np.testing.assert_array_equal(densepose.part_ids(read_video(out / "densepose.mp4")[0]), clip.parts)
    np.testing.assert_array_equal(read_video(out / "mask.mp4")[0][..., 0] > 127, clip.mask > 0)
    drawn = read_video(out / "openpose.mp4")[0]
    assert np.abs(drawn.astype(int) - openpose.draw(clip.keypoints, (64, 96))).max() < 8
    points = openpose.read(out / "openpose")
    np.testing.assert_allclose(points.body, clip.keypoints.body * (clip.keypoints.body[..., 2:] > 0), atol=1e-3)
    assert read_motion(out / "openpose").num_frames == 6
    graph, size, fps = skeleton.read(out / "skeleton.json")
    assert (graph.skeleton, size, fps) == (clip.skeleton, (64, 96), clip.fps)
    np.testing.assert_allclose(graph.points, clip.points * (clip.points[..., 2:] > 0), atol=1e-3)
    assert (out / "prompt.txt").read_text().strip() == clip.prompt


def test_a_folder_it_wrote_is_replaced_and_an_animal_has_its_graph(tmp_path, monkeypatch):
    out = tmp_path / "clip"
    for kind in ("human", "quadruped"):
        _run(monkeypatch, "--seed", 3, "--character", kind, "--frames", 2, "--size", "64x64", "--out", out)
    assert read_video(out / "openpose.mp4")[0].max() > 100
    assert "paw" in (out / "skeleton.json").read_text()
    assert [entry.name for entry in tmp_path.iterdir()] == ["clip"]


def test_a_captured_folder_gives_its_own_length(tmp_path, monkeypatch):
    _run(monkeypatch, "--seed", 3, "--motion", "wave", "--frames", 5, "--size", "64x64", "--out", tmp_path / "a")
    _run(
        monkeypatch,
        "--seed",
        4,
        "--motion",
        tmp_path / "a" / "openpose",
        "--size",
        "64x64",
        "--out",
        tmp_path / "b",
    )
    assert len(read_video(tmp_path / "b" / "truth.mp4")[0]) == 5


@pytest.mark.parametrize(
    "change",
    [
        {"--seed": "-4"}, {"--seed": "x"}, {"--character": "centaur"}, {"--motion": "fly"}, {"--motion": "missing/folder"},
        {"--frames": "0"}, {"--frames": "2.5"}, {"--size": "128"}, {"--size": "8x8"}, {"--camera": "crane"}, {"--what": "1"},
    ],
    ids=str,
)  # fmt: skip
def test_bad_input_is_one_sentence_and_nothing_is_written(tmp_path, monkeypatch, capsys, change):
    options = {"--seed": "1", "--frames": "2", "--size": "32x32", "--out": str(tmp_path / "out")} | change
    with pytest.raises(SystemExit) as stop:
        _run(monkeypatch, *(word for pair in options.items() for word in pair))
    assert stop.value.code == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert next(iter(change.values())) in message or "--what" in message
    assert list(tmp_path.iterdir()) == []


def test_more_frames_than_captured_or_a_foreign_folder(tmp_path, monkeypatch, capsys):
    _run(monkeypatch, "--seed", 3, "--frames", 2, "--size", "32x32", "--out", tmp_path / "a")
    captured = tmp_path / "a" / "openpose"
    with pytest.raises(SystemExit):
        _run(monkeypatch, "--seed", 3, "--motion", captured, "--frames", 9, "--out", tmp_path / "b")
    assert "has only 2" in capsys.readouterr().err
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "precious.txt").write_text("keep")
    with pytest.raises(SystemExit):
        _run(monkeypatch, "--seed", 3, "--frames", 2, "--size", "32x32", "--out", tmp_path / "c")
    assert (tmp_path / "c" / "precious.txt").read_text() == "keep"


def test_help_teaches(monkeypatch, capsys):
    with pytest.raises(SystemExit) as stop:
        _run(monkeypatch, "--help")
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert "examples:" in text
    assert "jacks" in text
