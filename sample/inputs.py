"""What a user hands to a sampling program, checked and brought to the size and form that a system takes."""

import math
import os
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from jaxanim.cues.densepose_from_pose import on_canvas
from jaxanim.cues.driving import DENSEPOSE, TOLERANCE, Cue
from jaxanim.errors import InputError
from jaxanim.media.files import check_space
from jaxanim.media.film import open_video
from jaxanim.media.images import write_png
from jaxanim.media.main_person import GAP
from jaxanim.media.outputs import Paths, check_outputs, sheet_beside
from jaxanim.media.video import Motion
from jaxanim.systems.base import Grid, Sampling

MOTION_HELP = (
    "a video, a folder of images, OpenPose JSON (a file for each frame or one for all), or a skeleton.json; "
    "files are taken in number order (2 before 10), of several people the largest, and up to "
    f"{GAP} frames in a row without anybody are filled in"
)
VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv")


def output_path(text: str, suffixes: tuple[str, ...] = VIDEO_SUFFIXES, option: str = "--out") -> Path:
    """A path that can be written: known suffix, not a folder, in a folder that exists or can be made."""
    path = Path(text)
    if path.suffix.lower() not in suffixes:
        raise InputError(f"{option} is {text}: the name has to end in {' or '.join(suffixes)}")
    if path.is_dir():
        raise InputError(f"{option} is {text}, which is a folder; name a file")
    parent = next(folder for folder in path.absolute().parents if folder.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise InputError(f"{option} is {text}, and nothing can be written in {parent}")
    return path


def output_paths(
    out: str, sheet: str | None, reads: Paths, suffixes: tuple[str, ...] = VIDEO_SUFFIXES
) -> tuple[Path, Path | None]:
    """(--out, --sheet): paths that can be written and replace nothing that is read (`reads`, by option).

    Without a wish the sheet of a video lies beside it, and a picture has none.
    """
    path = output_path(out, suffixes)
    if sheet is None and path.suffix.lower() not in VIDEO_SUFFIXES:
        check_outputs({"--out": path}, reads)
        return path, None
    table = output_path(sheet or str(sheet_beside(path, reads)), (".png",), "--sheet")
    check_outputs({"--out": path, "--sheet": table}, reads)
    return path, table


def write_sheet(path: Path, table: UInt8[np.ndarray, "height width 3"], out: Path) -> None:
    """Writes the contact sheet beside what is written already, which a failure leaves as it is."""
    try:
        write_png(path, table)
    except InputError as error:
        raise InputError(f"{out} is written, but its contact sheet is not: {error}") from error


def check_room(out: Path, frames: int, size: tuple[int, int]) -> None:
    """InputError where not even a video that hardly moves would find room on the disk."""
    check_space(out.parent, (1 << 16) + frames * size[0] * size[1] // 500, f"--out {out}")


def choose_size(
    asked: tuple[int, int] | None, reference: tuple[int, int], multiple: int, defaults: Sampling
) -> tuple[int, int]:
    """The (height, width) to animate at, each a multiple of what the system takes.

    Without a wish it is the reference's own, shrunk to the area that the weights were trained at if larger.

    Raises:
      InputError: a size was asked for that is not a multiple; names the nearest that are.
    """
    if asked is None:
        trained = defaults.size[0] * defaults.size[1]
        scale = min(1.0, (trained / (reference[0] * reference[1])) ** 0.5)
        return tuple(max(multiple, round(side * scale / multiple) * multiple) for side in reference)
    if any(side % multiple for side in asked):
        nearest = [
            "x".join(str(max(1, step(side / multiple)) * multiple) for side in reversed(asked))
            for step in (math.floor, math.ceil)
        ]
        raise InputError(
            f"--size {asked[1]}x{asked[0]}: width and height have to be multiples of {multiple}; "
            f"the nearest such sizes are {' and '.join(dict.fromkeys(nearest))}"
        )
    return asked


def check_frames(asked: int | None, available: int, option: str, path: str | os.PathLike) -> int:
    """How many frames to take: all, or those asked for; InputError if there are fewer."""
    if asked is not None and asked > available:
        raise InputError(f"--frames is {asked}, but {option} {path} has only {available} frames")
    return asked or available


def fit_frames(asked: int | None, available: int, grid: Grid) -> int:
    """How many of the frames that there are a system makes; InputError where a number was asked for that it does
    not make, or there are too few."""
    fitting, (multiple, plus) = grid.at_most(available), grid.frames
    if fitting < 1 or (asked is not None and fitting != asked):
        near = [frames for frames in (fitting, fitting + multiple) if frames > 0]
        raise InputError(
            f"--frames is {available}: this system makes {multiple} n + {plus} frames, such as "
            f"{' or '.join(map(str, near))}"
        )
    return fitting


def check_windows(window: int | None, overlap: int | None, defaults: Sampling) -> None:
    """Raises InputError unless windows, as asked for or else by default, overlap by less than a window."""
    window, overlap = window or defaults.window, defaults.overlap if overlap is None else overlap
    if overlap >= window:
        raise InputError(f"--overlap is {overlap}; it has to be less than --window, which is {window}")


def driving_frames(
    motion: Motion,
    path: str | os.PathLike,
    frames: int,
    size: tuple[int, int],
    reference_size: tuple[int, int],
    pose_size: tuple[int, int] | None = None,
    cue: Cue = DENSEPOSE,
) -> UInt8[np.ndarray, "frames height width 3"]:
    """A motion's first frames as the cue that a system takes, of `size` (height, width), cropped as the reference.

    Args:
      reference_size: of the reference file.
      pose_size: the size of the picture that keypoints belong to. Without it that is the one which
        their files name, or else the reference's, or, if they reach beyond that, they are brought into the middle
        of the frame.
      cue: one of pictures.

    Raises:
      InputError: there is no person in any of the frames, or a video shows something else than the cue.
    """
    if motion.keypoints is None:
        drawn = motion.frames.read(frames, size)
    else:
        keypoints = {name: values[:frames] for name, values in motion.keypoints.items()}
        drawn = cue.look.draw(*on_canvas(keypoints, motion.canvas, reference_size, pose_size), size)
    if not any(_shows_somebody(frame, cue) for frame in drawn):
        raise InputError(f"--motion {path} has no person in it: all of its {frames} frames are background")
    if motion.keypoints is None and not cue.look.looks_right(drawn):
        raise wrong_cue(path, cue)
    return drawn


def _shows_somebody(frame: UInt8[np.ndarray, "height width 3"], cue: Cue) -> bool:
    body = np.abs(frame.astype(np.int16) - np.array(cue.look.background, np.int16)).max(-1) > TOLERANCE
    return bool(body.mean() >= cue.look.smallest and frame.std((0, 1)).max() >= 1)


def wrong_cue(path: str | os.PathLike, cue: Cue) -> InputError:
    """What is said of a video that shows something else than the cue."""
    form = f"it should show {cue.form}, but most of its pixels have other colours"
    article = "an" if cue.name[0] in "AEIOU" else "a"
    return InputError(f"--motion {path} is not {article} {cue.name} video: {form}")


def read_truth(
    path: str | os.PathLike, frames: int, size: tuple[int, int], option: str = "--truth"
) -> UInt8[np.ndarray, "frames height width 3"]:
    """The first frames of the true video (or of its mask), cropped as the reference is."""
    film = open_video(Path(path), frames)
    check_frames(frames, len(film), option, path)
    return film.read(frames, size)


def read_mask(
    path: str | os.PathLike | None, truth: str | os.PathLike, frames: int, size: tuple[int, int]
) -> UInt8[np.ndarray, "frames height width"] | None:
    """The true body mask: the file given, or else `mask.mp4` beside the true video, or None."""
    path = path or mask_beside(truth)
    return None if path is None else read_truth(path, frames, size, "--mask")[..., 0]


def mask_beside(truth: str | os.PathLike | None) -> Path | None:
    """`mask.mp4` in the true video's folder, if there is one."""
    beside = None if truth is None else Path(truth).parent / "mask.mp4"
    return beside if beside is not None and beside.exists() else None
