"""Where the videos of published datasets, and of a user's own, lie in their folders, and their conditioning beside
them.

Conditioning has one form everywhere: a DensePose video in DensePose's colours, in a file or folder `densepose`; a
folder `openpose` with a JSON file for each frame; a skeleton file (`jaxanim.cues.skeleton`). A video may be a
folder of pictures.
"""

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from jaxanim.errors import InputError

VIDEOS, PICTURES = (".mp4", ".mov", ".mkv", ".avi", ".webm"), (".png", ".jpg", ".jpeg")


@dataclasses.dataclass(frozen=True)
class Entry:
    """One video: its `key`, unique in its split, and paths of what there is.

    `densepose` is a file of video or a folder of pictures, `openpose` a folder of JSON files; the others are files.
    """

    key: str
    video: Path
    densepose: Path | None = None
    openpose: Path | None = None
    skeleton: Path | None = None
    prompt: Path | None = None


Splits = Mapping[str, list[Entry]]
Layout = Callable[[Path], Splits]


def own(folder: Path) -> Splits:
    """A folder for each video: `video.mp4` (or `truth.mp4`), and beside it `densepose.mp4`, `openpose/`,
    `skeleton.json`, `prompt.txt`, of which some are missing; these folders may lie in `train/` and `test/`."""

    def entries(folder: Path) -> list[Entry]:
        found = []
        for one in _folders(folder):
            video = _first(one / name for name in ("video.mp4", "truth.mp4"))
            if video is not None:
                beside = {name: _first([one / file]) for name, file in _BESIDE.items()}
                found.append(Entry(one.name, video, **beside))
        return found

    return _splits(folder, entries)


def tiktok(folder: Path) -> Splits:
    """TikTok (Jafarian and Park 2021), as it is given out: `00001/images/*.png`, `00001/densepose/*.png`.

    The split is that of the numbers 335 to 340 for tests, which MagicAnimate and those before it use.
    """
    entries = [
        Entry(one.name, one / "images", _first([one / "densepose"]), _first([one / "openpose"]))
        for one in _folders(folder)
        if (one / "images").is_dir()
    ]
    tests = [entry for entry in entries if entry.key.isdigit() and 335 <= int(entry.key) <= 340]
    return {"train": [entry for entry in entries if entry not in tests], "test": tests}


def ted_talks(folder: Path) -> Splits:
    """TED-talks (Siarohin et al. 2021), as its loader writes it: `train/NAME.mp4` and `test/NAME.mp4`; conditioning
    in `densepose/SPLIT/NAME.mp4` and `openpose/SPLIT/NAME/`."""

    def entries(split: str) -> list[Entry]:
        return [
            Entry(
                video.stem, video, _first([folder / "densepose" / split / f"{video.stem}.mp4"]),
                _first([folder / "openpose" / split / video.stem]),
            )
            for video in _videos(folder / split)
        ]  # fmt: skip

    return {split: entries(split) for split in ("train", "test")}


def everybody_dance_now(folder: Path) -> Splits:
    """Everybody Dance Now (Chan et al. 2019): `SUBJECT/train/train_img/*.png` and `SUBJECT/val/test_img/*.png`;
    conditioning beside the pictures' folders, in `densepose/` and `openpose/`."""

    def entries(part: str, pictures: str) -> list[Entry]:
        return [
            Entry(one.name, at / pictures, _first([at / "densepose"]), _first([at / "openpose"]))
            for one in _folders(folder)
            for at in [one / part]
            if (at / pictures).is_dir()
        ]

    return {"train": entries("train", "train_img"), "test": entries("val", "test_img")}


def xpose(folder: Path) -> Splits:
    """XPose (PoseAnything, Sec. 3), as `jaxanim.data.xpose` builds it: `videos/NAME.mp4` and, of those that were
    kept, `out/NAME.json`."""
    kept = {path.stem: path for path in sorted((folder / "out").glob("*.json")) if path.name != "manifest.json"}
    videos = {video.stem: video for video in _videos(folder / "videos")}
    return {"train": [Entry(key, videos[key], skeleton=path) for key, path in kept.items() if key in videos]}


LAYOUTS: Mapping[str, Layout] = {
    "own": own,
    "tiktok": tiktok,
    "ted_talks": ted_talks,
    "everybody_dance_now": everybody_dance_now,
    "xpose": xpose,
}
_BESIDE = {
    "densepose": "densepose.mp4", "openpose": "openpose", "skeleton": "skeleton.json", "prompt": "prompt.txt",
}  # fmt: skip
CONDITIONING = ("densepose", "openpose", "skeleton")


def find(layout: str, folder: Path, needs: Iterable[str] = ()) -> Splits:
    """The videos of a dataset in a folder, by split; splits without any are left out.

    Raises InputError where there are none, where one has no conditioning at all, and where one lacks what `needs`
    names.
    """
    if layout not in LAYOUTS:
        raise InputError(f"layout is {layout!r}: choose one of {', '.join(LAYOUTS)}")
    if not folder.is_dir():
        raise InputError(f"folder is {folder}, which is none: name one with {_said(layout)}")
    splits = {split: entries for split, entries in LAYOUTS[layout](folder).items() if entries}
    if not splits:
        raise InputError(f"folder {folder} has no videos as {layout} has them: {_said(layout)}")
    for entry in (entry for entries in splits.values() for entry in entries):
        has = [name for name in CONDITIONING if getattr(entry, name) is not None]
        if missing := [name for name in needs if name not in has]:
            raise InputError(f"video {entry.video} has no {' and no '.join(missing)} beside it: {_said(layout)}")
        if not has:
            raise InputError(f"video {entry.video} has no conditioning beside it: {_said(layout)}")
    return splits


def _said(layout: str) -> str:
    return re.sub(r"\s+", " ", LAYOUTS[layout].__doc__ or "").split(": ", 1)[-1].rstrip(". ")


def _splits(folder: Path, entries: Callable[[Path], list[Entry]]) -> Splits:
    if any((folder / name).is_dir() for name in ("train", "test")):
        return {name: entries(folder / name) for name in ("train", "test")}
    return {"train": entries(folder)}


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def _videos(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if path.suffix.lower() in VIDEOS)


def _first(paths: Iterable[Path]) -> Path | None:
    return next((path for path in paths if path.exists()), None)
