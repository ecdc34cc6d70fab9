import json

import cv2
import numpy as np
import pytest

from jaxanim.errors import InputError
from jaxanim.media.images import write_png
from jaxanim.media.video import read_motion, read_video, write_video


def clip(frames=12, height=48, width=64, seed=0):
    """A smooth colourful picture, too mild to be clipped, that glides to the left."""
    coarse = np.random.default_rng(seed).integers(64, 192, (3, 4, 3), dtype=np.uint8)
    picture = cv2.resize(coarse, (width + 2 * frames, height), interpolation=cv2.INTER_CUBIC)
    return np.stack([picture[:, 2 * i : 2 * i + width] for i in range(frames)])


def test_rgb_is_lossless(tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (5, 33, 47, 3), dtype=np.uint8)
    write_video(tmp_path / "a.mp4", frames, fps=12.5, crf=0, pixel_format="rgb24")
    read, fps = read_video(tmp_path / "a.mp4")
    np.testing.assert_array_equal(read, frames)
    assert fps == 12.5


@pytest.mark.parametrize(("pixel_format", "mean_error"), [("yuv420p", 0.7), ("yuv444p", 0.6)])
def test_colours_survive(tmp_path, pixel_format, mean_error):
    """Little more than the rounding of 8-bit YUV; ffmpeg's default conversion errs by 1.3 and darkens."""
    frames = clip(height=96, width=128)
    write_video(tmp_path / "a.mp4", frames, crf=0, pixel_format=pixel_format)
    difference = read_video(tmp_path / "a.mp4")[0].astype(float) - frames
    assert np.abs(difference).mean() < mean_error
    assert np.abs(difference.mean(axis=(0, 1, 2))).max() < 0.25


def test_colours_as_opencv_reads_them(tmp_path):
    """OpenCV honours the declared BT.709 too; a wrong or undeclared matrix shifts greens by tens."""
    frames = np.zeros((4, 64, 64, 3), np.uint8)
    frames[:, :32], frames[:, 32:] = (20, 200, 40), (220, 30, 60)
    write_video(tmp_path / "a.mp4", frames, crf=4)
    _, bgr = cv2.VideoCapture(str(tmp_path / "a.mp4")).read()
    for rows in (slice(8, 24), slice(40, 56)):
        np.testing.assert_allclose(bgr[rows, 16:48, ::-1], frames[0, rows, 16:48], atol=4)
    np.testing.assert_allclose(read_video(tmp_path / "a.mp4")[0][:, 8:24], frames[:, 8:24], atol=2)


def test_odd_sizes_become_even_by_repeating(tmp_path):
    frames = clip(3, 35, 51)
    write_video(tmp_path / "a.mp4", frames, crf=1)
    read = read_video(tmp_path / "a.mp4")[0]
    assert read.shape == (3, 36, 52, 3)
    assert np.abs(read[:, -1, :51].astype(float) - frames[:, -1]).mean() < 3


def test_max_frames(tmp_path):
    write_video(tmp_path / "a.mp4", clip(9))
    assert len(read_video(tmp_path / "a.mp4", max_frames=4)[0]) == 4


def test_bad_videos_are_named(tmp_path):
    good = tmp_path / "good.mp4"
    write_video(good, clip(30))
    content = good.read_bytes()
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("not a video at all, but long enough to probe" * 20)
    for share in (0.3, 0.6, 0.9):
        (tmp_path / f"cut{share}.mp4").write_bytes(content[: int(len(content) * share)])
    (tmp_path / "sound.wav").write_bytes(b"RIFF\x64\x08\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00@\x1f\x00\x00"
                                         b"\x80>\x00\x00\x02\x00\x10\x00data\x40\x08\x00\x00" + b"\0" * 2112)  # fmt: skip
    for name, reason in {
        "missing.mp4": "does not exist", ".": "is a folder", "empty.mp4": "is empty", "text.mp4": "corrupt",
        "cut0.3.mp4": "corrupt|cut short", "cut0.6.mp4": "corrupt|cut short", "cut0.9.mp4": "corrupt|cut short",
        "sound.wav": "no video stream",
    }.items():  # fmt: skip
        with pytest.raises(InputError, match=reason) as raised:
            read_video(tmp_path / name)
        assert str(tmp_path) in str(raised.value)


def test_what_cannot_be_written(tmp_path):
    for frames, name, arguments, reason in [
        (clip()[:0], "a.mp4", {}, "at least one frame"),
        (clip(), "a.txt", {}, "must be named"),
        (clip(), "a.mp4", {"pixel_format": "rgb48"}, "pixel_format"),
        (clip(), "a.mp4", {"fps": 0}, "fps"),
    ]:
        with pytest.raises(InputError, match=reason):
            write_video(tmp_path / name, frames, **arguments)
    assert list(tmp_path.iterdir()) == []


def people(*points):
    return {
        "version": 1.3,
        "people": [{"pose_keypoints_2d": np.asarray(p, float).ravel().tolist()} for p in points],
    }


def test_motion_of_every_form(tmp_path):
    frames = clip(4)
    write_video(tmp_path / "a.mp4", frames, fps=15)
    motion = read_motion(tmp_path / "a.mp4")
    assert (motion.num_frames, motion.fps, motion.keypoints) == (4, 15, None)

    for i in (10, 2, 1):  # in order of name, however they were written
        write_png(tmp_path / "images" / f"{i:03d}.png", np.full((8, 6, 3), i, np.uint8))
    assert read_motion(tmp_path / "images").frames.read()[:, 0, 0, 0].tolist() == [1, 2, 10]
    assert read_motion(tmp_path / "images", max_frames=2).num_frames == 2

    (tmp_path / "poses").mkdir()
    points = np.arange(54.0).reshape(18, 3)
    points[:, 2] = 0.5
    for i, content in enumerate([people(points), people(), people(points + 1, points + 2)]):
        (tmp_path / "poses" / f"p_{i:04d}_keypoints.json").write_text(json.dumps(content))
    motion = read_motion(tmp_path / "poses")
    assert (motion.num_frames, motion.canvas, motion.fps) == (3, None, None)
    body = motion.keypoints["pose_keypoints_2d"]
    assert body.shape == (3, 1, 18, 3)
    np.testing.assert_array_equal(body[0, 0], points.astype(np.float32))


def test_bad_motions_are_named(tmp_path):
    folder = tmp_path / "poses"
    folder.mkdir()
    cases = {
        "no person in any": json.dumps(people()),
        "not an OpenPose": json.dumps({"annotations": []}),
        "not an OpenPose JSON file: JSON": "{broken",
        "pose_keypoints_2d has 2 numbers; it should have 17 or 18 or 25 points": json.dumps(
            {"people": [{"pose_keypoints_2d": [1, 2]}]}
        ),
        "no body": json.dumps({"people": [{"face_keypoints_2d": [1, 2, 1] * 70}]}),
    }
    for reason, text in cases.items():
        (folder / "0.json").write_text(text)
        with pytest.raises(InputError, match=reason) as raised:
            read_motion(folder)
        assert str(folder) in str(raised.value)
    write_png(folder / "0.png", np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(InputError, match="both images and JSON"):
        read_motion(folder)
    (tmp_path / "nothing").mkdir()
    with pytest.raises(InputError, match="no images and no OpenPose"):
        read_motion(tmp_path / "nothing")
    write_png(tmp_path / "sizes" / "0.png", np.zeros((4, 4, 3), np.uint8))
    write_png(tmp_path / "sizes" / "1.png", np.zeros((4, 5, 3), np.uint8))
    with pytest.raises(InputError, match=r"1\.png has another size"):
        read_motion(tmp_path / "sizes")


def test_equal_frames_are_equal_files(tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (9, 80, 80, 3)).astype(np.uint8)
    path, contents = tmp_path / "a.mp4", set()
    for _ in range(80):
        write_video(path, frames)
        contents.add(path.read_bytes())
        read_video(path)  # leaves its frames in memory that was freed
    assert len(contents) == 1
