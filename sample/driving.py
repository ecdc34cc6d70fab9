"""What drives a system, read from what a user names on the command line; a system's `Needs` say what that is."""

import argparse
import dataclasses
import os
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from jaxanim.cues import skeleton
from jaxanim.cues.densepose_from_pose import on_canvas, place
from jaxanim.cues.driving import SAID, Cue, Driving, Labels, Needs, place_keypoints
from jaxanim.cues.skeleton import Graph
from jaxanim.errors import InputError
from jaxanim.media.images import read_image, resize_and_crop
from jaxanim.media.keypoints import holds_frames
from jaxanim.media.video import Motion, read_motion
from sample.arguments import Parser
from sample.inputs import driving_frames


@dataclasses.dataclass(frozen=True)
class Opened:
    """A motion as it lies in a file or folder: a video, OpenPose's keypoints, or a skeleton graph.

    `graph_size` is the (height, width) of the pictures that the graph belongs to.
    """

    path: str | os.PathLike
    frames: int
    fps: float | None
    motion: Motion | None = None
    graph: Graph | None = None
    graph_size: tuple[int, int] | None = None


def open_motion(
    path: str | os.PathLike, cues: tuple[Cue, ...], max_frames: int | None = None, fps: float | None = None
) -> Opened:
    """Reads a motion; raises InputError where it cannot be read.

    Transparent images are laid over the background of the first of `cues` that has one; a video of variable rate is
    brought to `fps` frames a second.
    """
    if Path(path).suffix.lower() == ".json" and not holds_frames(Path(path)):
        graph, size, fps = skeleton.read(path)
        return Opened(path, len(graph.points), fps, graph=graph, graph_size=size)
    background = next((cue.look.background for cue in cues if cue.look is not None), (0, 0, 0))
    motion = read_motion(path, max_frames, background, fps)
    return Opened(path, motion.num_frames, motion.fps, motion)


def labels_of(
    cues: tuple[Cue, ...],
    opened: Opened,
    frames: int,
    size: tuple[int, int],
    reference_size: tuple[int, int],
    pose_size: tuple[int, int] | None = None,
) -> Labels:
    """The first frames of a motion as every one of these cues; arguments and errors as of `driving_frames`."""
    pictures, known = {}, {}
    for cue in cues:
        if cue.key == "graph":
            known["graph"] = _graph(opened, frames, size)
        elif cue.key == "keypoints":
            known["keypoints"] = _keypoints(opened, frames, size, reference_size, pose_size)
        elif opened.motion is None or (cue.look is None and opened.motion.frames is None):
            raise _wrong_form(opened, cue)
        elif cue.look is None:
            pictures[cue.key] = opened.motion.frames.read(frames, size)
        else:
            pictures[cue.key] = driving_frames(
                opened.motion, opened.path, frames, size, reference_size, pose_size, cue
            )
    return Labels(pictures, **known)


def _graph(opened: Opened, frames: int, size: tuple[int, int]) -> Graph:
    if opened.graph is None:
        raise InputError(f"--motion {opened.path} is no skeleton graph: name a skeleton.json")
    points = place(opened.graph.points[:frames, None], opened.graph_size, size)[:, 0]
    return dataclasses.replace(opened.graph, points=points)


def _mask(
    path: str | os.PathLike, reference: tuple[int, int], size: tuple[int, int]
) -> UInt8[np.ndarray, "1 height width"]:
    picture = read_image(path)
    if picture.shape[:2] != reference:
        (height, width), (tall, wide) = picture.shape[:2], reference
        raise InputError(f"--reference-mask {path} is {width}x{height}; it should be {wide}x{tall}, as --reference")
    return resize_and_crop(picture[None], size)[..., 0]


def _keypoints(opened, frames, size, reference_size, pose_size):
    if opened.motion is None or opened.motion.keypoints is None:
        raise InputError(f"--motion {opened.path} holds no keypoints: name a folder of OpenPose JSON files")
    fields = {name: values[:frames] for name, values in opened.motion.keypoints.items()}
    return place_keypoints(*on_canvas(fields, opened.motion.canvas, reference_size, pose_size), size)


def _wrong_form(opened: Opened, cue: Cue) -> InputError:
    return InputError(f"--motion {opened.path} is no {cue.name}: it should show {cue.form}")


def add_needs(options: Parser, needs: Needs) -> None:
    """Adds arguments for what else a system's user can or has to say."""
    for name in (*needs.required, *needs.optional):
        options.add_argument(f"--{name.replace('_', '-')}", required=name in needs.required, help=SAID[name])
    if needs.still:
        forms = " and ".join(cue.name for cue in needs.still)
        options.add_argument(
            "--reference-motion", help=f"{forms} of the reference, as of the motion (default: found in it)"
        )


def read_driving(
    parsed: argparse.Namespace,
    needs: Needs,
    opened: Opened,
    frames: int,
    size: tuple[int, int],
    reference: tuple[int, int],
    found: Opened | None = None,
) -> Driving:
    """All that the arguments of `add_needs`, --motion and --pose-size give, at `size` (height, width).

    Args:
      reference: (height, width) of the reference's file.
      found: the reference's own motion where --reference-motion names none.
    """
    still = Labels()
    if needs.still:
        named = parsed.reference_motion
        opened_still = found if named is None else open_motion(named, needs.still, 1)
        still = labels_of(needs.still, opened_still, 1, size, reference, named and reference)
    said = {name: getattr(parsed, name) for name in (*needs.required, *needs.optional)}
    if (mask := said.pop("reference_mask", None)) is not None:
        still = dataclasses.replace(still, masks=_mask(mask, reference, size))
    motion = labels_of(needs.cues, opened, frames, size, reference, parsed.pose_size)
    return Driving(**vars(motion), still=still, fps=opened.fps, **said)
