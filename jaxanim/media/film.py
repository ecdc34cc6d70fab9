"""Moving pictures that stay in their files: read, turned upright and brought to a size frame by frame."""

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from av.sidedata.sidedata import Type
from av.stream import Disposition
from av.video.reformatter import ColorRange, Colorspace, Interpolation
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError

from jaxanim.errors import InputError
from jaxanim.media.files import check_file
from jaxanim.media.images import read_image, resize_and_crop
from jaxanim.media.timing import timing

Picture = UInt8[np.ndarray, "_height _width 3"]
Frames = UInt8[np.ndarray, "frames height width 3"]

# The default conversion drops low bits and repeats chroma: on smooth pictures it errs by 1.3 to 4.7 grey
# levels in the mean where this one errs by 0.4 to 0.5.
CONVERSION = Interpolation.BICUBIC | Interpolation.FULL_CHR_H_INT | Interpolation.ACCURATE_RND


@dataclass(frozen=True)
class Film:
    """Frames in a file or folder, one of which is in memory at a time.

    Attributes:
      path: to be named.
      size: (height, width) as they are shown.
      fps: frames a second, where it is known.
      open: a new pass over all frames as RGB, each repeated or left out as the rate asks.
    """

    path: Path
    size: tuple[int, int]
    fps: float | None
    count: int
    open: Callable[[], Iterator[Picture]]

    def __len__(self) -> int:
        return self.count

    def read(self, frames: int | None = None, size: tuple[int, int] | None = None) -> Frames:
        """The first frames, all by default; with a `size` each resized to cover it and cut to its centre."""
        count = self.count if frames is None else min(frames, self.count)
        out = np.empty((count, *(size or self.size), 3), np.uint8)
        done = 0
        for picture in self.open():
            if picture.shape[:2] != self.size:
                raise InputError(f"video {self.path} changes its frame size part way, which is not supported")
            out[done] = picture if size is None else resize_and_crop(picture, size)
            done += 1
            if done == count:
                return out
        raise InputError(f"video {self.path} cannot be read twice: {done} of its {count} frames are there")


def open_video(path: Path, max_frames: int | None = None, wanted: float | None = None) -> Film:
    """The first video stream of a file, as a player shows it: pixels square, upright, in time.

    The file is decoded once, to learn its time stamps and whether it is whole. `wanted` is the rate at which a
    video of variable rate is to be shown (`jaxanim.media.timing`).

    Raises InputError if the file is missing, empty, corrupt, or has no video in it.
    """
    form: _Form | None = None
    declared, precision = None, 0.0
    times: list[float | None] = []
    last = None
    for frame, stream in decode(path, max_frames is None):
        if form is None:
            form = _Form.of(frame, stream)
            size = form.upright(frame).shape[:2]
            declared, precision = stream.average_rate, float(stream.time_base)
        times.append(None if frame.time is None else float(frame.time))
        last = float(frame.duration * frame.time_base) if frame.duration else None
        if max_frames is not None and len(times) > max_frames and _long_enough(times, max_frames, wanted):
            break
    fps, shown = timing(times, last, declared, wanted, precision)
    shown = shown[:max_frames]

    def frames() -> Iterator[Picture]:
        wants = iter(shown)
        want = next(wants)
        for index, (frame, _) in enumerate(decode(path, False)):
            if index == want:
                picture = form.upright(frame)
                while index == want:
                    yield picture
                    want = next(wants, None)
                if want is None:
                    return

    return Film(path, size, fps, len(shown), frames)


def _long_enough(times: Sequence[float | None], frames: int, wanted: float | None) -> bool:
    """Whether the frames so far will do for `frames` at the wanted rate."""
    known = [time for time in times if time is not None]
    return wanted is None or len(known) < 2 or (known[-1] - known[0]) * wanted >= frames


def decode(path: Path, whole: bool) -> Iterator[tuple[av.VideoFrame, av.VideoStream]]:
    """Every frame of the first video stream; with `whole`, InputError where packets that are announced lack."""
    check_file(path, "video")
    packets = frames = 0
    try:
        with av.open(path) as container:
            if not container.streams.video:
                raise InputError(f"video {path} has no video stream in it")
            # A cover picture is a stream of one frame.
            moving = [one for one in container.streams.video if not one.disposition & Disposition.attached_pic]
            stream = (moving or container.streams.video)[0]
            stream.thread_type = "AUTO"
            # Every thread holds frames of its own.
            stream.codec_context.thread_count = 4
            for packet in container.demux(stream):
                packets += packet.size > 0
                for frame in packet.decode():
                    frames += 1
                    yield frame, stream
            if whole and packets < stream.frames:
                raise InputError(f"video {path} is cut short: {packets} of its {stream.frames} frames are there")
    except (av.FFmpegError, OSError, UnicodeDecodeError) as error:
        raise InputError(f"video {path} cannot be read, it is corrupt or not a video: {error}") from error
    if not frames:
        raise InputError(f"video {path} has no frames in it")


@dataclass(frozen=True)
class _Form:
    """How the frames of a stream are shown: the aspect ratio of a pixel, and the display matrix."""

    square: Fraction
    matrix: Sequence[int] | None

    @classmethod
    def of(cls, frame: av.VideoFrame, stream: av.VideoStream) -> "_Form":
        # Asked of one frame only: one whose side data were looked at stays in memory until garbage is collected.
        data = frame.side_data.get(Type.DISPLAYMATRIX)
        matrix = None if data is None else struct.unpack("=9i", bytes(data)[:36])
        return cls(Fraction(stream.sample_aspect_ratio or 1), matrix)

    def upright(self, frame: av.VideoFrame) -> Picture:
        """As RGB, the pixels made square, turned and mirrored."""
        pixels = to_rgb(frame)
        if self.square != 1:
            height, width = pixels.shape[:2]
            wide = (max(1, round(width * self.square)), height)
            pixels = cv2.resize(pixels, wide, interpolation=cv2.INTER_CUBIC)
        return pixels if self.matrix is None else turn(pixels, self.matrix)


def turn(pixels: Picture, matrix: Sequence[int]) -> Picture:
    """Pixels as a display matrix shows them: (x, y) goes to (a x + c y, b x + d y), in quarter turns and mirrored.

    `matrix` is a, b, _, c, d, ... as files hold it.
    """
    a, b, c, d = matrix[0], matrix[1], matrix[3], matrix[4]
    if abs(b) > abs(a):
        pixels, across, down = pixels.swapaxes(0, 1), c, b
    else:
        across, down = a, d
    return np.ascontiguousarray(pixels[:: -1 if down < 0 else 1, :: -1 if across < 0 else 1])


def to_rgb(frame: av.VideoFrame) -> Picture:
    """By the colour matrix and range that the file declares; without, by the usual convention: BT.709 from 720
    lines on and BT.601 below, limited range."""
    if frame.format.name not in ("rgb24", "gbrp", "bgr24", "rgba", "bgra", "gray", "pal8"):
        declared = {1: Colorspace.ITU709, 4: Colorspace.FCC, 5: Colorspace.ITU601, 6: Colorspace.ITU601,
                    7: Colorspace.SMPTE240M, 9: Colorspace.BT2020, 10: Colorspace.BT2020}  # fmt: skip
        usual = Colorspace.ITU709 if frame.height >= 720 else Colorspace.ITU601
        full_range = frame.color_range == ColorRange.JPEG or frame.format.name.startswith("yuvj")
        frame = frame.reformat(
            format="rgb24",
            src_colorspace=declared.get(int(frame.colorspace), usual),
            dst_colorspace=Colorspace.ITU601,
            src_color_range=ColorRange.JPEG if full_range else ColorRange.MPEG,
            dst_color_range=ColorRange.JPEG,
            interpolation=CONVERSION,
        )
    return frame.to_ndarray(format="rgb24")


def open_images(folder: Path, paths: Sequence[Path], background: tuple[int, int, int]) -> Film:
    """Image files of one size as the frames of a film; InputError where one has another."""
    size = read_image(paths[0], background).shape[:2]
    for path in paths[1:]:
        if _shown_size(path) != size:
            raise InputError(f"motion {folder}: {path.name} has another size than {paths[0].name}")
    return Film(folder, size, None, len(paths), lambda: (read_image(path, background) for path in paths))


def _shown_size(path: Path) -> tuple[int, int]:
    check_file(path, "image")
    try:
        with Image.open(path) as image:
            turned = image.getexif().get(0x0112, 1) >= 5
            return image.size if turned else image.size[::-1]
    except (OSError, SyntaxError, ValueError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise InputError(f"image {path} cannot be read, it is corrupt or not an image: {error}") from error
