"""Pictures and videos from words, by a base model, ControlNet and AnimateDiff's motion modules."""

import argparse
import dataclasses
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
from jaxtyping import UInt8
from tqdm import tqdm

from jaxanim.compiled import keep_compiled
from jaxanim.cpu import prepare_cpu
from jaxanim.ending import stop_at_once
from jaxanim.errors import InputError
from jaxanim.media.images import contact_sheet, finished, read_image, resize_and_crop, write_png
from jaxanim.media.video import MAX_FPS, write_video
from jaxanim.systems.base import Memory, generator
from sample import inputs
from sample.arguments import Parser, add_memory_options, number, run, said, size, whole

TEACHING = """
examples:
  a picture          --weights W --prompt "a lighthouse at dusk" --out lighthouse.png
  less of something  --weights W --prompt "a portrait" --negative "blurry, text" --guidance 9 --out face.png
  under control      --weights W_WITH_CONTROLNET --prompt "a dancer" --control pose.png --out dancer.png
  a video            --weights W_WITH_MOTION_MODULES --prompt "waves" --frames 16 --out waves.mp4
  on a small device  ... --dtype float16 --guidance-in-turn --frames-at-once 1 --vae-tile 256

The weights folder has networks vae, text_encoder and unet, and for --control also controlnet. The same seed gives
the same picture at the same size; other programs draw their starting noise in another way, so their
seeds give other pictures.
"""


def parser() -> Parser:
    """The program's options."""
    form = argparse.RawDescriptionHelpFormatter
    options = Parser(
        "sample.generate", description=__doc__, epilog=TEACHING, formatter_class=form, allow_abbrev=False
    )
    add = options.add_argument
    add("--weights", required=True, help="weights folder of a system that words drive")
    add("--prompt", required=True, help="what to show")
    add("--negative", default="", help="what to lead away from (default: nothing)")
    add("--out", required=True, help="picture (.png) or video (.mp4, .mov, .mkv) to write")
    add("--frames", type=whole(1), help="of the video (default: 1 for a picture, the weights' window for a video)")
    add("--size", type=size, metavar="WxH", help="(default: what the weights were trained at)")
    add("--steps", type=whole(1, 1000), help="denoising steps (default: the weights')")
    add("--guidance", type=number(0, 100), help="of the prompt; 1: none, half the cost (default: the weights')")
    add("--seed", type=whole(0, 2**32 - 1), default=0, help="of the starting noise (default: %(default)s)")
    add("--control", help="the ControlNet's picture, drawn as it was trained; for a video maybe a video")
    add("--control-scale", type=number(0, 100), default=1.0, help="how strongly it controls (default: %(default)s)")
    add("--fps", type=number(0, MAX_FPS, above=True), default=8, help="of a video (default: %(default)s)")
    add("--sheet", help="contact sheet to write (default: for a video its name with .png; none for a picture)")
    add("--columns", type=whole(1, 64), default=8, help="pictures in a row of the sheet (%(default)s)")
    add("--window", type=whole(1), help="frames that see each other in a long video (default: the weights')")
    add("--overlap", type=whole(0), help="frames that neighbouring windows share (default: the weights')")
    add_memory_options(options)
    return options


def generate(argv: Sequence[str] | None = None) -> None:
    """The program; raises InputError for input that cannot be used, before anything is written."""
    options = parser().parse_args(argv)
    reads = {"--weights": options.weights, "--control": options.control}
    out, sheet = inputs.output_paths(options.out, options.sheet, reads, (".png", *inputs.VIDEO_SUFFIXES))
    picture = out.suffix.lower() == ".png"
    if picture and (options.frames or 1) > 1:
        raise InputError(f"--out is {out}, a picture, and --frames is {options.frames}; name a video such as x.mp4")

    system = generator(options.weights, dtype=options.dtype)
    defaults = system.defaults
    inputs.check_windows(options.window, options.overlap, defaults)
    frames = options.frames or (1 if picture else defaults.window)
    if frames > 1 and system.config.unet.motion is None:
        raise InputError(f"--weights {options.weights} has no motion modules, so it makes pictures, not {out.name}")
    shape = inputs.choose_size(options.size, defaults.size, system.grid.side, defaults)
    inputs.check_room(out, frames, shape)
    control = None
    if options.control is not None:
        if system.config.controlnet is None:
            raise InputError(f"--weights {options.weights} has no network 'controlnet', which --control needs")
        control = read_control(options.control, frames, shape)

    changed = {name: getattr(options, name) for name in ("steps", "guidance", "window", "overlap")}
    sampling = dataclasses.replace(defaults, **{name: to for name, to in changed.items() if to is not None})
    started = time.perf_counter()
    with tqdm(desc="denoising", unit="step", total=sampling.steps) as bar:
        result = system.generate(
            options.prompt,
            negative=options.negative,
            size=shape,
            frames=frames,
            key=jax.random.key(options.seed),
            sampling=sampling,
            control=None if control is None else control.astype(np.float32) / 255,
            control_scale=options.control_scale,
            report=lambda done, *_: bar.update(done - bar.n),
            memory=Memory(**said(options, Memory)),
        )
        result = finished(np.asarray(result))
    seconds = time.perf_counter() - started

    if picture:
        write_png(out, result[0])
    else:
        write_video(out, result, fps=options.fps)
    if sheet:
        inputs.write_sheet(sheet, _sheet(result, control, options.columns), out)
    what = f"{shape[1]}x{shape[0]}" if picture else f"{frames} frames of {shape[1]}x{shape[0]}"
    print(f"{out}: {what} in {seconds:.1f} s" + (f"; contact sheet {sheet}" if sheet else ""))


def read_control(
    path: str, frames: int, size: tuple[int, int]
) -> UInt8[np.ndarray, "control_frames height width 3"]:
    """A control picture, or for videos as many frames of a control video, cropped to `size`."""
    if Path(path).suffix.lower() not in inputs.VIDEO_SUFFIXES:
        return resize_and_crop(read_image(path)[None], size)
    return inputs.read_truth(path, frames, size, "--control")


def _sheet(result: np.ndarray, control: np.ndarray | None, most: int) -> UInt8[np.ndarray, "height width 3"]:
    columns = np.linspace(0, len(result) - 1, min(len(result), most)).round().astype(int)
    rows = [("result", result[columns])]
    if control is not None:
        rows.insert(0, ("control", control[columns if len(control) > 1 else [0]]))
    return contact_sheet(rows, [f"frame {i}" for i in columns])


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program; returns its exit code."""
    return run(generate, "sample.generate", argv)


if __name__ == "__main__":
    prepare_cpu()
    keep_compiled(sys.argv)
    stop_at_once("sample.generate")
    sys.exit(main())
