"""An ordinary video as what drives a system, for the programs that take one."""

import argparse
import dataclasses
import os
from pathlib import Path
from typing import Any, get_args

import numpy as np
from jaxtyping import UInt8

from jaxanim.convert.densepose_dump import read_dump
from jaxanim.cues import model_files
from jaxanim.cues.densepose import colored
from jaxanim.cues.detect import Report, silent
from jaxanim.cues.detections import kept_beside
from jaxanim.cues.driving import Cue, Frames, Labels, Masks, Needs
from jaxanim.cues.openpose import keypoints_of
from jaxanim.cues.part_maps import parts_of
from jaxanim.cues.prepare import Align, Shot, Tools, align, check_one_shot, labels_of, moved, observe, off_picture
from jaxanim.cues.skeleton_drawing import human_graph
from jaxanim.errors import InputError
from jaxanim.media.images import read_image, resize
from jaxanim.media.tell import tell
from jaxanim.media.video import Motion, read_video
from sample.arguments import Parser
from sample.driving import Opened
from sample.inputs import wrong_cue

AREA = 2**20
LOOK = 256  # pixels of the longer side: enough to tell what a video shows
POSED = ("densepose", "openpose", "keypoints", "graph")
"""Cues that are drawn of a person's points."""


def add_options(options: Parser, *, masks: bool = True) -> None:
    """Adds what preparation lets its user choose."""
    group = options.add_argument_group("preparation of an ordinary video")
    add = group.add_argument
    add("--models", help=f"folder with the detectors' files (or {model_files.VARIABLE}, or a settings file)")
    add(
        "--align",
        choices=get_args(Align),
        default="auto",
        help="bring the motion to the reference's place and size: by the joints seen in both, by masks, or not at "
        "all (default: by joints where they are known)",
    )
    add("--device", default="cpu", help="of the pose network: cpu, cuda or mps (default: %(default)s)")
    if masks:
        add("--mask", help="video that is white where the person is (default: SAM 2, where the system takes masks)")
        add("--reference-mask", help="picture that is white where the character is")
        add(
            "--densepose", help="DensePose of the video: a part map in any colours or numbers, or a dump of results"
        )
        add(
            "--subject",
            choices=("human", "any"),
            default="human",
            help="any: nobody's points are looked for, and skeletons are those of the masks (default: %(default)s)",
        )


def tools(models: str | os.PathLike | None, device: str = "cpu") -> Tools:
    """Detectors of the files in a folder, or of those that the user's settings name."""

    def poses() -> Any:
        from jaxanim.cues.detect_rtmlib import RtmlibPoses

        people, points = (model_files.find(file, models) for file in (model_files.PEOPLE, model_files.POSES))
        return RtmlibPoses(people, points, device)

    def masks() -> Any:
        from jaxanim.cues.detect_sam2 import Sam2Masks

        return Sam2Masks(model_files.find(model_files.MASKS, models))

    def faces() -> Any:
        from jaxanim.cues.detect_yunet import YunetFaces

        return YunetFaces(model_files.find(model_files.FACES, models))

    return Tools(poses, masks, faces)


def prepare(
    frames: Frames,
    reference: UInt8[np.ndarray, "height width 3"],
    options: argparse.Namespace,
    needs: Needs,
    report: Report = silent,
) -> tuple[Shot, Shot]:
    """(motion, reference), both in the reference's pixels, with all that `needs` takes known of them.

    Args:
      options: with `video`, `reference` and the arguments of `add_options`.

    Raises:
      InputError: the video is cut or shows nobody, a mask is of another video, or a detector's file is missing.
    """
    check_one_shot(frames, options.video)
    original, reference = reference, working_size(reference)
    made, wanted = tools(options.models, options.device), wants(needs)
    given_parts = getattr(options, "densepose", None)
    drawn = given_parts is not None and {cue.key for cue in needs.cues} == {"densepose"}
    if drawn and options.align in ("none", "mask"):
        wanted -= {"poses"}
    if getattr(options, "subject", "human") == "any":
        wanted = (wanted - {"poses", "faces"}) | {"masks"}
    given, given_still = getattr(options, "mask", None), getattr(options, "reference_mask", None)
    masks = None if given is None else read_masks(given, frames)
    mask = None if given_still is None else _read_mask(given_still, original, reference.shape[:2])
    if options.align == "mask":
        wanted |= {"masks"}
    motion = observe(
        frames, options.video, made, wanted, masks=masks, keep=kept_beside(options.video), report=report
    )
    if given_parts is not None:
        parts = read_parts(given_parts, frames)
        outline = np.where(parts > 0, np.uint8(255), np.uint8(0))
        motion = dataclasses.replace(motion, parts=parts, masks=outline if motion.masks is None else motion.masks)
    still = observe(
        reference[None],
        options.reference,
        made,
        wanted,
        masks=mask,
        keep=kept_beside(options.reference),
        what="reference",
    )
    motion = moved(motion, align(motion, still, options.align), still.size)
    if motion.fields is not None and (share := off_picture(motion)) > 0.1:
        tell(f"{share:.0%} of the motion's points lie outside of the picture; --align chooses how it is placed")
    return motion, still


def wants(needs: Needs) -> set[str]:
    """What has to be looked for: of "poses", "masks" and "faces"."""
    keys = {cue.key for cue in (*needs.cues, *needs.still)}
    return ({"poses"} if keys & set(POSED) else set()) | ({"masks", "faces"} if keys - set(POSED) else set())


def labels(shot: Shot, cues: tuple[Cue, ...]) -> Labels:
    """A shot as these cues; InputError for one that is not made of an ordinary video."""
    known = labels_of(shot)
    if lacking := [cue.name for cue in cues if not cue.known(known)]:
        raise InputError(f"--motion is an ordinary video, of which no {' and no '.join(lacking)} can be made")
    return known


def read_parts(path: str | os.PathLike, frames: Frames) -> Masks:
    """DensePose's part numbers for these frames; InputError where a file holds none, or those of another video."""
    size, count = frames.shape[1:3], len(frames)
    if Path(path).suffix.lower() in (".pkl", ".pt", ".pth"):
        parts = read_dump(Path(path), size, count)
    else:
        video, _ = read_video(path, count)
        parts = parts_of(video)
        if parts is None:
            raise InputError(
                f"--densepose {path} is no part map: it should show 24 body parts as colours or numbers"
            )
    if parts.shape != frames.shape[:3]:
        raise InputError(
            f"--densepose {path} has {len(parts)} frames of {parts.shape[2]}x{parts.shape[1]}, but the video has "
            f"{count} of {size[1]}x{size[0]}: they have to go together"
        )
    return parts


def read_masks(path: str | os.PathLike, frames: Frames) -> Masks:
    """A mask video for these frames; InputError where it has another length or size."""
    masks, _ = read_video(path)
    if masks.shape[1:3] != frames.shape[1:3] or len(masks) < len(frames):
        raise InputError(
            f"--mask {path} has {len(masks)} frames of {masks.shape[2]}x{masks.shape[1]}, but the video has "
            f"{len(frames)} of {frames.shape[2]}x{frames.shape[1]}: they have to go together"
        )
    return masks[: len(frames), ..., 0]


def _read_mask(
    path: str | os.PathLike, reference: UInt8[np.ndarray, "height width 3"], size: tuple[int, int]
) -> Masks:
    mask = read_image(path)
    if mask.shape != reference.shape:
        raise InputError(
            f"--reference-mask {path} is {mask.shape[1]}x{mask.shape[0]}, but the reference is "
            f"{reference.shape[1]}x{reference.shape[0]}"
        )
    return resize(mask[None], size)[..., 0]


def is_ordinary(opened: Opened, needs: Needs) -> bool:
    """Whether a motion is a video that shows something, but not the drawn cues that a system takes."""
    looks = [cue.look for cue in needs.cues if cue.look is not None]
    posed = any(cue.key in POSED for cue in needs.cues)
    film = None if opened.motion is None else opened.motion.frames
    if not posed or film is None:
        return False
    shrink = min(1.0, LOOK / max(film.size))
    frames = film.read(size=tuple(max(1, round(side * shrink)) for side in film.size))
    if frames.std((1, 2)).max() < 1:
        return False
    return not looks or not all(look.looks_right(frames) for look in looks)


def as_points(opened: Opened, options: argparse.Namespace, needs: Needs) -> tuple[Opened, Opened | None]:
    """(motion, reference) as keypoints in the reference's pixels where the motion is an ordinary video; else
    (motion as it is, None). A part map in other colours, or in numbers, gets the colours that the system takes.

    Args:
      options: with `reference` and the arguments of `add_options`.

    Raises:
      InputError: as of `prepare`.
    """
    if not is_ordinary(opened, needs):
        return opened, None
    if needs.cues[0].key == "densepose" and (parts := parts_of(opened.motion.frames.read())) is not None:
        film = dataclasses.replace(opened.motion.frames, open=lambda: iter(colored(parts)))
        return dataclasses.replace(opened, motion=dataclasses.replace(opened.motion, frames=film)), None
    asked = argparse.Namespace(**vars(options) | {"video": opened.path})
    try:
        shot, still = prepare(opened.motion.frames.read(), read_image(options.reference), asked, needs)
    except model_files.MissingModel as error:
        wrong = wrong_cue(opened.path, needs.cues[0])
        raise InputError(f"{wrong}; an ordinary video can be prepared, but {error}") from None
    found = [_found(part, still.size, opened.fps) for part in (shot, still)]
    return dataclasses.replace(opened, **found[0]), Opened(options.reference, 1, None, **found[1])


def _found(shot: Shot, size: tuple[int, int], fps: float | None = None) -> dict[str, Any]:
    """What is known of a shot, as fields of `Opened`."""
    graph = human_graph(keypoints_of(shot.fields))
    return {"motion": Motion(keypoints=shot.fields, canvas=size, fps=fps), "graph": graph, "graph_size": size}


def find_still(options: argparse.Namespace) -> Opened:
    """The reference's own keypoints, found in it."""
    reference = working_size(read_image(options.reference))
    keep, made = kept_beside(options.reference), tools(options.models, options.device)
    still = observe(reference[None], options.reference, made, {"poses"}, keep=keep, what="reference")
    return Opened(options.reference, 1, None, **_found(still, still.size))


def working_size(picture: UInt8[np.ndarray, "height width 3"]) -> UInt8[np.ndarray, "_ _ 3"]:
    """A picture, shrunk to about a million pixels if it has more: what is found does not depend on finer ones."""
    height, width = picture.shape[:2]
    shrink = min(1.0, (AREA / (height * width)) ** 0.5)
    return resize(picture, (max(1, round(height * shrink)), max(1, round(width * shrink))))
