"""Inputs that people have, through the program: the sheet of each is that of a plain input that shows the same."""

import json
import tracemalloc
from fractions import Fraction

import numpy as np
import pytest

from jaxanim.cues import openpose
from jaxanim.cues.driving import DENSEPOSE, OPENPOSE
from jaxanim.media.images import read_image, write_png
from jaxanim.media.video import read_video, write_video
from jaxanim.puppets import puppet_clip
from sample.animate import main
from sample.driving import labels_of, open_motion
from tests.media.test_film import encode
from tests.media.test_keypoints import BODY


@pytest.fixture(scope="module")
def clip():
    return puppet_clip(950001, 12, (64, 48))


@pytest.fixture(scope="module")
def plain(clip, tmp_path_factory):
    """Keypoints with hands and face, as the puppet program writes them."""
    folder = tmp_path_factory.mktemp("plain")
    openpose.write(folder, clip.keypoints)
    return folder


@pytest.fixture
def sheet(tiny, tmp_path, clip):
    """A function from a motion to the pixels of the sheet, on which all 12 frames of motion and result are."""
    write_png(tmp_path / "reference.png", clip.reference)

    def run(motion, *more, code=0):
        out = tmp_path / "out" / "a.mp4"
        arguments = [
            "--reference",
            tmp_path / "reference.png",
            "--motion",
            motion,
            "--weights",
            tiny[0],
            "--out",
            out,
        ]
        assert main([*map(str, arguments), "--columns", "12", *more]) == code
        return read_image(out.with_suffix(".png"))

    return run


def changed(plain, folder, change, name="{:05}.json"):
    """A copy of a motion with change(frame, content) made to every file."""
    folder.mkdir()
    for i, path in enumerate(sorted(plain.glob("*.json"))):
        content = change(i, json.loads(path.read_text()))
        (folder / name.format(i)).write_text(json.dumps(content))
    return folder


def scaled(content, by, fields=("pose", "face", "hand_left", "hand_right")):
    for person in content["people"]:
        for name in fields:
            points = np.array(person[f"{name}_keypoints_2d"]).reshape(-1, 3) * [*by, 1]
            person[f"{name}_keypoints_2d"] = points.ravel().tolist()
    return content


def close(a, b):
    """The same but for points that rounding moves by a pixel."""
    assert a.shape == b.shape
    return (a != b).any(-1).mean() < 0.004


def test_numbered_without_zeros(sheet, clip, tmp_path):
    for i, frame in enumerate(clip.densepose):
        write_png(tmp_path / "padded" / f"frame_{i + 1:04}.png", frame)
        write_png(tmp_path / "bare" / f"frame_{i + 1}.png", frame)
    np.testing.assert_array_equal(sheet(tmp_path / "bare"), sheet(tmp_path / "padded"))


def test_keypoints_numbered_without_zeros(sheet, plain, tmp_path):
    bare = changed(plain, tmp_path / "bare", lambda i, content: content, "clip_{}_keypoints.json")
    np.testing.assert_array_equal(sheet(bare), sheet(plain))


def test_keypoints_0_to_1(sheet, plain, tmp_path):
    parts = changed(plain, tmp_path / "parts", lambda i, content: scaled(content, (1 / 48, 1 / 64)))
    assert close(sheet(parts), sheet(plain))


def test_keypoints_with_canvas(sheet, plain, tmp_path):
    def half(i, content):
        return scaled(content, (0.5, 0.5)) | {"canvas_width": 24, "canvas_height": 32}

    assert close(sheet(changed(plain, tmp_path / "half", half)), sheet(plain))


def test_keypoints_with_nan(sheet, plain, tmp_path):
    def spoil(value):
        def change(i, content):
            points = np.array(content["people"][0]["pose_keypoints_2d"])
            points[12:15] = value
            content["people"][0]["pose_keypoints_2d"] = points.tolist()
            return content

        return change

    nan = sheet(changed(plain, tmp_path / "nan", spoil([np.nan, np.nan, 1])))
    np.testing.assert_array_equal(nan, sheet(changed(plain, tmp_path / "none", spoil([0, 0, 0]))))


def test_face_of_56_points(sheet, plain, tmp_path):
    def cut(i, content):
        person = content["people"][0]
        person["face_keypoints_2d"] = person["face_keypoints_2d"][: 3 * 56]
        return content

    np.testing.assert_array_equal(sheet(changed(plain, tmp_path / "56", cut)), sheet(plain))


@pytest.mark.parametrize("order", [range(17), [0, 15, 14, 17, 16, 5, 2, 6, 3, 7, 4, 11, 8, 12, 9, 13, 10]])
def test_body_of_17_points(sheet, plain, tmp_path, order):
    def reorder(i, content):
        person = content["people"][0]
        points = np.array(person["pose_keypoints_2d"]).reshape(18, 3)
        points[1] = points[[2, 5]].mean(0)
        person["pose_keypoints_2d"] = points.ravel().tolist()
        return content

    def cut(i, content):
        person = reorder(i, content)["people"][0]
        points = np.array(person["pose_keypoints_2d"]).reshape(18, 3)[list(order)]
        person["pose_keypoints_2d"] = points.ravel().tolist()
        return content

    # The last of the 18 is an ear, which hardly moves the head.
    a, b = sheet(changed(plain, tmp_path / "17", cut)), sheet(changed(plain, tmp_path / "18", reorder))
    assert (a != b).any(-1).mean() < 0.02


def test_nobody_in_three_frames(sheet, plain, tmp_path, capsys):
    def without(i, content):
        return content | {"people": []} if i in (5, 6, 7) else content

    before, after = (json.loads((sorted(plain.iterdir())[i]).read_text())["people"][0] for i in (4, 8))

    def between(i, content):
        if i in (5, 6, 7):
            weight = (i - 4) / 4
            for name in [name for name in content["people"][0] if name.endswith("2d")]:
                a, b = (np.array(side[name], float).reshape(-1, 3) for side in (before, after))
                both = (a[:, 2:] > 0) & (b[:, 2:] > 0)
                content["people"][0][name] = (both * ((1 - weight) * a + weight * b)).ravel().tolist()
        return content

    folder = changed(plain, tmp_path / "nobody", without)
    filled = sheet(folder)
    assert f"motion {folder} misses the person in 3 of 12 frames: 3 interpolated" in capsys.readouterr().err
    assert close(filled, sheet(changed(plain, tmp_path / "between", between)))


def test_a_passer_by(sheet, plain, tmp_path, capsys):
    small = np.column_stack([np.array(BODY) * 0.15 + [1, 40], np.ones(18)])

    def joined(i, content):
        points = small + [0.4 * i, 0, 0]
        people = [{"pose_keypoints_2d": points.ravel().tolist()}, *content["people"]]
        return content | {"people": people[:: 1 if i % 2 else -1]}

    folder = changed(plain, tmp_path / "street", joined)
    np.testing.assert_array_equal(sheet(folder), sheet(plain))
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("motion")]
    assert told == [f"motion {folder} shows up to 2 people: the largest is taken, and followed from frame to frame"]


def test_all_frames_in_one(sheet, plain, tmp_path):
    frames = [json.loads(path.read_text()) for path in sorted(plain.iterdir())]
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "all.json").write_text(json.dumps(frames))
    expected = sheet(plain)
    np.testing.assert_array_equal(sheet(tmp_path / "one"), expected)
    np.testing.assert_array_equal(sheet(tmp_path / "one" / "all.json"), expected)
    people = changed(plain, tmp_path / "people", lambda i, content: content["people"])
    np.testing.assert_array_equal(sheet(people), expected)


def test_pixels_twice_as_wide(sheet, clip, tmp_path):
    write_video(tmp_path / "plain.mp4", clip.densepose, crf=1)
    narrow = clip.densepose[:, :, ::2]
    encode(tmp_path / "narrow.mp4", narrow, square=Fraction(2))
    apart = np.abs(sheet(tmp_path / "narrow.mp4").astype(int) - sheet(tmp_path / "plain.mp4")).max(-1)
    assert (apart > 60).mean() < 0.03
    encode(tmp_path / "squashed.mp4", narrow)
    squashed = np.abs(sheet(tmp_path / "squashed.mp4").astype(int) - sheet(tmp_path / "plain.mp4")).max(-1)
    assert (squashed > 60).mean() > 0.06


def test_recorded_in_a_browser(sheet, clip, tmp_path):
    times = [round(i / 15, 3) for i in range(12)]
    encode(tmp_path / "recorded.mkv", clip.densepose, times, 200)
    sheet(tmp_path / "recorded.mkv")
    frames, fps = read_video(tmp_path / "out" / "a.mp4")
    assert (len(frames), fps) == (12, 15)


def test_a_variable_rate_at_the_outputs(sheet, clip, tmp_path):
    encode(tmp_path / "variable.mp4", clip.densepose, [0.1 * i for i in range(11)] + [3.0], 10)
    sheet(tmp_path / "variable.mp4", "--fps", "10")
    frames, fps = read_video(tmp_path / "out" / "a.mp4")
    assert fps == 10
    assert len(frames) in (31, 32)


def test_drawings_with_a_transparent_background(tmp_path, clip):
    drawn = openpose.draw(clip.keypoints, (64, 48))
    for i, frame in enumerate(drawn):
        write_png(tmp_path / "clear" / f"{i}.png", np.dstack([frame, 255 * frame.any(-1).astype(np.uint8)]))
    opened = open_motion(tmp_path / "clear", (OPENPOSE,))
    np.testing.assert_array_equal(
        labels_of((OPENPOSE,), opened, 12, (64, 48), (64, 48)).pictures["openpose"], drawn
    )


def test_a_motion_is_in_memory_once(tmp_path):
    """Under 3 bytes a pixel of the output, and some frames of the input."""
    frames = np.zeros((100, 256, 256, 3), np.uint8) + np.array([68, 1, 84], np.uint8)
    frames[:, 64:192, 96:160] = [33, 144, 140]
    write_video(tmp_path / "a.mp4", frames)
    del frames
    tracemalloc.start()
    try:
        opened = open_motion(tmp_path / "a.mp4", (DENSEPOSE,))
        labels = labels_of((DENSEPOSE,), opened, 100, (128, 128), (128, 128))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert labels.pictures["densepose"].shape == (100, 128, 128, 3)
    assert peak < 3 * 100 * 128 * 128 + 16 * 256 * 256 * 3
