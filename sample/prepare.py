"""From an ordinary video to what drives a system: `python -m sample.prepare --video V --reference R --out DIR`.

Finds the person's points (and mask and face, where the system takes them) in the video and in the reference,
brings the motion to the reference's place and size, and writes the cues with a picture of them over the reference.
What was found is kept beside the video.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from jaxanim import systems
from jaxanim.compiled import keep_compiled
from jaxanim.cpu import prepare_cpu
from jaxanim.cues import beside, openpose, skeleton
from jaxanim.cues.detections import kept_beside
from jaxanim.cues.driving import Frames
from jaxanim.cues.prepare import Shot
from jaxanim.ending import stop_at_once
from jaxanim.media.files import atomic_folder, check_folder
from jaxanim.media.images import contact_sheet, read_image, write_png
from jaxanim.media.outputs import check_outputs
from jaxanim.media.video import read_video, write_video
from sample import inputs, preparing
from sample.arguments import Parser, run, whole

FILES = (
    "densepose.mp4",
    "openpose",
    "skeleton.json",
    "video.mp4",
    "mask.mp4",
    "reference_mask.png",
    "reference_openpose",
    "preview.png",
)
_FINE = {"crf": 0, "pixel_format": "yuv444p"}


def parser() -> Parser:
    """The program's options."""
    options = Parser("sample.prepare", description=__doc__, allow_abbrev=False)
    add = options.add_argument
    add("--video", required=True, help="somebody who moves, in one shot")
    add("--reference", required=True, help="image of the character")
    add("--system", default=systems.DEFAULT, choices=systems.names(), help="whose cues (default: %(default)s)")
    add("--out", required=True, help="folder to write")
    add("--frames", type=whole(1), help="how many frames of the video to take (default: all)")
    preparing.add_options(options)
    return options


def prepare(argv: Sequence[str] | None = None) -> None:
    """The program; raises InputError for input that cannot be used, before anything is written."""
    options = parser().parse_args(argv)
    needs, out = systems.entry(options.system).needs, Path(options.out)
    reads = {"--video": options.video, "--reference": options.reference, "--models": options.models}
    reads |= {"--mask": options.mask, "--reference-mask": options.reference_mask, "--densepose": options.densepose}
    check_outputs({"--out": out}, reads)
    check_folder(out, FILES)
    reference = read_image(options.reference)
    frames, fps = read_video(options.video, options.frames)
    inputs.check_frames(options.frames, len(frames), "--video", options.video)
    with tqdm(desc="looking at frames", unit="frame", total=len(frames)) as bar:

        def report(done: int, total: int) -> None:
            bar.total = total
            bar.n = done
            bar.refresh()

        motion, still = preparing.prepare(frames, reference, options, needs, report=report)
    with atomic_folder(out) as folder:
        written = _write(folder, motion, still, needs, fps)
    drives = next(name for name in written if not name.startswith(("reference", "mask")))
    print(f"{out}: {', '.join(written)}, preview.png; what was found is kept in {kept_beside(options.video)}")
    rest = f" --reference-motion {out / 'reference_openpose'}" if "reference_openpose" in written else ""
    said = "".join(f" --{name} ..." for name in needs.required)
    print(
        f"python -m sample.animate --system {options.system} --reference {options.reference} "
        f"--motion {out / drives}{rest}{said} --out result.mp4"
    )


def _write(folder: Path, motion: Shot, still: Shot, needs, fps: float) -> list[str]:
    """Writes the cues that `needs` names; returns the files' names, that which drives first."""
    labels, written = preparing.labels(motion, needs.cues), []
    for cue in needs.cues:
        if cue.key in ("openpose", "keypoints"):
            openpose.write(folder / "openpose", labels.keypoints, canvas=still.size)
            written.append("openpose")
        elif cue.key == "graph":
            held = skeleton.encode(labels.graph, still.size, fps)
            (folder / "skeleton.json").write_text(json.dumps(held), encoding="utf-8")
            written.append("skeleton.json")
        else:
            write_video(folder / f"{cue.key}.mp4", labels.pictures[cue.key], fps, **_FINE)
            written.append(f"{cue.key}.mp4")
    if motion.masks is not None:
        beside.write_masks(folder / beside.MASK, motion.masks, fps)
        written.append("mask.mp4")
    if still.masks is not None:
        write_png(folder / "reference_mask.png", still.masks[0])
        written.append("reference_mask.png")
    if needs.still and still.fields is not None:
        openpose.write(folder / "reference_openpose", openpose.keypoints_of(still.fields), canvas=still.size)
        written.append("reference_openpose")
    write_png(folder / "preview.png", preview(motion, still, needs.cues[0].show(labels, still.size)))
    return written


def preview(motion: Shot, still: Shot, cue: Frames, columns: int = 6) -> np.ndarray:
    """A contact sheet: the video, the cue, and the cue over the reference, which shows how well the two agree."""
    chosen = np.linspace(0, len(cue) - 1, min(len(cue), columns)).round().astype(int)
    over = over_reference(cue[chosen], still.frames[0])
    rows = [("video", motion.frames[chosen]), ("cue", cue[chosen]), ("over reference", over)]
    return contact_sheet(rows, [f"frame {i}" for i in chosen])


def over_reference(cue: Frames, reference: np.ndarray) -> Frames:
    """Pictures of a cue laid half over the reference."""
    return ((cue.astype(np.uint16) + reference) // 2).astype(np.uint8)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program; returns its exit code."""
    return run(prepare, "sample.prepare", argv)


if __name__ == "__main__":
    prepare_cpu()
    keep_compiled(sys.argv)
    stop_at_once("sample.prepare")
    sys.exit(main())
