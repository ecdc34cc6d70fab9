"""Other people in the motion of one's own videos, made by any system: pseudo driving videos (Same2X, App. A.3).

  python -m train.pseudo my_videos                                     masks and faces beside each video, no more
  python -m train.pseudo my_videos --system NAME --references people   and up to 3 of these people in its motion

my_videos holds a folder for each video, with the system's cue beside it (docs/preparing.md); people is a folder of
pictures, NAME_mask.png beside NAME.png being white where somebody is. Of the pictures those are drawn whose person
is about as large and in the same place as the video's. What was made goes into pseudo/ in the video's folder if it
passes the filter, and else into dropped/; pseudo.png there shows all of it. Whoever sees it better moves a folder
from one to the other. Nothing that is there is replaced, and what is there is not made again. Further arguments are
those of sample.animate, such as --weights, --steps or --dtype.
"""

import argparse
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from jaxanim import systems
from jaxanim.compiled import keep_compiled
from jaxanim.cpu import prepare_cpu
from jaxanim.cues.prepare import Tools
from jaxanim.data.layouts import Entry, own
from jaxanim.ending import stop_at_once
from jaxanim.errors import InputError
from jaxanim.media.images import IMAGE_SUFFIXES, contact_sheet, write_png
from jaxanim.media.video import read_video
from jaxanim.metrics.pseudo import Filter
from sample import people, preparing
from sample.arguments import Parser, add_fields, run, said, whole
from sample.pseudo import DROPPED, KEPT, Maker, motion_of

FIXED = ("--reference", "--motion", "--out", "--sheet", "--truth", "--mask", "--system", "--mesh")


def parser() -> Parser:
    """The program's options."""
    form = argparse.RawDescriptionHelpFormatter
    options = Parser("train.pseudo", description=__doc__, formatter_class=form, allow_abbrev=False)
    add = options.add_argument
    add("folder", type=Path, help="holds a folder for each video, maybe in train/ and test/")
    add("--references", type=Path, help="folder of pictures of people; without it only masks and faces are made")
    add("--system", default=systems.DEFAULT, choices=systems.names(), help="what animates (default: %(default)s)")
    add("--least", type=whole(0), default=0, help="pictures drawn for a video, at least (default: %(default)s)")
    add("--most", type=whole(1), default=3, help="and at most (default: %(default)s)")
    add("--seed", type=whole(0, 2**32 - 1), default=0, help="of what is drawn (default: %(default)s)")
    add(
        "--masks", choices=("found", "driver"), default="found",
        help="where the made person is: looked for by SAM 2, or, without it, taken to be where the video's own is "
        "(default: %(default)s)",
    )  # fmt: skip
    add("--models", help="folder with the detectors' files, as for sample.prepare")
    add("--device", default="cpu", help="of the pose network: cpu, cuda or mps (default: %(default)s)")
    add_fields(options, Filter, "what is kept")
    return options


def make(argv: Sequence[str] | None = None) -> None:
    """The program; raises InputError for input that cannot be used, before anything is made."""
    options, rest = parser().parse_known_args(argv)
    if taken := [word for word in rest if word.split("=")[0] in FIXED]:
        raise InputError(f"{taken[0]} is chosen for each video, and cannot be given")
    if options.least > options.most:
        raise InputError(f"--least is {options.least} and --most {options.most}: --most is the larger one")
    videos = [one for part in own(options.folder).values() for one in part] if options.folder.is_dir() else []
    if not videos:
        raise InputError(f"folder {options.folder} has no videos: put each into a folder of its own as video.mp4")
    tools = preparing.tools(options.models, options.device)
    pictures = None if options.references is None else _pictures(options.references)
    keeps = Filter(**said(options, Filter))
    if pictures is None:
        _look(videos, tools)
        print(f"{options.folder}: {len(videos)} videos with mask.mp4 and faces.json")
        return

    cue = systems.entry(options.system).needs.cues[0]
    if cue.key in preparing.POSED and any(motion_of(entry, cue) is None for entry in videos):
        tools.poses()  # what is missing is told before anything is made
    rest += ["--device", options.device, *(["--models", options.models] if options.models else [])]
    maker = Maker(options.system, rest, options.masks, tools, keeps)
    maker.check()
    _look(videos, tools)
    made: list[bool] = []
    for entry in tqdm(videos, desc="making", unit="video"):
        for picture in _drawn(entry, pictures, options, tools):
            places = maker.places(entry, picture)
            if any(place.is_dir() for place in places):
                continue
            faults = maker.make(entry, picture, options.seed)
            made.append(not faults)
            tqdm.write(f"{places[bool(faults)]}: {', '.join(faults) or 'kept'}", file=sys.stdout)
        _show(entry.video)
    print(f"{options.folder}: {sum(made)} of {len(made)} made now are kept")


def _look(videos: list[Entry], tools: Tools) -> None:
    for entry in tqdm(videos, desc="looking at videos", unit="video"):
        people.look_beside(entry.video, tools)


def _pictures(folder: Path) -> list[Path]:
    found = sorted(folder.glob("*")) if folder.is_dir() else []
    found = [one for one in found if one.suffix.lower() in IMAGE_SUFFIXES and not one.stem.endswith("_mask")]
    if not found:
        raise InputError(f"--references {folder} holds no pictures ({', '.join(IMAGE_SUFFIXES)})")
    return found


def _drawn(entry: Entry, pictures: list[Path], options: argparse.Namespace, tools) -> list[Path]:
    """The pictures for one video: some of the third whose people are nearest to its own in place and size."""
    rng = np.random.default_rng([options.seed, zlib.crc32(entry.key.encode())])
    count = min(int(rng.integers(options.least, options.most + 1)), len(pictures))
    near = people.nearest(entry.video, pictures, tools)[: max(count, -(-len(pictures) // 3))]
    return [near[i] for i in sorted(rng.choice(len(near), count, replace=False))]


def _show(video: Path, columns: int = 8) -> None:
    """Writes pseudo.png beside a video: its frames, and those of all that was made of it."""
    frames = read_video(video)[0]
    chosen, rows = np.linspace(0, len(frames) - 1, min(len(frames), columns)).round().astype(int), []
    for part in (KEPT, DROPPED):
        for folder in sorted((video.parent / part).glob("*/")):
            made = read_video(folder / "video.mp4")[0]
            rows.append((f"{part}: {folder.name}", made[np.minimum(chosen, len(made) - 1)]))
    if rows:
        sheet = contact_sheet([("video", frames[chosen]), *rows], [f"frame {i}" for i in chosen])
        write_png(video.parent / "pseudo.png", sheet)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program; returns its exit code."""
    return run(make, "train.pseudo", argv)


if __name__ == "__main__":
    prepare_cpu()
    keep_compiled(sys.argv)
    stop_at_once("train.pseudo")
    sys.exit(main())
