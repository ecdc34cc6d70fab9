"""Camera control measured: the background's motion, by registration, against the one asked for, beside what the same
puppet does without a camera; and whether the subject still follows its pose.

    python -m tests.bench.camera_control --weights weights/poseanything --seeds 950000:950007

prints one JSON object. "along" is the motion along the axis asked for (frame widths, heights, or the logarithm of the zoom)
over what was asked; 1 is perfect and 0 no control. "across" is the motion along the two other axes. "subject" is the
PSNR in dB of the subject against the truth of a still camera, shifted as the camera was measured to move.
"""

import argparse
import dataclasses
import json

import cv2
import jax
import numpy as np

from jaxanim import systems
from jaxanim.media.images import to_float, to_uint8
from jaxanim.metrics.camera import camera_motion
from jaxanim.metrics.image import psnr
from jaxanim.metrics.puppet_cases import puppet_case
from jaxanim.systems.poseanything.camera import parse, path
from sample.arguments import seeds

CAMERAS = ("pan-left 0.3", "pan-right 0.3", "tilt-up 0.2", "tilt-down 0.2", "zoom-in 0.4", "zoom-out 0.4")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", default="weights/poseanything")
    parser.add_argument("--seeds", type=seeds, default=range(950_000, 950_007), metavar="A:B")
    parser.add_argument("--cameras", nargs="+", default=list(CAMERAS))
    parser.add_argument("--scale", type=float, default=1.0, help="s_c of Eq. 13")
    parser.add_argument("--decoupling", choices=("superposed", "anchors"), default="superposed")
    args = parser.parse_args()
    system = systems.load("poseanything", args.weights)
    options = system.entry.module.Options(camera_scale=args.scale, decoupling=args.decoupling)
    rows = {}
    for words in ("still", *args.cameras):
        rows[words] = mean([measure(system, options, seed, words) for seed in args.seeds])
    print(json.dumps({"scale": args.scale, "decoupling": args.decoupling, "cameras": rows}, indent=1))


def measure(system, options, seed, words) -> dict[str, float]:
    frames, size = system.grid.at_most(system.defaults.window), system.defaults.size
    case = puppet_case(seed, frames=frames, size=size, kind="any", needs=system.entry.needs)
    driving = dataclasses.replace(case.driving, camera=words)
    video = to_uint8(
        np.asarray(system.animate(to_float(case.reference), driving, key=jax.random.key(seed), options=options))
    )
    way = camera_motion(video, case.mask)
    asked, got = (np.array([*end[:2], np.log(end[2])]) for end in (path(parse(words), frames)[-1], way[-1]))
    axis = int(np.abs(asked).argmax())
    row = {"across": float(np.abs(np.delete(got, axis)).sum()), "subject": subject(video, case, way)}
    return row | ({"along": float(got[axis] / asked[axis])} if asked.any() else {"along": float(np.abs(got[axis]))})


def subject(video, case, way) -> float:
    """PSNR of the subject against the truth, moved as the camera was."""
    height, width = video.shape[1:3]
    truth, masks = [], []
    for frame, mask, (right, up, zoom) in zip(case.truth, case.mask, way, strict=True):
        middle = np.array([width / 2 - 0.5, height / 2 - 0.5])
        shift = zoom * np.array([-right * width, up * height]) + middle - zoom * middle
        matrix = np.array([[zoom, 0, shift[0]], [0, zoom, shift[1]]])
        truth.append(cv2.warpAffine(frame, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE))
        masks.append(cv2.warpAffine(mask, matrix, (width, height)))
    return float(np.nanmean(psnr(video, np.stack(truth), np.stack(masks))))


def mean(rows: list[dict[str, float]]) -> dict[str, float]:
    return {name: round(float(np.mean([row[name] for row in rows])), 3) for name in rows[0]}


if __name__ == "__main__":
    main()
