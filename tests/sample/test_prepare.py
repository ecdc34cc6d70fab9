"""An ordinary video to what drives a system, with small ONNX networks of the real ones' interfaces."""

import json
import os
import re

import chex
import numpy as np
import pytest

from jaxanim.cues import model_files, openpose, skeleton
from jaxanim.cues.densepose import part_ids
from jaxanim.media.images import read_image, write_png
from jaxanim.media.keypoints import COCO_17
from jaxanim.media.video import read_video, write_video
from sample import animate, prepare
from tests.cues import detectors

RGB = {"crf": 0, "pixel_format": "rgb24"}
FINE = {"crf": 0, "pixel_format": "yuv444p"}
# The reference's figure is half as large as the video's, and elsewhere.
HEIGHT, TOP, CENTRE = 90, 20, 60


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(folder with video, reference and models, points of the video, points of the reference)."""
    folder = tmp_path_factory.mktemp("ordinary")
    frames, points = detectors.video()
    write_video(folder / "dance.mp4", frames, 12, **FINE)
    reference = np.full((128, 96, 3), 60, np.uint8)
    still = detectors.paint(reference, CENTRE, TOP, HEIGHT, square=1)
    write_png(folder / "reference.png", reference)
    detectors.models(folder / "models")
    return folder, points, still


@pytest.fixture
def command(made, tmp_path, monkeypatch):
    """A function from changed options to the arguments of the program; no setting of the user's counts."""
    for name in ("HOME", "XDG_CONFIG_HOME", "RTMLIB_CACHE_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.delenv("JAXANIM_MODELS", raising=False)
    folder = made[0]

    def build(**changes):
        options = {"video": folder / "dance.mp4", "reference": folder / "reference.png", "system": "magicpose",
                   "models": folder / "models", "out": tmp_path / "out"} | changes  # fmt: skip
        given = {name: value for name, value in options.items() if value is not None}
        return [text for name, value in given.items() for text in (f"--{name.replace('_', '-')}", str(value))]

    return build


def body(points):
    out = points[..., COCO_17, :].copy()
    out[..., 1, :] = points[..., 5:7, :].mean(-2)
    return out


def test_poses_are_found_aligned_and_written_with_their_canvas(command, made, tmp_path, capsys):
    assert prepare.main(command()) == 0
    points = made[1]
    found = openpose.read(tmp_path / "out" / "openpose")
    chex.assert_shape(found.body, (6, 1, 18, 3))
    # The video's figure stands where the reference's stands, at its size.
    expected = (body(points) - [90 + 2 * 2.5, 30]) * HEIGHT / 180 + [CENTRE, TOP]
    assert np.abs(found.body[:, 0, :, :2] - expected).max() < 2.5
    written = json.loads(sorted((tmp_path / "out" / "openpose").iterdir())[0].read_text())
    assert (written["canvas_width"], written["canvas_height"]) == (96, 128)
    sheet = read_image(tmp_path / "out" / "preview.png")
    assert sheet.std() > 20
    printed = capsys.readouterr().out
    assert "python -m sample.animate --system magicpose" in printed
    assert "dance.mp4.detections.npz" in printed


def test_what_was_found_is_kept_beside_the_video_and_read_again(command, made, tmp_path, monkeypatch):
    from jaxanim.cues.detect_rtmlib import RtmlibPoses

    folder = made[0]
    assert prepare.main(command(out=tmp_path / "first")) == 0
    assert (folder / "dance.mp4.detections.npz").is_file()
    looked = []
    monkeypatch.setattr(RtmlibPoses, "people", lambda self, frames, report: looked.append(len(frames)))
    assert prepare.main(command(out=tmp_path / "second")) == 0
    assert not looked
    first, second = (openpose.read(tmp_path / name / "openpose") for name in ("first", "second"))
    chex.assert_trees_all_equal(first.body, second.body)


def test_none_leaves_the_motion_where_it_is(command, made, tmp_path):
    assert prepare.main(command(align="none")) == 0
    found = openpose.read(tmp_path / "out" / "openpose").body[:, 0, :, :2]
    # 200 x 240 covers 96 x 128: by 128 / 240, and centred.
    expected = body(made[1]) * 128 / 240 + [(96 - 200 * 128 / 240) / 2, 0]
    assert np.abs(found - expected).max() < 1.5


def test_densepose_comes_as_a_video_in_its_colours(command, tmp_path):
    assert prepare.main(command(system="magicanimate", frames=3)) == 0
    frames, fps = read_video(tmp_path / "out" / "densepose.mp4")
    chex.assert_shape(frames, (3, 128, 96, 3))
    assert fps == 12
    parts = part_ids(frames)
    assert {2, 23, 24} <= set(np.unique(parts[0]).tolist())
    assert 0.5 < (parts == 0).mean() < 0.95


def test_masks_align_too_and_come_along(command, made, tmp_path):
    mask = np.zeros((6, 240, 200, 3), np.uint8)
    mask[:, 30:211, 70:131] = 255
    write_video(tmp_path / "mask.mp4", mask, 12, **FINE)
    still = np.zeros((128, 96, 3), np.uint8)
    still[20:111, 45:76] = 255
    write_png(tmp_path / "still.png", still)
    given = {"mask": tmp_path / "mask.mp4", "reference_mask": tmp_path / "still.png", "align": "mask"}
    assert prepare.main(command(**given)) == 0
    moved, _ = read_video(tmp_path / "out" / "mask.mp4")
    assert np.abs(moved[:, ..., 0].astype(int) - still[..., 0]).mean() < 8
    chex.assert_trees_all_equal(read_image(tmp_path / "out" / "reference_mask.png"), still)


def test_a_skeleton_graph_is_that_of_the_points_or_of_the_masks(command, made, tmp_path, capsys):
    assert prepare.main(command(system="poseanything", frames=2)) == 0
    assert "--prompt ..." in capsys.readouterr().out
    graph, size, fps = skeleton.read(tmp_path / "out" / "skeleton.json")
    assert (size, fps) == ((128, 96), 12)
    feet = graph.points[0][[10, 13], 1]  # OpenPose's ankles
    np.testing.assert_allclose(feet, TOP + 0.96 * HEIGHT, atol=3)

    mask = np.zeros((2, 240, 200, 3), np.uint8)
    mask[:, 40:200, 90:104] = mask[:, 100:112, 40:160] = 255  # a cross, which no detector knows
    write_video(tmp_path / "mask.mp4", mask, 12, **FINE)
    still = np.zeros((128, 96, 3), np.uint8)
    still[20:100, 45:51] = 255
    write_png(tmp_path / "still.png", still)
    given = {"mask": tmp_path / "mask.mp4", "reference_mask": tmp_path / "still.png", "models": None}
    words = command(system="poseanything", frames=2, subject="any", out=tmp_path / "cross", **given)
    assert prepare.main(words) == 0
    graph, *_ = skeleton.read(tmp_path / "cross" / "skeleton.json")
    seen = graph.points[0][graph.points[0][:, 2] > 0]
    low, high = seen[:, 1].min(), seen[:, 1].max()
    # The cross is 160 high, the reference's mask 80: its middle line reaches nearly from end to end of that.
    assert 15 < low < 32
    assert 88 < high < 105
    assert np.ptp(seen[:, 0]) > 40


def test_a_part_map_of_the_video_is_coloured_and_moved_with_it(command, made, tmp_path):
    """DensePose's numbers, without any detector; and the same as an animation's motion."""
    parts = np.zeros((6, 240, 200), np.uint8)
    for k in range(24):
        parts[:, 30 + 7 * k : 36 + 7 * k, 80:120] = k + 1
    write_video(tmp_path / "parts.mkv", np.repeat(10 * parts[..., None], 3, -1), **RGB)
    given = {"densepose": tmp_path / "parts.mkv", "align": "none", "models": None}
    assert prepare.main(command(system="magicanimate", **given)) == 0
    found = part_ids(read_video(tmp_path / "out" / "densepose.mp4")[0])
    rows = np.rint((np.array([33 + 7 * k for k in range(24)])) * 128 / 240).astype(int)
    chex.assert_trees_all_equal(found[0, rows, 48], np.arange(1, 25, dtype=np.uint8))
    assert (found[:, :, :20] == 0).all()
    write_video(tmp_path / "short.mkv", np.repeat(10 * parts[:4, ..., None], 3, -1), **RGB)
    assert prepare.main(command(system="magicanimate", **given | {"densepose": tmp_path / "short.mkv"})) == 2


def test_a_part_map_in_numbers_animates(made, tiny, tmp_path):
    parts = np.zeros((4, 128, 96), np.uint8)
    for k in range(24):
        parts[:, 4 + 5 * k : 8 + 5 * k, 30:60] = k + 1
    write_video(tmp_path / "parts.mkv", np.repeat(parts[..., None], 3, -1), **RGB)
    words = ["--reference", made[0] / "reference.png", "--motion", tmp_path / "parts.mkv", "--weights", tiny[0]]
    assert animate.main(list(map(str, [*words, "--out", tmp_path / "out.mp4"]))) == 0
    assert tiny[1][0]["shape"] == (4, 72, 56, 3)


def test_an_ordinary_video_animates_with_one_command(command, made, tiny, tmp_path, capsys):
    """The same parts drive the system as those that the preparing program writes."""
    folder = made[0]
    words = ["--reference", folder / "reference.png", "--motion", folder / "dance.mp4", "--weights", tiny[0]]
    words += ["--models", folder / "models", "--out", tmp_path / "made" / "out.mp4", "--size", "96x128"]
    assert animate.main(list(map(str, words))) == 0
    assert tiny[1][0]["shape"] == (6, 128, 96, 3)
    result, fps = read_video(tmp_path / "made" / "out.mp4")
    assert (len(result), fps) == (6, 12)
    assert sorted(path.name for path in (tmp_path / "made").iterdir()) == ["out.mp4", "out.png"]


def refusal(capsys, words, program=prepare):
    assert program.main(list(map(str, words))) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    return lines[-1]


def test_a_missing_model_is_named_with_its_task_and_where_it_was_looked_for(command, made, tmp_path, capsys, tiny):
    (tmp_path / "empty").mkdir()
    said = refusal(capsys, command(models=tmp_path / "empty"))
    assert "yolox" in said
    assert "find people" in said
    assert str(tmp_path / "empty") in said
    assert not (tmp_path / "out").exists()
    (tmp_path / "some").mkdir()
    os.link(made[0] / "models" / "yolox_m_8xb8-300e_humanart.onnx", tmp_path / "some" / "yolox_m.onnx")
    assert "dw-ll_ucoco_384.onnx" in refusal(capsys, command(models=tmp_path / "some"))
    words = ["--reference", made[0] / "reference.png", "--motion", made[0] / "dance.mp4", "--weights", tiny[0]]
    said = refusal(capsys, [*words, "--out", tmp_path / "out.mp4"], animate)
    assert re.search("is not a DensePose video.*can be prepared.*yolox", said)
    assert not (tmp_path / "out.mp4").exists()


def test_nobody_in_the_video(command, tmp_path, capsys):
    write_video(tmp_path / "empty.mp4", np.full((4, 64, 64, 3), 60, np.uint8), **FINE)
    assert "shows no person" in refusal(capsys, command(video=tmp_path / "empty.mp4"))
    assert not (tmp_path / "out").exists()


def test_of_two_people_the_larger_is_taken_and_it_is_said(command, made, tmp_path, capsys):
    frames, points = detectors.video(size=(240, 400))
    for k, picture in enumerate(frames):
        detectors.paint(picture, 300 - 2 * k, 90, 100)
    write_video(tmp_path / "two.mp4", frames, 12, **FINE)
    models = detectors.models(tmp_path / "two", people=2)
    # The small reference has one person.
    assert prepare.main(command(video=tmp_path / "two.mp4", models=models, align="none")) == 0
    found = openpose.read(tmp_path / "out" / "openpose").body
    chex.assert_shape(found, (6, 1, 18, 3))
    expected = body(points) * 128 / 240 + [(96 - 400 * 128 / 240) / 2, 0]
    assert np.abs(found[:, 0, :, :2] - expected).max() < 1.5
    assert "shows up to 2 people: the largest is taken" in capsys.readouterr().err


def test_nobody_in_the_reference(command, tmp_path, capsys):
    write_png(tmp_path / "empty.png", np.full((64, 64, 3), 60, np.uint8))
    assert re.search(
        "reference .*empty.png shows no person", refusal(capsys, command(reference=tmp_path / "empty.png"))
    )


def test_a_cut_is_named_with_its_frame(command, tmp_path, capsys):
    frames, _ = detectors.video(8)
    frames[5:] = 255 - frames[5:]
    write_video(tmp_path / "cut.mp4", frames, **FINE)
    said = refusal(capsys, command(video=tmp_path / "cut.mp4"))
    assert "cut at frame 5" in said
    assert prepare.main(command(video=tmp_path / "cut.mp4", frames=5)) == 0


def test_masks_of_another_video(command, tmp_path, capsys):
    write_video(tmp_path / "mask.mp4", np.zeros((4, 240, 200, 3), np.uint8), **FINE)
    said = refusal(capsys, command(mask=tmp_path / "mask.mp4"))
    assert "has 4 frames" in said
    assert "has 6 of 200x240" in said


def test_no_input_and_no_other_folder_is_replaced(command, made, tmp_path, capsys):
    assert refusal(capsys, command(out=made[0] / "models"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    assert "letter.txt" in refusal(capsys, command(out=tmp_path / "mine"))
    assert refusal(capsys, command(out=made[0]))
    assert (made[0] / "dance.mp4").is_file()
    assert (made[0] / "models" / "dw-ll_ucoco_384.onnx").is_file()


def test_real_networks_find_a_real_person(tmp_path):
    """With DWPose's or RTMW's own files, somebody's video and photograph, and the weights that ship: prepared, and
    animated with one command."""
    video, photo = (os.environ.get(f"JAXANIM_TEST_{name}") for name in ("VIDEO", "PHOTO"))
    if not video or not photo:
        pytest.skip("JAXANIM_TEST_VIDEO and JAXANIM_TEST_PHOTO name no video and no photograph of a person")
    try:
        for file in (model_files.PEOPLE, model_files.POSES):
            model_files.find(file)
    except model_files.MissingModel as error:
        pytest.skip(str(error))
    words = ["--video", video, "--reference", photo, "--frames", "8", "--system", "magicpose"]
    assert prepare.main([*words, "--out", str(tmp_path / "out")]) == 0
    found = openpose.read(tmp_path / "out" / "openpose").body
    assert (found[..., 2] > 0).mean() > 0.4
    words = ["--system", "magicpose", "--motion", video, "--reference", photo, "--frames", "2", "--size", "64x64"]
    assert animate.main([*words, "--steps", "1", "--out", str(tmp_path / "out.mp4")]) == 0
    result, _ = read_video(tmp_path / "out.mp4")
    assert result.std() > 10
