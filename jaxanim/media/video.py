"""Reading and writing video, and reading a motion in whichever form a user has it."""

import dataclasses
import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace
from jaxtyping import UInt8

from jaxanim.errors import InputError
from jaxanim.media.files import atomic_path, in_order
from jaxanim.media.film import CONVERSION, Film, open_images, open_video
from jaxanim.media.images import IMAGE_SUFFIXES
from jaxanim.media.keypoints import Fields, read_people
from jaxanim.media.main_person import main_person

MAX_FPS = 1000


@dataclasses.dataclass(frozen=True)
class Motion:
    """A driving motion: either frames or OpenPose keypoints, the other being None.

    frames: video or drawn poses, still in their files. keypoints: one person's, by OpenPose's field names, and
    canvas: the (height, width) that they belong to, as `jaxanim.media.keypoints.People` has them. fps is None where
    the form does not say it.
    """

    frames: Film | None = None
    keypoints: Fields | None = None
    canvas: tuple[int, int] | None = None
    fps: float | None = None

    @property
    def num_frames(self) -> int:
        if self.frames is not None:
            return len(self.frames)
        return len(next(iter(self.keypoints.values())))


def read_video(
    path: str | os.PathLike, max_frames: int | None = None
) -> tuple[UInt8[np.ndarray, "frames height width 3"], float]:
    """All frames of the first video stream as a player shows them (`jaxanim.media.film`), and frames a second.

    Raises InputError if the file is missing, empty, corrupt, or has no video in it.
    """
    film = open_video(Path(path), max_frames)
    return film.read(), film.fps


def write_video(
    path: str | os.PathLike,
    frames: UInt8[np.ndarray, "frames height width 3"],
    fps: int | float = 25,
    crf: int = 18,
    pixel_format: str = "yuv420p",
) -> None:
    """Writes RGB frames as H.264; the file appears whole or not at all.

    pixel_format "yuv420p" plays everywhere (an odd height or width is made even by repeating the last row or
    column); "yuv444p" keeps full colour resolution; "rgb24" with crf=0 is lossless. Colours are BT.709,
    declared in the file. Raises InputError for frames of another shape or type, or a suffix that names no
    video format.
    """
    frames = np.asarray(frames)
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or 0 in frames.shape:
        raise InputError(
            f"frames must be uint8 [frames, height, width, 3] with at least one frame, not {frames.dtype} "
            f"{list(frames.shape)}"
        )
    if pixel_format not in ("yuv420p", "yuv444p", "rgb24"):
        raise InputError(f"pixel_format must be yuv420p, yuv444p or rgb24, not {pixel_format!r}")
    # The index goes to the front of the file, so that a browser plays it before it has all of it.
    containers = {
        ".mp4": {"movflags": "faststart"},
        ".mov": {"movflags": "faststart"},
        ".mkv": {},
        ".avi": {},
    }
    suffix = Path(path).suffix.lower()
    if suffix not in containers:
        raise InputError(f"video {path} must be named {', '.join(containers)}, not {suffix!r}")
    if not 0 < fps <= MAX_FPS:
        raise InputError(f"fps must be above 0 and at most {MAX_FPS}, not {fps}")
    rate = max(Fraction(fps).limit_denominator(100_000), Fraction(1, 100_000))
    with atomic_path(path) as temporary:
        try:
            with av.open(temporary, "w", options=containers[suffix]) as container:
                _encode(container, frames, rate, crf, pixel_format)
        except av.FFmpegError as error:
            raise InputError(f"video {path} cannot be written: {error.strerror}") from error


def _encode(
    container: av.container.OutputContainer,
    frames: UInt8[np.ndarray, "frames height width 3"],
    rate: Fraction,
    crf: int,
    pixel_format: str,
) -> None:
    rgb = pixel_format == "rgb24"
    stream = container.add_stream("libx264rgb" if rgb else "libx264", rate=rate)
    height, width = frames.shape[1:3]
    odd = (height % 2, width % 2) if pixel_format == "yuv420p" else (0, 0)
    stream.height, stream.width = height + odd[0], width + odd[1]
    stream.pix_fmt = pixel_format
    # Without the macroblock tree, which reads memory that it never wrote: equal frames are equal files.
    stream.options = {"crf": str(crf), "x264-params": "mbtree=0"}
    if not rgb:
        context = stream.codec_context
        context.colorspace, context.color_range = Colorspace.ITU709, ColorRange.MPEG
        context.color_primaries = context.color_trc = 1
    for pixels in frames:
        even = np.pad(pixels, [(0, odd[0]), (0, odd[1]), (0, 0)], mode="edge")
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24")
        if not rgb:
            frame = frame.reformat(
                format=pixel_format,
                src_colorspace=Colorspace.ITU601,
                dst_colorspace=Colorspace.ITU709,
                src_color_range=ColorRange.JPEG,
                dst_color_range=ColorRange.MPEG,
                interpolation=CONVERSION,
            )
        container.mux(stream.encode(frame))
    container.mux(stream.encode())


def read_motion(
    path: str | os.PathLike,
    max_frames: int | None = None,
    background: tuple[int, int, int] = (0, 0, 0),
    fps: float | None = None,
) -> Motion:
    """A motion from a video, a folder of images, or OpenPose's JSON: a folder of files, or one with all frames.

    Files are taken in number order. Of several people the main one is kept, see `jaxanim.media.main_person`.

    Args:
      background: what transparent images are laid over.
      fps: frames a second of what the motion is for; a video of variable rate is shown at this one.

    Raises InputError if the path is missing, or holds none of these, or both images and JSON.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"motion {path} does not exist")
    if not path.is_dir() and path.suffix.lower() != ".json":
        film = open_video(path, max_frames, fps)
        return Motion(frames=film, fps=film.fps)
    names = in_order(entry for entry in path.iterdir() if entry.name[0] != ".") if path.is_dir() else [path]
    images = [name for name in names if name.suffix.lower() in IMAGE_SUFFIXES][:max_frames]
    poses = [name for name in names if name.suffix.lower() == ".json"]
    if images and poses:
        raise InputError(f"motion {path} holds both images and JSON files; keep one kind in the folder")
    if poses:
        people = read_people(path, max_frames)
        return Motion(keypoints=main_person(people.fields, path), canvas=people.canvas)
    if not images:
        raise InputError(f"motion {path} holds no images and no OpenPose JSON files")
    return Motion(frames=open_images(path, images, background))
