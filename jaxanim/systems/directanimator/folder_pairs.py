"""A user's own videos as what DirectAnimator learns from, with pseudo driving videos that `python -m train.pseudo`
has made of them by any system (Sec. 3.2, App. A.2 and A.3)."""

import dataclasses
import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from jaxtyping import Int, UInt8

from jaxanim.cues import beside
from jaxanim.cues.driving import Labels
from jaxanim.data.buckets import Bucket, Buckets
from jaxanim.data.folders import moments_of
from jaxanim.data.layouts import own
from jaxanim.data.pipeline import Cached, Element, cached
from jaxanim.errors import InputError
from jaxanim.media.images import resize_and_crop
from jaxanim.media.tell import tell
from jaxanim.media.video import read_video
from jaxanim.systems.directanimator.cues import CueOptions
from jaxanim.systems.directanimator.pairs import PSEUDO, SAME, check_move, paired_cues, random_move

Frames = UInt8[np.ndarray, "frames height width 3"]


@dataclasses.dataclass(frozen=True)
class Take:
    """A video and, where there is one, another identity in its motion; frames that both have."""

    video: Path
    frames: int
    size: tuple[int, int]
    pseudo: Path | None = None


@dataclasses.dataclass(frozen=True)
class FolderPairs:
    """Pairs of the videos in folders; the reference is another moment of the same video.

    Attributes:
      folder: holds a folder for each video, as `jaxanim.data.layouts.own` has them, maybe in `train/` and `test/`.
        In each lie `mask.mp4`, `faces.json` and the folder `pseudo` with the pseudo driving videos that were kept.
      pseudo: elements are pairs of a video and a pseudo driving video of it, which stage 2 learns from; videos
        without any are left out. False: of videos alone, for stage 1.
      buckets: (frames, height, width) that videos are brought to, each to the one that fits it best; frames are
        8 n + 1, and there are as many compiled programs.
      clips: elements taken of each, at moments of their own.
      cues: how cues are made. "skeleton" is not among what is known of a folder's videos.
      scale, shift: as of `PuppetPairs`.
      split: "train" or "test"; what is held out is "test".
    """

    folder: str
    pseudo: bool = False
    buckets: tuple[tuple[int, int, int], ...] = ((49, 512, 512),)
    clips: int = 1
    cues: CueOptions = CueOptions()
    scale: float = 1.2
    shift: float = 0.1
    split: str = "train"

    def __post_init__(self) -> None:
        check_move(self.scale, self.shift)
        if not self.buckets or any((f - 1) % 8 or min(f, h, w) < 1 for f, h, w in self.buckets):
            raise InputError(f"buckets is {self.buckets}: give (frames, height, width), frames of 8 n + 1")
        if self.clips < 1:
            raise InputError(f"clips is {self.clips}: give at least 1")
        if self.cues.pose == "skeleton":
            raise InputError("cues.pose is 'skeleton': videos in folders have no skeleton maps; give 'foreground'")

    @property
    def frames(self) -> int:
        """Of the largest bucket."""
        return max(self.buckets, key=np.prod)[0]

    @property
    def size(self) -> tuple[int, int]:
        """Of the largest bucket."""
        return max(self.buckets, key=np.prod)[1:]

    @property
    def prefixes(self) -> tuple[str, ...]:
        """See `OneShape`."""
        return (SAME, PSEUDO) if self.pseudo else (SAME,)

    def shapes(self) -> tuple["FolderShape", ...]:
        """The videos by bucket. Raises InputError where one lacks its cues, or there are none to learn from."""
        takes = self._takes()
        buckets = Buckets(tuple(Bucket(*bucket) for bucket in self.buckets))
        # The reference is one more frame.
        sorted_ = buckets.sort([(take.frames - 1, *take.size) for take in takes])
        if short := len(takes) - sum(map(len, sorted_.values())):
            tell(f"{short} of {len(takes)} videos in {self.folder} are shorter than every bucket: left out")
        if not sorted_:
            least = min(bucket.frames for bucket in buckets.shapes) + 1
            raise InputError(f"folder {self.folder} has no video of {least} frames or more: give a shorter bucket")
        return tuple(
            FolderShape(self, bucket, tuple(takes[i] for i in members), _contents(takes[i] for i in members))
            for bucket, members in sorted_.items()
        )

    def held_out(self, count: int) -> "FolderPairs":
        """The split "test", all of it."""
        if not (Path(self.folder) / "test").is_dir():
            raise InputError(f"folder {self.folder} has no folder test with videos that nothing learns from")
        return dataclasses.replace(self, split="test")

    def examples(self) -> "FolderShape":
        """Of the split "test" where there is one."""
        held_out = self.held_out(2) if (Path(self.folder) / "test").is_dir() else self
        return held_out.shapes()[0]

    def _takes(self) -> list[Take]:
        root, how = Path(self.folder), f"run `python -m train.pseudo {self.folder}` first"
        entries = own(root).get(self.split, []) if root.is_dir() else []
        if not entries:
            raise InputError(f"folder {self.folder} has no {self.split} videos: give each a folder, as video.mp4")
        takes = []
        for entry in entries:
            frames, size = _form(entry.video.parent, how)
            plain = Take(entry.video, frames, size)
            if not self.pseudo:
                takes.append(plain)
                continue
            for folder in sorted((entry.video.parent / "pseudo").glob("*/")):
                shown = _form(folder, how)[0]
                takes.append(dataclasses.replace(plain, frames=min(frames, shown), pseudo=folder / "video.mp4"))
        if not takes:
            raise InputError(f"folder {self.folder} has no pseudo driving videos: {how}, with --references")
        return takes


@dataclasses.dataclass(frozen=True)
class FolderShape:
    """The elements of `pairs` in one bucket; `contents` are names, sizes and dates of the files, so that no cache
    outlives them."""

    pairs: FolderPairs
    bucket: Bucket
    takes: tuple[Take, ...] = dataclasses.field(repr=False)
    contents: str

    version = 1
    spacing = "consecutive"

    @property
    def frames(self) -> int:
        """Of an element."""
        return self.bucket.frames

    @property
    def clips(self) -> int:
        """Elements of each take."""
        return self.pairs.clips

    @property
    def prefixes(self) -> tuple[str, ...]:
        """See `OneShape`."""
        return self.pairs.prefixes

    def rendered(self) -> Cached:
        """By a pool of processes."""
        return cached(self)

    def __len__(self) -> int:
        return len(self.takes) * self.clips

    def __getitem__(self, index: int) -> Element:
        take, pairs = self.takes[index // self.clips], self.pairs
        rng = np.random.default_rng([index, self.frames])
        moments = moments_of(self, index, take.frames, f"video {take.video}", rng)
        size = (self.bucket.height, self.bucket.width)
        frames, same = _seen(take.video, moments, self.frames, size)
        other = None if take.pseudo is None else _seen(take.pseudo, moments[:-1], self.frames, size)[1]
        try:
            cues = paired_cues(same, other, random_move(rng, size, pairs.scale, pairs.shift), size, pairs.cues)
        except InputError as error:
            where = f"{take.pseudo or take.video}, frames {moments[0]} to {moments[-2]}"
            raise InputError(f"{where}: {error}") from None
        return {"frames": frames[:-1], "reference": frames[-1]} | cues


def _form(folder: Path, how: str) -> tuple[int, tuple[int, int]]:
    """(frames, (height, width)) of the video in a folder, by what lies beside it."""
    faces = beside.faces_beside(folder)
    if faces is None or beside.masks_beside(folder) is None:
        lacking = beside.FACES if faces is None else beside.MASK
        raise InputError(f"video folder {folder} has no {lacking}: {how}")
    frames, *size = beside.form_of(faces)
    return frames, tuple(size)


def _seen(
    path: Path, moments: Int[np.ndarray, " moments"], driving: int, size: tuple[int, int]
) -> tuple[Frames, Labels]:
    """(the frames at some moments, what is known of the first `driving` of them)."""
    count = int(moments.max()) + 1
    video = read_video(path, count)[0]
    if len(video) < count:
        raise InputError(f"video {path} has {len(video)} frames, fewer than the boxes beside it")
    masks = beside.read_masks(beside.masks_beside(path.parent), count, size)
    boxes = beside.read_boxes(beside.faces_beside(path.parent), count, size)
    frames = resize_and_crop(video[moments], size)
    shown = moments[:driving]
    return frames, Labels({"video": frames[:driving]}, masks=masks[shown], face_boxes=boxes[shown])


def _contents(takes: Iterable[Take]) -> str:
    files = [
        file
        for take in takes
        for path in (take.video, take.pseudo)
        if path is not None
        for file in sorted(path.parent.iterdir())
        if file.is_file()
    ]
    stats = "".join(f"{file} {file.stat().st_size} {file.stat().st_mtime_ns}\n" for file in files)
    return hashlib.sha256(stats.encode()).hexdigest()[:12]
