"""XPose's builder over tiny puppet videos, on Beam's direct runner: what is kept and why, and that it goes on."""

import json

import numpy as np
import pytest
from PIL import Image

from jaxanim.cues import skeleton
from jaxanim.data.xpose import XPose, build, judge
from jaxanim.errors import InputError
from jaxanim.media.video import write_video
from jaxanim.puppets import puppet_clip
from train.xpose import main

FRAMES = 5


def _write(root, name, pictures, numbers, labels=None):
    write_video(root / "videos" / f"{name}.mp4", pictures, 24)
    folder = root / "masks" / name
    folder.mkdir(parents=True)
    for k, frame in enumerate(numbers):
        Image.fromarray(frame).save(folder / f"{k}.png")
    if labels:
        (folder / "labels.json").write_text(json.dumps(labels))


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    root = tmp_path_factory.mktemp("xpose")
    (root / "videos").mkdir()
    dog = puppet_clip(5, FRAMES, (96, 96), "quadruped", frame_indices=range(FRAMES))
    subject = (dog.mask > 0).astype(np.uint8)
    # Another object beside the subject, smaller, and in the last frame larger than it: it has another label.
    crowd = subject.copy()
    crowd[:, :8, :8] = 2
    crowd[-1, :45] = np.where(crowd[-1, :45] == 1, 1, 2)
    _write(root, "dog", dog.frames, crowd, {"1": "dog", "2": "cloud"})
    small = np.zeros_like(subject)
    small[:, 40:50, 40:50] = 1
    _write(root, "small", dog.frames, small)
    empty_first = subject.copy()
    empty_first[0] = 0
    _write(root, "late", dog.frames, empty_first)
    gaps = subject.copy()
    gaps[1:3] = 0
    _write(root, "gaps", dog.frames, gaps)
    _write(root, "short", dog.frames, subject[:3])
    (root / "videos" / "broken.mp4").write_bytes(b"no video")
    return root


def _settings(root, out, **changes):
    return XPose(str(root / "videos"), str(root / "masks"), str(out), smallest=0.1, **changes)


def test_a_subject_is_followed_into_its_skeleton_file(videos, tmp_path):
    verdict = judge(_settings(videos, tmp_path), "dog.mp4")
    assert verdict["kept"]
    assert verdict["with_skeleton"] == verdict["with_mask"] == FRAMES
    graph, size, fps = skeleton.read(tmp_path / "dog.json")
    assert (size, fps, len(graph.points)) == ((96, 96), 24, FRAMES)
    assert verdict["segments"] >= 3
    mask = puppet_clip(5, FRAMES, (96, 96), "quadruped", frame_indices=range(FRAMES)).mask
    for f in range(FRAMES):
        seen = graph.points[f][graph.points[f, :, 2] > 0]
        on = [mask[f, round(float(y)), round(float(x))] > 0 for x, y, _ in seen]
        assert np.mean(on) > 0.8


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("small", "fills 0.011 to 0.011 of a frame"),
        ("late", "first frame has no mask"),
        ("gaps", "3 of its 5 frames have a skeleton"),
        ("short", "has 3 pictures for a video of 5 frames"),
        ("broken", "cannot be read"),
    ],
)
def test_what_is_not_kept_has_a_reason_and_no_file(videos, tmp_path, name, why):
    verdict = judge(_settings(videos, tmp_path), f"{name}.mp4")
    assert not verdict["kept"]
    assert why in verdict["why"]
    assert not (tmp_path / f"{name}.json").exists()


def test_a_verdict_is_made_again_only_under_other_settings(videos, tmp_path):
    first = judge(_settings(videos, tmp_path), "gaps.mp4")
    done = tmp_path / "verdicts" / "gaps.json"
    marked = json.loads(done.read_text()) | {"mark": 1}
    done.write_text(json.dumps(marked))
    assert judge(_settings(videos, tmp_path), "gaps.mp4") == first | {"mark": 1}
    other = judge(_settings(videos, tmp_path, with_skeleton=0.5), "gaps.mp4")
    assert other["kept"]
    assert "mark" not in other


def test_the_pipeline_goes_on_where_it_was_cut_off(videos, tmp_path):
    pytest.importorskip("apache_beam")
    settings = _settings(videos, tmp_path)
    judge(settings, "dog.mp4")
    before = (tmp_path / "dog.json").stat().st_mtime_ns
    verdicts = build(settings)
    assert [v["video"] for v in verdicts] == sorted(
        f"{n}.mp4" for n in ("dog", "small", "late", "gaps", "short", "broken")
    )
    assert [v["video"] for v in verdicts if v["kept"]] == ["dog.mp4"]
    assert (tmp_path / "dog.json").stat().st_mtime_ns == before
    assert json.loads((tmp_path / "manifest.json").read_text()) == verdicts


def test_the_program_tells_what_it_kept(videos, tmp_path, capsys):
    pytest.importorskip("apache_beam")
    folders = ["--videos", str(videos / "videos"), "--masks", str(videos / "masks")]
    assert main([*folders, "--out", str(tmp_path), "--smallest", "0.1"]) == 0
    out = capsys.readouterr().out
    assert "1 of 6 videos kept" in out
    assert "late.mp4: its first frame has no mask" in out


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["--videos", "nowhere"], "holds no video"),
        (["--smallest", "1.2"], "--smallest is 1.2: it is a share"),
        (["--out", "VIDEOS"], "--out"),
    ],
)
def test_bad_input_is_one_sentence_and_code_2(videos, tmp_path, capsys, changes, message):
    if changes[0] == "--videos":
        pytest.importorskip("apache_beam")
    folders = {"--videos": str(videos / "videos"), "--masks": str(videos / "masks"), "--out": str(tmp_path / "out")}
    folders[changes[0]] = str(videos / "videos") if changes[1] == "VIDEOS" else changes[1]
    assert main([word for pair in folders.items() for word in pair]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_names_are_checked(tmp_path):
    (tmp_path / "a.mp4").touch()
    (tmp_path / "a.mov").touch()
    with pytest.raises(InputError, match="'a' is taken twice"):
        XPose(str(tmp_path), "masks", "out").names()
