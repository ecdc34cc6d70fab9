"""Videos as their player shows them: shape of pixels, turns, times, and the containers that people have."""

import struct
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from jaxanim.media.film import open_images, open_video, turn
from jaxanim.media.images import resize_and_crop, write_png
from jaxanim.media.timing import timing
from jaxanim.media.video import read_video, write_video


def levels(count, height=32, width=48):
    """Grey frames that say their number: frame i is of level 10 i + 20."""
    return np.stack([np.full((height, width, 3), 10 * i + 20, np.uint8) for i in range(count)])


def numbers(frames):
    return np.rint((frames.mean((1, 2, 3)) - 20) / 10).astype(int).tolist()


def encode(path, frames, times=None, rate=25, codec="libx264", options=None, square=None, setup=None, **more):
    """A video with time stamps (seconds) of choice."""
    with av.open(path, "w", **more) as container:
        begin = setup(container) if setup else None
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "yuv420p"
        stream.options = options or ({"crf": "1"} if codec == "libx264" else {})
        stream.codec_context.time_base = Fraction(1, 1000) if times is not None else Fraction(1, rate)
        if begin:
            begin()
        if square:
            stream.codec_context.sample_aspect_ratio = square
        for i, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            frame.pts = i if times is None else round(1000 * times[i])
            frame.time_base = stream.codec_context.time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def test_pixels_twice_as_wide(tmp_path):
    half = np.zeros((3, 64, 32, 3), np.uint8)
    half[:, 16:48, 8:24] = 220  # a square, once its pixels are
    for square, shape in ((Fraction(2), (64, 64)), (Fraction(1, 2), (64, 16)), (Fraction(16, 11), (64, 47))):
        film = open_video(encode(tmp_path / "a.mp4", half, square=square))
        assert film.size == shape
        rows, columns = (film.read()[1, ..., 0] > 110).nonzero()
        assert np.ptp(rows) + 1 == 32
        assert abs(np.ptp(columns) + 1 - 16 * square) <= 1


def test_turns_and_mirrors():
    picture = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    one = 1 << 16
    for (a, b, c, d), expected in {
        (one, 0, 0, one): picture,
        (-one, 0, 0, one): picture[:, ::-1],
        (one, 0, 0, -one): picture[::-1],
        (-one, 0, 0, -one): picture[::-1, ::-1],
        (0, one, -one, 0): np.rot90(picture, -1),  # a phone held upright: shown turned clockwise
        (0, -one, one, 0): np.rot90(picture, 1),
        (0, one, one, 0): picture.swapaxes(0, 1),
        (0, -one, -one, 0): np.rot90(picture, 2).swapaxes(0, 1),
    }.items():
        np.testing.assert_array_equal(turn(picture, (a, b, 0, c, d, 0, 0, 0, 1 << 30)), expected)


MATRICES = [(0, 1, -1, 0), (0, -1, 1, 0), (-1, 0, 0, 1), (1, 0, 0, -1), (0, 1, 1, 0), (-1, 0, 0, -1)]


@pytest.mark.parametrize("matrix", MATRICES)
def test_the_display_matrix_of_a_file_is_followed(tmp_path, matrix):
    """(x, y) goes to (a x + c y, b x + d y): checked on the corner that is bright."""
    picture = np.full((3, 32, 64, 3), 20, np.uint8)
    picture[:, :16, :16] = 240
    write_video(tmp_path / "a.mp4", picture, crf=1)
    content = bytearray((tmp_path / "a.mp4").read_bytes())
    at = content.index(b"tkhd") + 44
    a, b, c, d = (value << 16 for value in matrix)
    content[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    (tmp_path / "a.mp4").write_bytes(content)
    film = open_video(tmp_path / "a.mp4")
    assert film.size == ((32, 64) if matrix[0] else (64, 32))
    x, y = 8 - 32, 8 - 16  # the bright corner's middle, from the picture's
    a, b, c, d = matrix
    height, width = film.size
    column, row = width // 2 + a * x + c * y, height // 2 + b * x + d * y
    shown = film.read()[1, ..., 0].astype(float)
    assert shown[row - 4 : row + 4, column - 4 : column + 4].mean() > 200
    assert shown.mean() < 90


def test_recorded_in_a_browser(tmp_path):
    """Time stamps in milliseconds, and a header whose rate is wrong."""
    times = [round(i / 15, 3) for i in range(24)]
    frames, fps = read_video(encode(tmp_path / "a.webm", levels(20, 32, 32)[:20], times[:20], 200, "libvpx"))
    assert numbers(frames) == list(range(20))
    assert fps == 15


def test_a_variable_rate_is_shown_at_a_constant_one(tmp_path):
    # Ten frames in the first half second, then one that stands for a second and a half.
    times = [0.05 * i for i in range(10)] + [0.5, 2.0]
    path = encode(tmp_path / "a.mp4", levels(12), times, 20)
    film = open_video(path, wanted=10.0)
    assert film.fps == 10
    shown = numbers(film.read())
    assert shown[:5] == [0, 2, 4, 6, 8]
    assert shown[5:20] == [10] * 15
    assert shown[20] == 11
    assert len(film) in (21, 22)
    assert numbers(open_video(path, 7, wanted=10.0).read()) == [0, 2, 4, 6, 8, 10, 10]
    own = open_video(path)
    assert len(own) / own.fps == pytest.approx(2.0 + 0.05, abs=0.4)


@pytest.mark.parametrize(("times", "last", "declared", "wanted", "expected"), [
    ([0, 0.04, 0.08], 0.04, Fraction(25), None, (25, [0, 1, 2])),
    ([5, 5.04, 5.08], None, Fraction(25), 60.0, (25, [0, 1, 2])),
    ([0, 0.033, 0.067, 0.1], None, None, None, (30, [0, 1, 2, 3])),
    ([0, 0.035, 0.07, 0.1, 0.135], None, Fraction(200), None, (30, [0, 1, 2, 3, 4])),
    ([0, 0.035, 0.065, 0.095, 0.13], None, Fraction(200), None, (30, [0, 1, 2, 3, 4])),
    ([0, 0.08, 0.16, 0.24], None, None, None, (12.5, [0, 1, 2, 3])),
    ([None, None, None], None, Fraction(12), None, (12, [0, 1, 2])),
    ([0.3], None, None, None, (25, [0])),
    ([0, 0, 0], 0.1, Fraction(10), None, (10, [0, 1, 2])),
    ([0, 0.2, 0.1], 0.1, Fraction(10), None, (10, [0, 1, 2])),
    ([0, 0.1, 0.5], 0.1, None, 10.0, (10, [0, 1, 1, 1, 1, 2])),
    ([0, 0.05, 0.1, 0.15, 0.6], 0.2, None, 10.0, (10, [0, 2, 3, 3, 3, 3, 4, 4])),
])  # fmt: skip
def test_rates_from_time_stamps(times, last, declared, wanted, expected):
    times = [None if time is None else float(time) for time in times]
    fps, shown = timing(times, last, declared, wanted, 0.001)
    assert fps == pytest.approx(expected[0], rel=1e-6)
    assert shown.tolist() == expected[1]


def test_ntsc_stays_ntsc(tmp_path):
    rate = Fraction(30000, 1001)
    write_video(tmp_path / "a.mp4", levels(20), fps=float(rate))
    assert open_video(tmp_path / "a.mp4").fps == pytest.approx(29.97, abs=1e-3)


def test_frames_are_brought_to_a_size_one_by_one(tmp_path):
    frames = cv2.resize(np.random.default_rng(0).integers(0, 256, (6, 5, 12), dtype=np.uint8), (90, 60))
    video = frames.reshape(60, 90, 4, 3).transpose(2, 0, 1, 3).copy()
    write_video(tmp_path / "a.mp4", video, crf=0, pixel_format="rgb24")
    np.testing.assert_array_equal(
        open_video(tmp_path / "a.mp4").read(3, (40, 40)), resize_and_crop(video, (40, 40))[:3]
    )
    for i, frame in enumerate(video):
        write_png(tmp_path / "images" / f"{i}.png", frame)
    film = open_images(tmp_path, sorted((tmp_path / "images").iterdir()), (0, 0, 0))
    assert (len(film), film.size, film.fps) == (4, (60, 90), None)
    np.testing.assert_array_equal(film.read(size=(40, 40)), resize_and_crop(video, (40, 40)))


def with_sound(container):
    stream = container.add_stream("aac", rate=16000)

    def begin():
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())

    return begin


@pytest.mark.parametrize(("name", "how"), [
    ("audio first.mp4", {"setup": with_sound}),
    ("fragments.mp4", {"options": {"crf": "1"}, "container_options": {"movflags": "frag_keyframe+empty_moov"}}),
    ("vp9 的.webm", {"codec": "libvpx-vp9"}),
    ("old movie.avi", {"codec": "mpeg4", "options": {"qscale": "1"}}),
    ("av1.mkv", {"codec": "libsvtav1", "options": {"preset": "12", "crf": "20"}}),
    ("Танец été.mov", {}),
    ("stream.ts", {}),
])  # fmt: skip
def test_containers_that_people_have(tmp_path, name, how):
    frames = levels(8, 64, 64)
    film = open_video(encode(tmp_path / name, frames, **how))
    assert (len(film), film.size, film.fps) == (8, (64, 64), 25)
    assert numbers(film.read()) == list(range(8))


def test_ten_bits(tmp_path):
    path = tmp_path / "a.mp4"
    with av.open(path, "w") as container:
        stream = container.add_stream("libx265", rate=25)
        stream.height, stream.width, stream.pix_fmt = 64, 64, "yuv420p10le"
        stream.options = {"x265-params": "log-level=none:crf=4"}
        for pixels in levels(5, 64, 64):
            container.mux(
                stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv420p10le"))
            )
        container.mux(stream.encode())
    assert numbers(read_video(path)[0]) == list(range(5))


def test_a_gif_is_a_video(tmp_path):
    from PIL import Image

    first, *others = (Image.fromarray(frame) for frame in levels(6))
    first.save(tmp_path / "a.gif", save_all=True, append_images=others, duration=100, loop=0)
    film = open_video(tmp_path / "a.gif")
    assert (film.fps, numbers(film.read())) == (10, list(range(6)))


def test_a_cover_picture_is_no_video(tmp_path):
    def cover(container):
        stream = container.add_stream("mjpeg", rate=1)
        stream.height, stream.width, stream.pix_fmt = 16, 16, "yuvj420p"
        stream.disposition = av.stream.Disposition.attached_pic

        def begin():
            frame = av.VideoFrame.from_ndarray(np.full((16, 16, 3), 250, np.uint8), format="rgb24")
            container.mux(stream.encode(frame.reformat(format="yuvj420p")))
            container.mux(stream.encode())

        return begin

    film = open_video(encode(tmp_path / "a.mp4", levels(4), setup=cover))
    assert film.size == (32, 48)
    assert numbers(film.read()) == list(range(4))
