"""Puts videos and their conditioning into one dataset that trainings read quickly from any disk or bucket.

  python -m train.records own my_videos --out data/mine              a folder for each video, see docs/preparing.md
  python -m train.records tiktok TikTok_dataset --out data/tiktok --needs densepose
  python -m train.records puppets --out data/puppets --seeds 0:3000 --test 950000:950032
  python -m train.records own my_videos --out data/mine --beam --runner SparkRunner ...     on a cluster

A config then names the folder that is printed: `videos=RecordClips("data/tiktok/videos/1.0.0")`. Needs
`pip install 'jaxanim[tfds]'`; TensorFlow is not needed. Nothing is written before every video's conditioning was
found.
"""

import argparse
import sys
from pathlib import Path

from jaxanim.ending import ends_well
from jaxanim.errors import InputError


def main(arguments: list[str] | None = None) -> int:
    """The program; returns its exit code."""
    from jaxanim.data.layouts import CONDITIONING, LAYOUTS

    parser = argparse.ArgumentParser(
        prog="python -m train.records", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("layout", choices=[*LAYOUTS, "puppets"], help="how the videos lie in their folder")
    parser.add_argument("folder", nargs="?", type=Path, help="where they lie; not for puppets")
    parser.add_argument("--out", required=True, type=Path, help="folder to write into")
    parser.add_argument("--needs", nargs="*", default=[], choices=CONDITIONING, help="what every video must have")
    parser.add_argument("--seeds", default="0:1000", help="puppets: first seed and end of the training split")
    parser.add_argument("--test", default="950000:950016", help="puppets: the same of the test split")
    parser.add_argument("--frames", type=int, default=75, help="puppets: of a video")
    parser.add_argument("--size", default="128x128", help="puppets: WIDTHxHEIGHT")
    parser.add_argument(
        "--beam", nargs=argparse.REMAINDER, metavar="ARGUMENT", help="generate on Apache Beam; all that follows is "
        "Beam's, and without any it is the direct runner",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    return ends_well("train.records", lambda: run(options))


def run(options: argparse.Namespace) -> None:
    """Finds the videos, builds the dataset and tells where it is."""
    from jaxanim.data import layouts, records
    from jaxanim.media.outputs import check_outputs

    if options.layout == "puppets":
        if options.folder is not None:
            raise InputError(f"folder is {options.folder}: puppets come from none")
        splits = {"train": _range("--seeds", options.seeds), "test": _range("--test", options.test)}
        made = records.of_puppets(splits, options.frames, _size(options.size))
        described = f"The puppet world's seeds {options.seeds} and {options.test}."
    else:
        if options.folder is None:
            raise InputError("folder is missing: name the one that the videos lie in")
        check_outputs({"--out": options.out}, {"folder": options.folder})
        made = records.of_layout(layouts.find(options.layout, options.folder, options.needs))
        described = f"Videos of {options.folder.name}, laid out as {options.layout}."
    built = records.build(options.out, made, described, options.beam)
    print(f"{built}: {', '.join(f'{len(arguments)} {split}' for split, (_, arguments) in made.items())}")


def _range(name: str, text: str) -> tuple[int, int]:
    first, _, end = text.partition(":")
    if not (first.isdigit() and end.isdigit() and int(first) < int(end)):
        raise InputError(f"{name} is {text}: give FIRST:END, as 0:1000")
    return int(first), int(end) - int(first)


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    if not (width.isdigit() and height.isdigit() and int(width) and int(height)):
        raise InputError(f"--size is {text}: give WIDTHxHEIGHT, as 128x128")
    return int(height), int(width)


if __name__ == "__main__":
    sys.exit(main())
