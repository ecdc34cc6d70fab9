"""Moves a still image: `python -m sample.animate --reference R.png --motion M.mp4 --out O.mp4`."""

import dataclasses
import json
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from jaxanim import systems
from jaxanim.compiled import keep_compiled
from jaxanim.cpu import prepare_cpu
from jaxanim.ending import stop_at_once
from jaxanim.errors import InputError
from jaxanim.media.images import contact_sheet
from jaxanim.media.outputs import check_outputs
from jaxanim.media.video import MAX_FPS, write_video
from jaxanim.mesh import tracing_on
from jaxanim.metrics import compare, summary, table
from jaxanim.systems.base import Entry, InputFile, OutputFile, Report, System
from sample import devices, inputs, looking, preparing
from sample.arguments import Parser, add_fields, add_memory_options, files, number, run, size, whole
from sample.asked import prepared
from sample.driving import add_needs

REPOSITORY = Path(__file__).resolve().parents[1]


def system_parser(**options) -> Parser:
    """The option that says which other options there are."""
    options = Parser("sample.animate", allow_abbrev=False, **options)
    options.add_argument(
        "--system",
        default=systems.DEFAULT,
        choices=systems.names(),
        help="the method, which --help then explains (default: %(default)s)",
    )
    return options


def parser(entry: Entry) -> Parser:
    """The program's options for one system."""
    options = system_parser(description=__doc__)
    add = options.add_argument
    add("--reference", required=True, help="image of the character")
    form = " and ".join(f"{cue.name} ({cue.form})" for cue in entry.needs.cues)
    add(
        "--motion",
        required=True,
        help=f"{form}: {inputs.MOTION_HELP}",
    )
    add("--out", required=True, help="video to write, which is no input; a contact sheet is put beside it as a PNG")
    add("--weights", help="weights folder (default: weights/SYSTEM of this repository)")
    add("--base", help="weights folder of another base model, for systems that plug into one")
    add("--frames", type=whole(1), help="how many frames of the motion to take (default: all)")
    add("--size", type=size, metavar="WxH", help="(default: the reference's, at most the area trained at)")
    add("--pose-size", type=size, metavar="WxH", help="size of the picture that OpenPose keypoints belong to")
    add("--seed", type=whole(0, 2**32 - 1), default=0, help="of the starting noise (default: %(default)s)")
    add("--steps", type=whole(1, 1000), help="denoising steps (default: the system's)")
    add("--guidance", type=number(0, 100), help="guidance scale; 1: none, half the cost (default: the system's)")
    add("--fps", type=number(0, MAX_FPS, above=True), help="of the result (default: the motion's, or the system's)")
    add("--window", type=whole(1), help="frames denoised together (default: the system's)")
    add("--overlap", type=whole(0), help="frames that neighbouring windows share (default: the system's)")
    add("--truth", help="the true video: adds it to the sheet and prints metrics as a last line of JSON")
    add("--mask", help="video of the true body mask (default: mask.mp4 beside the truth, if there)")
    add("--per-frame", action="store_true", help="with --truth, print the metrics of every frame too")
    add("--sheet", help="where to write the contact sheet (default: the video's name with .png, or _sheet.png)")
    add("--columns", type=whole(1, 64), default=8, help="pictures in a row of the sheet (%(default)s)")
    add_needs(options, entry.needs)
    add_fields(options, entry.module.Options, f"of {entry.title}")
    preparing.add_options(options, masks=False)
    looking.add_options(options, entry.needs)
    add_memory_options(options)
    devices.add_mesh(options)
    return options


@dataclasses.dataclass(frozen=True)
class Watch:
    """Who looks on while a video is made, and may stop it by raising.

    Attributes:
      ready: (reference, pictures of what drives the system, frames a second), before anything is sampled.
      report: (steps done, steps in all, small pictures of what there is by then, in [-1, 1], or None).
    """

    ready: Callable[[np.ndarray, np.ndarray, float], None]
    report: Report


def animate(argv: Sequence[str] | None = None, watch: Watch | None = None) -> None:
    """The program; raises InputError for input that cannot be used, before anything is written."""
    entry = systems.entry(system_parser(add_help=False).parse_known_args(argv)[0].system)
    options = parser(entry).parse_args(argv)
    if options.mask and not options.truth:
        raise InputError(f"--mask is {options.mask}, and serves only with --truth, which is missing")
    mesh, laid = devices.spread(options.mesh, entry)
    weights = options.weights or REPOSITORY / "weights" / options.system
    given = ("reference", "motion", "base", "truth", "reference_motion", "reference_mask", "models")
    reads = {f"--{name.replace('_', '-')}": getattr(options, name, None) for name in given}
    reads |= {"--weights": weights, "--mask": options.mask or inputs.mask_beside(options.truth)}
    reads |= files(options, entry.module.Options, InputFile) | looking.reads(options, entry.needs)
    out, sheet = inputs.output_paths(options.out, options.sheet, reads)
    kept = files(options, entry.module.Options, OutputFile)
    kept = {name: inputs.output_path(path, (".safetensors",), name) for name, path in kept.items()}
    check_outputs({"--out": out, "--sheet": sheet} | kept, reads)

    def load() -> System:
        return systems.load(options.system, weights, options.base, dtype=options.dtype, **laid)

    asked = prepared(options, entry, load, out)
    shape, frames = asked.reference.shape[:2], len(asked.shown)
    if watch is not None:
        watch.ready(asked.reference, asked.shown, asked.fps)
    truth = mask = None
    if options.truth:
        truth = inputs.read_truth(options.truth, frames, shape)
        mask = inputs.read_mask(options.mask, options.truth, frames, shape)

    started = time.perf_counter()
    with tracing_on(mesh), tqdm(desc="denoising", unit="step", total=asked.sampling.steps) as bar:
        result = asked.animate(partial(_show, bar, watch))
    seconds = time.perf_counter() - started

    write_video(out, result, fps=asked.fps)
    columns = np.linspace(0, frames - 1, min(frames, options.columns)).round().astype(int)
    rows = [("reference", [asked.reference]), ("motion", asked.shown[columns]), ("result", result[columns])]
    if truth is not None:
        rows.append(("truth", truth[columns]))
    inputs.write_sheet(sheet, contact_sheet(rows, [f"frame {i}" for i in columns]), out)
    print(f"{out}: {frames} frames of {shape[1]}x{shape[0]} in {seconds:.1f} s; contact sheet {sheet}")
    if truth is None:
        return

    scores = compare(result, truth, asked.reference, mask)
    if options.per_frame:
        print(table(scores))
    if mask is None:
        print("No --mask, and no mask.mp4 beside the truth: the subject's own metrics are left out (null).")
    described = {"system": options.system, "frames": frames, "seconds": round(seconds, 2)}
    subject = {"psnr_subject": None, "psnr_subject_static": None}
    chosen = {name: getattr(asked.sampling, name) for name in ("steps", "guidance")}
    chosen |= {"size": f"{shape[1]}x{shape[0]}", "seed": options.seed}
    print(json.dumps(described | subject | summary(scores) | chosen))


def _show(bar: tqdm, watch: Watch | None, done: int, total: int, pictures: np.ndarray | None) -> None:
    bar.total = total
    bar.update(done - bar.n)
    if watch is not None:
        watch.report(done, total, pictures)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program; returns its exit code."""
    return run(animate, "sample.animate", argv)


if __name__ == "__main__":
    prepare_cpu()
    keep_compiled(sys.argv)
    stop_at_once("sample.animate")
    sys.exit(main())
