"""What a system that is driven by an ordinary video has to know of it beside its pixels: where somebody is, and the
face; given, found beside it as puppets have it, or looked for by detectors."""

import argparse
import dataclasses
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from jaxanim.cues import beside
from jaxanim.cues.detect import Frames, Masks
from jaxanim.cues.detections import kept_beside
from jaxanim.cues.driving import Driving, Needs
from jaxanim.cues.model_files import MissingModel
from jaxanim.cues.prepare import NoFace, Shot, observe
from jaxanim.errors import InputError
from jaxanim.media.images import read_image, resize_and_crop
from jaxanim.media.outputs import Paths
from jaxanim.media.tell import tell
from sample.arguments import Parser
from sample.preparing import tools, wants

Boxes = Float[np.ndarray, "frames 4"]


def looks(needs: Needs) -> bool:
    """Whether a system takes an ordinary video as it is."""
    return "masks" in wants(needs)


def add_options(options: Parser, needs: Needs) -> None:
    """Adds what a user can give who has no detectors, or knows better."""
    if not looks(needs):
        return
    group = options.add_argument_group("what is seen in an ordinary video")
    add = group.add_argument
    add("--motion-mask", help="video, white where the person is (default: mask.mp4 beside the motion, or SAM 2)")
    near = "faces.json or skeleton.json beside it"
    add("--motion-faces", help=f'JSON with "size" and "face_box" (default: {near}, or YuNet)')


def reads(options: argparse.Namespace, needs: Needs) -> Paths:
    """The files that `look` reads, by option."""
    if not looks(needs):
        return {}
    named = {"--motion-mask": _mask_file(options), "--motion-faces": _faces_file(options)}
    return named | {"mask of --reference": _reference_mask_file(options)}


def look(
    driving: Driving, options: argparse.Namespace, needs: Needs, reference: UInt8[np.ndarray, "height width 3"]
) -> Driving:
    """`driving` with the masks and face boxes of its video, and the reference's mask if there is one.

    Args:
      options: with `motion`, `reference`, `models`, `device` and the arguments of `add_options`.
      reference: the picture in the size of the driving frames.

    Raises:
      InputError: a file does not go with the video, or nobody is found and no mask is given.
    """
    if not looks(needs):
        return driving
    frames, made = driving.pictures["video"], tools(options.models, options.device)
    masks, boxes = _given_masks(options, frames), _given_boxes(options, frames)
    shown = observed(frames, options.motion, made, masks, boxes)
    still = driving.still
    if still.masks is None:
        still = dataclasses.replace(still, masks=_reference_mask(options, reference, made))
    return dataclasses.replace(driving, masks=shown.masks, face_boxes=shown.face_boxes, still=still)


def observed(frames: Frames, source: str, made, masks: Masks | None, boxes: Boxes | None) -> Shot:
    """The video with masks, and with face boxes where there is a face and something to find it."""
    if masks is None:
        try:
            masks = observe(frames, source, made, {"masks"}, keep=kept_beside(source)).masks
        except MissingModel as error:
            raise InputError(
                f"--motion {source} is an ordinary video, in which somebody has to be found, but {error}; or name "
                "a --motion-mask"
            ) from None
    if boxes is None:
        try:
            boxes = observe(frames, source, made, {"faces"}, masks=masks, keep=kept_beside(source)).face_boxes
        except MissingModel as error:
            tell(f"no face is looked for: {error}")
        except NoFace:
            boxes = np.zeros((len(frames), 4), np.float32)
    return Shot(frames, masks=masks, face_boxes=boxes)


def _mask_file(options: argparse.Namespace) -> Path | None:
    return _given(options.motion_mask) or beside.masks_beside(Path(options.motion).parent)


def _faces_file(options: argparse.Namespace) -> Path | None:
    return _given(options.motion_faces) or beside.faces_beside(Path(options.motion).parent)


def _reference_mask_file(options: argparse.Namespace) -> Path | None:
    near = Path(options.reference).parent / "reference_mask.png"
    return _given(options.reference_mask) or (near if near.is_file() else None)


def _given(path: str | None) -> Path | None:
    return None if path is None else Path(path)


def _given_masks(options: argparse.Namespace, frames: Frames) -> Masks | None:
    if (path := _mask_file(options)) is None:
        return None
    return beside.read_masks(path, len(frames), frames.shape[1:3], "--motion-mask")


def _given_boxes(options: argparse.Namespace, frames: Frames) -> Boxes | None:
    if (path := _faces_file(options)) is None:
        return None
    try:
        return beside.read_boxes(path, len(frames), frames.shape[1:3], "--motion-faces")
    except InputError:
        if options.motion_faces is None:
            return None
        raise


def _reference_mask(options: argparse.Namespace, reference: np.ndarray, made) -> Masks | None:
    """The reference's mask, by which the location cue is aligned; None where nothing tells it, which is told."""
    if (path := _reference_mask_file(options)) is not None:
        return resize_and_crop(read_image(path)[None], reference.shape[:2])[..., 0]
    try:
        keep = kept_beside(options.reference)
        return observe(reference[None], options.reference, made, {"masks"}, keep=keep, what="reference").masks
    except MissingModel:
        tell("nothing tells where the reference's person is: the location cue stays where the driver is")
        return None
