"""From an ordinary video and an ordinary picture to what drives a system: what is seen in both (`observe`), the one
brought to the place of the other (`align`), and drawn as cues (`labels_of`)."""

import dataclasses
import hashlib
import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float

from jaxanim.cues import openpose
from jaxanim.cues.align import Similarity, align_masks, align_poses, covering, points_box
from jaxanim.cues.densepose import colored
from jaxanim.cues.densepose_from_pose import densepose_from_pose
from jaxanim.cues.detect import FaceDetector, Frames, Masker, Masks, PoseDetector, Report, silent
from jaxanim.cues.detections import remember
from jaxanim.cues.driving import Labels
from jaxanim.cues.skeleton_drawing import human_graph
from jaxanim.cues.skeleton_extraction import extract, join
from jaxanim.errors import InputError
from jaxanim.media.cuts import cuts
from jaxanim.media.keypoints import BODY, Fields
from jaxanim.media.main_person import main_person
from jaxanim.media.tell import tell

Boxes = Float[np.ndarray, "frames 4"]
Align = Literal["auto", "pose", "mask", "none"]


class NoFace(InputError):
    """No frame shows a face."""


class NoPerson(InputError):
    """No frame shows a person."""


@dataclasses.dataclass(frozen=True)
class Tools:
    """What looks at pictures; a maker is called when it is first needed, so that nobody needs what he does not use.

    Attributes:
      poses, masks, faces: make a detector; they raise InputError where its files are missing.
    """

    poses: Callable[[], PoseDetector]
    masks: Callable[[], Masker]
    faces: Callable[[], FaceDetector]


@dataclasses.dataclass(frozen=True)
class Shot:
    """One person, or one thing, in the frames of one shot; None is what was not looked for.

    Attributes:
      fields: the main person's points, [frames, 1, points, 3] by OpenPose's field names.
      masks: 255 where it is.
      face_boxes: of the main person.
      parts: DensePose's part numbers, where they are given rather than drawn of the points.
    """

    frames: Frames
    fields: Fields | None = None
    masks: Masks | None = None
    face_boxes: Boxes | None = None
    parts: Masks | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the frames."""
        return self.frames.shape[1:3]


def check_one_shot(frames: Frames, source: str | os.PathLike) -> None:
    """Raises InputError where a video is cut: a motion is one shot, and nothing can be followed through a cut."""
    if found := cuts(frames):
        where = ", ".join(map(str, found[:5]))
        raise InputError(
            f"motion {source} has a cut at frame {where}: a motion has to be one shot; cut the video there, or "
            f"take its first {found[0]} frames with --frames {found[0]}"
        )


def observe(
    frames: Frames,
    source: str | os.PathLike,
    tools: Tools,
    wanted: Collection[str],
    *,
    masks: Masks | None = None,
    keep: Path | None = None,
    report: Report = silent,
    what: str = "motion",
) -> Shot:
    """Looks at a shot.

    Args:
      source: the frames' file, to be named in sentences; its content is what `keep` goes by.
      wanted: of "poses", "masks" and "faces"; masks without a given one want poses too, which prompt them.
      masks: where the subject is, if that is known.
      keep: file in which what is found is kept, see `jaxanim.cues.detections`.
      what: "motion" or "reference", in sentences.

    Raises:
      NoPerson: nobody is there.
      NoFace: faces are wanted, and none is there.
      InputError: masks of another length or size, or a detector's file is missing.
    """
    if masks is not None and masks.shape != frames.shape[:3]:
        raise InputError(
            f"masks have {len(masks)} frames of {masks.shape[2]}x{masks.shape[1]}, but {source} has {len(frames)} "
            f"of {frames.shape[2]}x{frames.shape[1]}"
        )
    content = _fingerprint(frames)
    fields = face_boxes = None
    cut_out = "masks" in wanted and masks is None
    if "poses" in wanted or cut_out:
        poses = tools.poses()
        found = remember(keep, f"poses {poses.identity} {content}", lambda: poses.people(frames, report))
        if not (found[BODY][..., 2] > 0).any():
            raise NoPerson(f"{what} {source} shows no person that could be found")
        fields = main_person(found, source)
    if cut_out:
        masker, (frame, box) = tools.masks(), _prompt(fields)
        key = f"masks {masker.identity} {content} {frame} {np.round(box).astype(int).tolist()}"
        made = remember(keep, key, lambda: {"masks": masker.masks(frames, frame, box, report)})
        masks = made["masks"]
    if "faces" in wanted:
        faces = tools.faces()

        def look() -> dict[str, np.ndarray]:
            each = faces.faces(frames, report)
            return {"boxes": np.concatenate(each), "counts": np.array([len(boxes) for boxes in each])}

        found = remember(keep, f"faces {faces.identity} {content}", look)
        each = np.split(found["boxes"], np.cumsum(found["counts"])[:-1])
        face_boxes = one_face(each, fields, masks, source)
    return Shot(frames, fields, masks, face_boxes)


def _fingerprint(frames: Frames) -> str:
    return hashlib.sha256(np.ascontiguousarray(frames)).hexdigest()[:16] + f" {len(frames)}"


def _prompt(fields: Fields) -> tuple[int, Float[np.ndarray, "4"]]:
    """The frame that shows most of the person, and the box around its points with a tenth of its size around."""
    body = fields[BODY][:, 0]
    frame = int((body[..., 2] > 0).sum(1).argmax())
    everything = np.concatenate([points[frame, 0] for points in fields.values()])
    box = points_box(everything[everything[:, 2] > 0])
    margin = 0.1 * float(np.linalg.norm(box[2:] - box[:2])) / 2
    return frame, box + margin * np.array([-1, -1, 1, 1])


def one_face(
    each: list[Float[np.ndarray, "_faces 4"]],
    fields: Fields | None,
    masks: Masks | None,
    source: str | os.PathLike,
) -> Boxes:
    """The main person's face in every frame: that nearest to the nose where points are known, else the largest that
    has its middle in the mask; frames without one take from those around.

    Raises:
      NoFace: no frame shows one.
    """
    chosen = np.zeros((len(each), 4))
    there = np.zeros(len(each), bool)
    for k, boxes in enumerate(each):
        middles = (boxes[:, :2] + boxes[:, 2:]) / 2
        nose = None if fields is None else fields[BODY][k, 0, 0]
        if masks is not None and len(boxes):
            x, y = np.rint(middles).astype(int).T
            inside = masks[k, y.clip(0, masks.shape[1] - 1), x.clip(0, masks.shape[2] - 1)] > 127
            boxes, middles = boxes[inside], middles[inside]
        if not len(boxes):
            continue
        if nose is not None and nose[2] > 0:
            apart = np.linalg.norm(middles - nose[:2], axis=1)
            best = int(apart.argmin())
            there[k] = apart[best] <= max(boxes[best, 2:] - boxes[best, :2])
        else:
            best = int((boxes[:, 2:] - boxes[:, :2]).prod(1).argmax())
            there[k] = True
        chosen[k] = boxes[best]
    if not there.any():
        raise NoFace(f"motion {source} shows no face in any of its {len(each)} frames")
    if not there.all():
        tell(f"motion {source} shows no face in {int((~there).sum())} of {len(each)} frames: filled from others")
    frames, known = np.arange(len(each)), np.flatnonzero(there)
    return np.stack([np.interp(frames, known, chosen[known, i]) for i in range(4)], -1).astype(np.float32)


def align(motion: Shot, still: Shot, how: Align = "auto") -> Similarity:
    """What brings the motion into the reference's pixels.

    Args:
      how: "pose", "mask"; "auto" is the first of these that is known of both; "none" only covers the reference's
        frame with the motion's.

    Raises:
      InputError: asked for what is not known of both.
    """
    posed = motion.fields is not None and still.fields is not None
    masked = motion.masks is not None and still.masks is not None
    if how == "none" or (how == "auto" and not posed and not masked):
        return covering(motion.size, still.size)
    if how == "pose" or (how == "auto" and posed):
        if not posed:
            raise InputError("--align is pose, but poses are not known of both motion and reference")
        return align_poses(motion.fields[BODY], still.fields[BODY][0, 0])
    if not masked:
        raise InputError("--align is mask, but masks are not known of both motion and reference")
    return align_masks(motion.masks, still.masks[0])


def moved(shot: Shot, by: Similarity, size: tuple[int, int]) -> Shot:
    """A shot brought to pictures of `size` (height, width)."""
    return Shot(
        by.pictures(shot.frames, size, smooth=True),
        shot.fields and {name: by.points(points) for name, points in shot.fields.items()},
        None if shot.masks is None else by.pictures(shot.masks, size),
        None if shot.face_boxes is None else by.boxes(shot.face_boxes),
        None if shot.parts is None else by.pictures(shot.parts, size),
    )


def labels_of(shot: Shot) -> Labels:
    """All that is known of a shot, as cues; the skeleton of what has no points known is that of its masks."""
    pictures, known = {"video": shot.frames}, {}
    if shot.fields is not None:
        known["keypoints"] = openpose.keypoints_of(shot.fields)
        pictures["openpose"] = openpose.draw(known["keypoints"], shot.size)
        pictures["densepose"] = densepose_from_pose(shot.fields[BODY], shot.size)
        known["graph"] = human_graph(known["keypoints"])
    elif shot.masks is not None:
        known["graph"] = join([extract(mask > 127) for mask in shot.masks])
    if shot.parts is not None:
        pictures["densepose"] = colored(shot.parts)
    return Labels(pictures, masks=shot.masks, face_boxes=shot.face_boxes, **known)


def off_picture(shot: Shot) -> float:
    """Share of the seen body points that lie outside of the picture."""
    points = shot.fields[BODY][shot.fields[BODY][..., 2] > 0][:, :2]
    height, width = shot.size
    outside = (points < 0).any(1) | (points > (width, height)).any(1)
    return float(outside.mean()) if len(points) else 0.0
