"""Moves a still image: `python -m sample.animate --reference R.png --motion M.mp4 --out O.mp4`."""

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
from tqdm import tqdm

from jaxanim import systems
from jaxanim.cpu import prepare_cpu
from jaxanim.errors import InputError
from jaxanim.media.images import contact_sheet, read_image, resize_and_crop, to_float, to_uint8, write_png
from jaxanim.media.video import read_motion, write_video
from jaxanim.metrics import compare, summary, table
from sample import inputs
from sample.arguments import Parser, add_memory_options, memory_options, number, run, size, whole

REPOSITORY = Path(__file__).resolve().parents[1]


def parser() -> Parser:
    """The program's options."""
    options = Parser("sample.animate", description=__doc__, allow_abbrev=False)
    add = options.add_argument
    add("--system", default="magicanimate", choices=systems.names(), help="the method (default: %(default)s)")
    add("--reference", required=True, help="image of the character")
    add("--motion", required=True, help="video or folder of images of the system's cue, or folder of OpenPose JSON")
    add("--out", required=True, help="video to write, which is no input; a contact sheet is put beside it as a PNG")
    add("--weights", help="weights folder (default: weights/SYSTEM of this repository)")
    add("--base", help="weights folder of another base model, for systems that plug into one")
    add("--frames", type=whole(1), help="how many frames of the motion to take (default: all)")
    add("--size", type=size, metavar="WxH", help="(default: the reference's, at most the area trained at)")
    add("--pose-size", type=size, metavar="WxH", help="size of the picture that OpenPose keypoints belong to")
    add("--seed", type=whole(0, 2**32 - 1), default=0, help="of the starting noise (default: %(default)s)")
    add("--steps", type=whole(1, 1000), help="denoising steps (default: the system's)")
    add("--guidance", type=number(0), help="guidance scale; 1: none, half the cost (default: the system's)")
    add("--fps", type=number(0, above=True), help="of the result (default: the motion's, or the system's)")
    add("--window", type=whole(1), help="frames denoised together (default: the system's)")
    add("--overlap", type=whole(0), help="frames that neighbouring windows share (default: the system's)")
    add("--truth", help="the true video: adds it to the sheet and prints metrics as a last line of JSON")
    add("--mask", help="video of the true body mask (default: mask.mp4 beside the truth, if there)")
    add("--per-frame", action="store_true", help="with --truth, print the metrics of every frame too")
    add("--sheet", help="where to write the contact sheet (default: the video's name with .png, or _sheet.png)")
    add("--columns", type=whole(1, 64), default=8, help="pictures in a row of the sheet (%(default)s)")
    add_memory_options(options)
    return options


def animate(argv: Sequence[str] | None = None) -> None:
    """The program; raises InputError for input that cannot be used, before anything is written."""
    options = parser().parse_args(argv)
    if options.mask and not options.truth:
        raise InputError(f"--mask is {options.mask}, and serves only with --truth, which is missing")
    weights = options.weights or REPOSITORY / "weights" / options.system
    reads = {f"--{name}": getattr(options, name) for name in ("reference", "motion", "base", "truth")}
    reads |= {"--weights": weights, "--mask": options.mask or inputs.mask_beside(options.truth)}
    out, sheet = inputs.output_paths(options.out, options.sheet, reads)

    reference = read_image(options.reference)
    motion = read_motion(options.motion, options.frames)
    frames = inputs.check_frames(options.frames, motion.num_frames, "--motion", options.motion)
    system = systems.load(options.system, weights, options.base, dtype=options.dtype)
    inputs.check_windows(options.window, options.overlap, system.defaults)
    shape = inputs.choose_size(options.size, reference.shape[:2], system.frame_multiple, system.defaults)
    driving = inputs.driving_frames(
        motion, options.motion, frames, shape, reference.shape[:2], options.pose_size, system.cue
    )
    reference = resize_and_crop(reference, shape)
    truth = mask = None
    if options.truth:
        truth = inputs.read_truth(options.truth, frames, shape)
        mask = inputs.read_mask(options.mask, options.truth, frames, shape)

    chosen = {
        "steps": options.steps or system.defaults.steps,
        "guidance": system.defaults.guidance if options.guidance is None else options.guidance,
    }
    own = {name: getattr(options, name) for name in ("window", "overlap")} | memory_options(options)
    started = time.perf_counter()
    with tqdm(desc="denoising", unit="step", total=chosen["steps"]) as bar:
        result = system.animate(
            to_float(reference),
            driving.astype(np.float32) / 255,
            key=jax.random.key(options.seed),
            report=lambda done, total: _show(bar, done, total),
            **chosen,
            **{name: value for name, value in own.items() if value is not None},
        )
        result = to_uint8(np.asarray(result))
    seconds = time.perf_counter() - started

    write_video(out, result, fps=options.fps or motion.fps or system.defaults.fps)
    columns = np.linspace(0, frames - 1, min(frames, options.columns)).round().astype(int)
    rows = [("reference", [reference]), ("motion", driving[columns]), ("result", result[columns])]
    if truth is not None:
        rows.append(("truth", truth[columns]))
    write_png(sheet, contact_sheet(rows, [f"frame {i}" for i in columns]))
    print(f"{out}: {frames} frames of {shape[1]}x{shape[0]} in {seconds:.1f} s; contact sheet {sheet}")
    if truth is None:
        return

    scores = compare(result, truth, reference, mask)
    if options.per_frame:
        print(table(scores))
    if mask is None:
        print("No --mask, and no mask.mp4 beside the truth: the subject's own metrics are left out (null).")
    described = {"system": options.system, "frames": frames, "seconds": round(seconds, 2)}
    subject = {"psnr_subject": None, "psnr_subject_static": None}
    chosen |= {"size": f"{shape[1]}x{shape[0]}", "seed": options.seed}
    print(json.dumps(described | subject | summary(scores) | chosen))


def _show(bar: tqdm, done: int, total: int) -> None:
    bar.total = total
    bar.update(done - bar.n)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program; returns its exit code."""
    return run(animate, "sample.animate", argv)


if __name__ == "__main__":
    prepare_cpu()
    sys.exit(main())
