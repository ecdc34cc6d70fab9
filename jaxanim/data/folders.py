"""A user's own videos as a data source, in the form that the puppet program writes them."""

import dataclasses
import functools
import hashlib
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int, UInt8

from jaxanim.cues.densepose import part_ids
from jaxanim.data.pipeline import Element
from jaxanim.data.puppets import PROMPT_BYTES
from jaxanim.errors import InputError
from jaxanim.media.images import resize_and_crop
from jaxanim.media.video import read_video

VIDEO_NAMES = ("video.mp4", "truth.mp4")


@dataclasses.dataclass(frozen=True)
class FolderClips:
    """Clips of the videos in a folder: the same elements as `PuppetClips` has, from real footage.

    Attributes:
      folder: holds one folder for each video, in it `video.mp4` (or `truth.mp4`), `densepose.mp4`, of the same
        size and number of frames, and, where there is one, `prompt.txt`.
      frames: of an element.
      clips: elements taken from each video, at moments of their own.
      spacing: "consecutive" frames, or "spread" ones from the whole video.
      size: (height, width) in pixels; videos are resized to cover it and cut to their centre.
      contents: names, sizes and dates of the files, found when the source is made, so that no cache outlives them.

    Raises:
      InputError: the folder has no videos, or one lacks its DensePose, differs from it in form, or is too short.
    """

    folder: str
    frames: int = 16
    clips: int = 1
    spacing: str = "spread"
    size: tuple[int, int] = (128, 128)
    contents: str = ""

    def __post_init__(self):
        if self.spacing not in ("consecutive", "spread"):
            raise InputError(f"spacing is {self.spacing!r}: choose 'consecutive' or 'spread'")
        for name in ("frames", "clips"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}: give at least 1")
        files = [file for video in self.videos for file in sorted(video.iterdir()) if file.is_file()]
        stats = "".join(f"{file} {file.stat().st_size} {file.stat().st_mtime_ns}\n" for file in files)
        object.__setattr__(self, "contents", hashlib.sha256(stats.encode()).hexdigest()[:12])

    @functools.cached_property
    def videos(self) -> tuple[Path, ...]:
        """The folder of every video, sorted by name."""
        root = Path(self.folder)
        if not root.is_dir():
            raise InputError(f"folder is {self.folder}, which does not exist: name one with a folder per video")
        found = tuple(sorted({path.parent for name in VIDEO_NAMES for path in root.glob(f"*/{name}")}))
        if not found:
            raise InputError(f"folder {self.folder} has no videos: put each into a folder of its own as video.mp4")
        for video in found:
            if not (video / "densepose.mp4").exists():
                raise InputError(f"video folder {video} has no densepose.mp4: add its DensePose video")
        return found

    def __len__(self) -> int:
        return len(self.videos) * self.clips

    def __getitem__(self, index: int) -> Element:
        folder = self.videos[index // self.clips]
        path = next(folder / name for name in VIDEO_NAMES if (folder / name).exists())
        video, densepose = read_video(path)[0], read_video(folder / "densepose.mp4")[0]
        prompt = folder / "prompt.txt"
        text = prompt.read_text(encoding="utf-8").strip() if prompt.exists() else ""
        return labelled(self, index, video, densepose, text, f"video {path}")


@runtime_checkable
class Cut(Protocol):
    """What is taken of each video: fields of `FolderClips`."""

    frames: int
    clips: int
    spacing: str


def moments_of(
    cut: Cut, index: int, length: int, name: str, rng: np.random.Generator
) -> Int[np.ndarray, " moments"]:
    """The frames of a video of `length` that element `index` has; of consecutive ones another moment is the last.

    Raises InputError, with the video's `name`, where it is too short.
    """
    consecutive = cut.spacing == "consecutive"
    if length < cut.frames + consecutive:
        raise InputError(f"{name} has {length} frames; {cut.frames + consecutive} are needed")
    if not consecutive:
        return np.sort(rng.choice(length, cut.frames, replace=False))
    first = int((index % cut.clips + rng.random()) / cut.clips * (length - cut.frames + 1))
    moments = first + np.arange(cut.frames)
    return np.append(moments, rng.choice(np.setdiff1d(np.arange(length), moments)))


def labelled(
    cut: Cut,
    index: int,
    video: UInt8[np.ndarray, "frames height width 3"],
    densepose: UInt8[np.ndarray, "_frames _height _width 3"],
    text: str,
    name: str,
) -> Element:
    """Element `index` of a source of clips with DensePose, whose size is `cut.size`."""
    if video.shape != densepose.shape:
        raise InputError(
            f"{name} has frames x height x width {video.shape[:3]}, its DensePose {densepose.shape[:3]}: they have "
            "to agree"
        )
    moments = moments_of(cut, index, len(video), name, np.random.default_rng([index, cut.frames]))
    frames = resize_and_crop(video[moments], cut.size)
    element = {
        "frames": frames[: cut.frames],
        "parts": nearest(part_ids(densepose[moments[: cut.frames]]), cut.size),
        "prompt": np.array(text.encode()[:PROMPT_BYTES], f"S{PROMPT_BYTES}"),
    }
    return element | {"reference": frames[-1]} if cut.spacing == "consecutive" else element


def nearest(
    ids: UInt8[np.ndarray, "frames height width"], size: tuple[int, int]
) -> UInt8[np.ndarray, "frames new_height new_width"]:
    """Label maps resized to cover `size` and cut to their centre as `resize_and_crop` does, ids kept whole."""
    height, width = ids.shape[1:]
    scale = max(size[0] / height, size[1] / width)
    rows, columns = (
        np.clip(((np.arange(new) + 0.5 - new / 2) / scale + old / 2).astype(int), 0, old - 1)
        for new, old in zip(size, (height, width), strict=True)
    )
    return ids[:, rows[:, None], columns[None, :]]
