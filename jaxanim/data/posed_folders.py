"""A user's own videos with OpenPose keypoints as a data source, in the form that the puppet program writes them."""

import dataclasses
import functools
import hashlib
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from jaxanim.cues import openpose
from jaxanim.data.folders import VIDEO_NAMES, Cut, moments_of
from jaxanim.data.pipeline import Element
from jaxanim.data.poses import crop_square
from jaxanim.data.puppets import PROMPT_BYTES
from jaxanim.errors import InputError
from jaxanim.media.images import resize
from jaxanim.media.video import read_video


@dataclasses.dataclass(frozen=True)
class PosedFolders:
    """Clips of the videos in a folder: the same elements as `PosedClips` has, from real footage.

    Attributes:
      folder: holds one folder for each video, in it `video.mp4` (or `truth.mp4`), the folder `openpose` with one
        JSON file for each of its frames, and, where there is one, `prompt.txt`.
      frames: of an element.
      clips: elements taken from each video, at moments and with crops of their own.
      spacing: "consecutive" frames, or "spread" ones from the whole video.
      side: of the square pictures in pixels; each clip is one square of its video, at a random place along the
        longer side, resized.
      contents: names, sizes and dates of the files, found when the source is made, so that no cache outlives them.

    Raises:
      InputError: the folder has no videos, or one lacks its keypoints, has not as many, or is too short.
    """

    folder: str
    frames: int = 8
    clips: int = 1
    spacing: str = "spread"
    side: int = 128
    contents: str = ""

    def __post_init__(self):
        if self.spacing not in ("consecutive", "spread"):
            raise InputError(f"spacing is {self.spacing!r}: choose 'consecutive' or 'spread'")
        for name in ("frames", "clips", "side"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}: give at least 1")
        files = [file for video in self.videos for file in sorted(video.rglob("*")) if file.is_file()]
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
            if not (video / "openpose").is_dir():
                raise InputError(f"video folder {video} has no folder openpose: add its keypoints as JSON")
        return found

    def __len__(self) -> int:
        return len(self.videos) * self.clips

    def __getitem__(self, index: int) -> Element:
        folder = self.videos[index // self.clips]
        path = next(folder / name for name in VIDEO_NAMES if (folder / name).exists())
        video = read_video(path)[0]
        poses = openpose.pack(openpose.read(folder / "openpose", video.shape[1:3]))
        if len(poses) != len(video):
            raise InputError(f"{folder / 'openpose'} has {len(poses)} JSON files, its video {len(video)} frames")
        prompt = folder / "prompt.txt"
        text = prompt.read_text(encoding="utf-8").strip() if prompt.exists() else ""
        return posed(self, index, video, poses, text, f"video {path}")


def posed(
    cut: Cut,
    index: int,
    video: UInt8[np.ndarray, "frames height width 3"],
    poses: Float[np.ndarray, "frames points 3"],
    text: str,
    name: str,
) -> Element:
    """Element `index` of a source of square clips with keypoints, `cut.side` pixels wide."""
    rng = np.random.default_rng([index, cut.frames])
    moments = moments_of(cut, index, len(video), name, rng)
    frames, points = crop_square(video[moments], poses[moments], rng.random())
    scale = cut.side / frames.shape[1]
    points[..., :2] = (points[..., :2] + 0.5) * scale - 0.5
    points[points[..., 2] == 0] = 0
    frames = resize(frames, (cut.side, cut.side))
    element = {
        "frames": frames[: cut.frames],
        "poses": points[: cut.frames],
        "prompt": np.array(text.encode()[:PROMPT_BYTES], f"S{PROMPT_BYTES}"),
    }
    return element | {"reference": frames[-1]} if cut.spacing == "consecutive" else element
