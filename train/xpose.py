"""Builds a dataset of poses of anything, as XPose was built: videos with a segmenter's masks to skeleton files.

  python -m train.xpose --videos videos --masks masks --out xpose

`jaxanim.data.xpose` says what lies in these folders. A run that was cut off goes on where it was. Arguments that
this program does not know are Apache Beam's, such as `--runner SparkRunner`: the same pipeline runs on a cluster.
"""

import argparse
import sys

from jaxanim.errors import InputError


def main(arguments: list[str] | None = None) -> int:
    """The program; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m train.xpose", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--videos", required=True, help="folder of videos")
    parser.add_argument("--masks", required=True, help="folder with a folder of masks for each of them")
    parser.add_argument("--out", required=True, help="folder to write skeleton files and the manifest to")
    parser.add_argument("--smallest", type=float, default=0.2, help="share of a frame that the subject exceeds")
    parser.add_argument("--largest", type=float, default=0.8, help="share of a frame that it stays below")
    parser.add_argument("--with-skeleton", type=float, default=0.8, help="share of frames that have a skeleton")
    options, runner = parser.parse_known_args(arguments)
    try:
        kept = build(options, runner)
    except InputError as error:
        print(f"train.xpose: {error}", file=sys.stderr)
        return 2
    print(kept)
    return 0


def build(options: argparse.Namespace, runner: list[str]) -> str:
    """Runs the pipeline; returns what to tell."""
    from jaxanim.data import xpose
    from jaxanim.media.outputs import check_outputs

    for name in ("smallest", "largest", "with_skeleton"):
        if not 0 <= getattr(options, name) <= 1:
            raise InputError(f"--{name.replace('_', '-')} is {getattr(options, name)}: it is a share from 0 to 1")
    check_outputs({"--out": options.out}, {"--videos": options.videos, "--masks": options.masks})
    verdicts = xpose.build(xpose.XPose(**vars(options)), runner)
    lines = [f"  {verdict['video']}: {verdict['why']}" for verdict in verdicts if not verdict["kept"]]
    kept = f"{options.out}: {len(verdicts) - len(lines)} of {len(verdicts)} videos kept"
    return "\n".join([kept, *(["not kept:", *lines] if lines else [])])


if __name__ == "__main__":
    sys.exit(main())
