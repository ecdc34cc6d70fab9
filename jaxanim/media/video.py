"""Reading and writing video, and reading a motion in whichever form a user has it."""

import dataclasses
import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation
from jaxtyping import UInt8

from jaxanim.errors import InputError
from jaxanim.media.files import atomic_path, check_file, in_order
from jaxanim.media.images import IMAGE_SUFFIXES, read_image
from jaxanim.media.keypoints import Fields, read_people
from jaxanim.media.main_person import main_person


@dataclasses.dataclass(frozen=True)
class Motion:
    """A driving motion: either frames or OpenPose keypoints, the other being None.

    frames: RGB video or drawn poses. keypoints: one person's, by OpenPose's field names, and canvas: the (height,
    width) that they belong to, as `jaxanim.media.keypoints.People` has them. fps is None where the form does not
    say it.
    """

    frames: UInt8[np.ndarray, "frames height width 3"] | None = None
    keypoints: Fields | None = None
    canvas: tuple[int, int] | None = None
    fps: float | None = None

    @property
    def num_frames(self) -> int:
        if self.frames is not None:
            return len(self.frames)
        return len(next(iter(self.keypoints.values())))


# The default conversion drops low bits and repeats chroma: on smooth pictures it errs by 1.3 to 4.7 grey
# levels in the mean where this one errs by 0.4 to 0.5.
CONVERSION = Interpolation.BICUBIC | Interpolation.FULL_CHR_H_INT | Interpolation.ACCURATE_RND


def read_video(
    path: str | os.PathLike, max_frames: int | None = None
) -> tuple[UInt8[np.ndarray, "frames height width 3"], float]:
    """All frames of the first video stream as RGB, upright, and its mean frame rate in frames per second.

    YUV is converted by the colour matrix and range that the file declares; a file that declares none is read
    by the usual convention, BT.709 from 720 lines on and BT.601 below, limited range.

    Raises InputError if the file is missing, empty, corrupt, or has no video in it.
    """
    path = Path(path)
    check_file(path, "video")
    try:
        with av.open(path) as container:
            if not container.streams.video:
                raise InputError(f"video {path} has no video stream in it")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            fps = float(stream.average_rate or stream.guessed_rate or 25)
            frames, packets = [], 0
            for packet in container.demux(stream):
                packets += packet.size > 0
                frames += [_to_rgb(frame) for frame in packet.decode()]
                if max_frames is not None and len(frames) >= max_frames:
                    frames = frames[:max_frames]
                    break
            else:
                if packets < stream.frames:
                    raise InputError(
                        f"video {path} is cut short: {packets} of its {stream.frames} frames are there"
                    )
    except (av.FFmpegError, OSError, UnicodeDecodeError) as error:
        raise InputError(f"video {path} cannot be read, it is corrupt or not a video: {error}") from error
    if not frames:
        raise InputError(f"video {path} has no frames in it")
    if len({frame.shape for frame in frames}) > 1:
        raise InputError(f"video {path} changes its frame size part way, which is not supported")
    return np.stack(frames), fps


def _to_rgb(frame: av.VideoFrame) -> UInt8[np.ndarray, "height width 3"]:
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
    pixels = frame.to_ndarray(format="rgb24")
    # Phones store video as the sensor saw it and the turn as metadata, in degrees counter-clockwise.
    return np.ascontiguousarray(np.rot90(pixels, k=round(frame.rotation / 90)))


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
    if pixel_format == "yuv420p":
        height, width = frames.shape[1:3]
        frames = np.pad(frames, [(0, 0), (0, height % 2), (0, width % 2), (0, 0)], mode="edge")
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
    if not 0 < fps <= 1000:
        raise InputError(f"fps must be above 0 and at most 1000, not {fps}")
    with atomic_path(path) as temporary, av.open(temporary, "w", options=containers[suffix]) as container:
        _encode(container, frames, Fraction(fps).limit_denominator(100_000), crf, pixel_format)


def _encode(
    container: av.container.OutputContainer,
    frames: UInt8[np.ndarray, "frames height width 3"],
    rate: Fraction,
    crf: int,
    pixel_format: str,
) -> None:
    rgb = pixel_format == "rgb24"
    stream = container.add_stream("libx264rgb" if rgb else "libx264", rate=rate)
    stream.height, stream.width = frames.shape[1:3]
    stream.pix_fmt = pixel_format
    stream.options = {"crf": str(crf)}
    if not rgb:
        context = stream.codec_context
        context.colorspace, context.color_range = Colorspace.ITU709, ColorRange.MPEG
        context.color_primaries = context.color_trc = 1
    for pixels in frames:
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
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
    path: str | os.PathLike, max_frames: int | None = None, background: tuple[int, int, int] = (0, 0, 0)
) -> Motion:
    """A motion from a video, a folder of images, or OpenPose's JSON: a folder of files, or one with all frames.

    Files are taken in number order. Of several people the main one is kept, see `jaxanim.media.main_person`.

    Args:
      background: what transparent images are laid over.

    Raises InputError if the path is missing, or holds none of these, or both images and JSON.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"motion {path} does not exist")
    if not path.is_dir() and path.suffix.lower() != ".json":
        frames, fps = read_video(path, max_frames)
        return Motion(frames=frames, fps=fps)
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
    frames = [read_image(name, background) for name in images]
    odd = next((i for i, frame in enumerate(frames) if frame.shape != frames[0].shape), None)
    if odd is not None:
        raise InputError(f"motion {path}: {images[odd].name} has another size than {images[0].name}")
    return Motion(frames=np.stack(frames))
