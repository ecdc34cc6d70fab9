"""Renders a puppet with all its labels: `python -m jaxanim.puppets --seed 7 --out clip`."""

import argparse
import re
import sys
from pathlib import Path

from jaxanim.ending import ends_well, stop_at_once
from jaxanim.errors import InputError
from jaxanim.media.files import check_folder
from jaxanim.media.outputs import check_outputs
from jaxanim.puppets.camera import CAMERAS
from jaxanim.puppets.export import FILES, write_clip
from jaxanim.puppets.kinds import KINDS, kind_of
from jaxanim.puppets.motion import Motion
from jaxanim.puppets.openpose_motion import motion_from_openpose
from jaxanim.puppets.render import make_character, puppet_clip

_ABOUT = """\
Renders a puppet drawn from a seed, performing a motion, with exact labels.

The seed decides who the puppet is, where it is and, without --motion, what it does. Seeds 0 to 899999 are for
training, 900000 to 949999 for validation, 950000 and up for tests.

Writes into --out: reference.png (the puppet at another moment), truth.mp4, densepose.mp4 (parts in
DensePose's viridis colours; an animal's own parts), openpose.mp4 and openpose/ (JSON per frame; of humans),
skeleton.json, mask.mp4 and prompt.txt."""

_EXAMPLES = """\
examples:
  python -m jaxanim.puppets --seed 950000 --frames 48 --size 128x128 --out puppet
  python -m jaxanim.puppets --seed 7 --motion wave --camera pan --size 256x192 --out waving
  python -m jaxanim.puppets --seed 7 --character fish --motion swim --out fish
  python -m jaxanim.puppets --seed 7 --motion folder_of_openpose_json --out captured

motions:
"""


class _Parser(argparse.ArgumentParser):
    """Answers a wrong option in one sentence."""

    def error(self, message: str) -> None:
        raise InputError(message)


def _parser() -> argparse.ArgumentParser:
    motions = "\n".join(f"  {kind:<10} {', '.join(kind_of(kind).styles)}" for kind in KINDS)
    parser = _Parser(
        prog="python -m jaxanim.puppets", description=_ABOUT, epilog=_EXAMPLES + motions,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--seed", required=True, help="whole number, 0 or more")
    parser.add_argument("--character", default="human", metavar="KIND", help=f"one of {', '.join(KINDS)} (human)")
    parser.add_argument(
        "--motion",
        metavar="NAME|PATH",
        help="a motion of the kind, or OpenPose JSON: a folder of files in number order, or one with all frames",
    )
    parser.add_argument("--frames", help="number of frames at 25 a second (48, or all of a folder's)")
    parser.add_argument("--size", default="128x128", metavar="WxH", help="width x height in pixels (128x128)")
    parser.add_argument("--camera", default="still", help=f"one of {', '.join(CAMERAS)} (still)")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder to write; it must not hold other files")
    return parser


def _whole(option: str, text: str, least: int) -> int:
    if not re.fullmatch(r"\d{1,12}", text) or int(text) < least:
        raise InputError(f"{option} is {text!r}; it must be a whole number, {least} or more")
    return int(text)


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
    if not match or not all(16 <= int(side) <= 4096 for side in match.groups()):
        raise InputError(f"--size is {text!r}; it must be WIDTHxHEIGHT, each 16 to 4096, as in 128x128")
    return int(match[2]), int(match[1])


def _motion(name: str | None, kind: str, seed: int) -> Motion | str | None:
    """A style's name as it is, a folder as the motion in it."""
    if name is None or name in kind_of(kind).styles:
        return name
    if Path(name).is_dir() or Path(name).suffix.lower() == ".json":
        return motion_from_openpose(name, make_character(seed, kind))
    raise InputError(
        f"--motion is {name!r}; it must be a folder of OpenPose JSON files or, for a {kind}, one of "
        f"{', '.join(kind_of(kind).styles)}"
    )


def run(arguments: list[str]) -> None:
    """The program; raises InputError for anything it cannot do."""
    args = _parser().parse_args(arguments)
    seed, size = _whole("--seed", args.seed, 0), _size(args.size)
    if args.camera not in CAMERAS:
        raise InputError(f"--camera is {args.camera!r}; it must be one of {', '.join(CAMERAS)}")
    check_folder(Path(args.out), FILES)
    if args.motion is not None and Path(args.motion).exists():
        check_outputs({"--out": args.out}, {"--motion": args.motion})
    motion = _motion(args.motion, args.character, seed)
    captured = isinstance(motion, Motion)
    if args.frames is None:
        frames = motion.frames if captured else 48
    else:
        frames = _whole("--frames", args.frames, 1)
    if captured and frames > motion.frames:
        raise InputError(f"--frames is {frames}, but --motion {args.motion} has only {motion.frames} frames")
    clip = puppet_clip(seed, frames, size, args.character, motion, camera=args.camera)
    write_clip(args.out, clip)
    print(f"{args.out}: {frames} frames of {clip.prompt}")


def main() -> None:
    """Runs, and answers bad input with one sentence and exit code 2."""
    if code := ends_well("jaxanim.puppets", lambda: run(sys.argv[1:])):
        sys.exit(code)


if __name__ == "__main__":
    stop_at_once("jaxanim.puppets")
    main()
