"""A user's own videos as a data source, in the form that the puppet program writes them."""

import dataclasses
import functools
import hashlib
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

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
        folder, clip = self.videos[index // self.clips], index % self.clips
        path = next(folder / name for name in VIDEO_NAMES if (folder / name).exists())
        video, densepose = read_video(path)[0], read_video(folder / "densepose.mp4")[0]
        if video.shape != densepose.shape:
            raise InputError(
                f"densepose.mp4 in {folder} has frames x height x width {densepose.shape[:3]}, "
                f"its video {video.shape[:3]}: they have to agree"
            )
        consecutive = self.spacing == "consecutive"
        if len(video) < self.frames + consecutive:
            raise InputError(f"video {path} has {len(video)} frames; {self.frames + consecutive} are needed")
        rng = np.random.default_rng([index, self.frames])
        if consecutive:
            first = int((clip + rng.random()) / self.clips * (len(video) - self.frames + 1))
            moments = first + np.arange(self.frames)
            reference = rng.choice(np.setdiff1d(np.arange(len(video)), moments))
        else:
            moments = np.sort(rng.choice(len(video), self.frames, replace=False))
        prompt = folder / "prompt.txt"
        text = prompt.read_text(encoding="utf-8").strip() if prompt.exists() else ""
        element = {
            "frames": resize_and_crop(video[moments], self.size),
            "parts": nearest(part_ids(densepose[moments]), self.size),
            "prompt": np.array(text.encode()[:PROMPT_BYTES], f"S{PROMPT_BYTES}"),
        }
        return element | {"reference": resize_and_crop(video[reference], self.size)} if consecutive else element


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
