"""Who is where in a video, kept in files beside it, and how near two people are in place and size."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jaxanim.cues import beside
from jaxanim.cues.align import align_masks, mask_box
from jaxanim.cues.detect import Frames, Masks
from jaxanim.cues.detections import kept_beside
from jaxanim.cues.model_files import MissingModel
from jaxanim.cues.prepare import NoFace, NoPerson, Tools, observe
from jaxanim.errors import InputError
from jaxanim.media.files import atomic_path
from jaxanim.media.images import read_image, resize_and_crop
from jaxanim.media.tell import tell
from jaxanim.media.video import read_video
from jaxanim.metrics.pseudo import Seen


def look_beside(video: Path, tools: Tools) -> None:
    """Writes `mask.mp4` and `faces.json` beside a video where they are missing.

    Raises InputError where nobody is there, or nothing is there to find anybody.
    """
    masks, faces = beside.masks_beside(video.parent), beside.faces_beside(video.parent)
    if masks is not None and faces is not None and _is_faces(faces):
        return
    frames, fps = read_video(video)
    known = None if masks is None else beside.read_masks(masks, len(frames), frames.shape[1:3], "mask")
    seen = _look(frames, video, tools, known, keep=kept_beside(video))
    if masks is None:
        with atomic_path(video.parent / beside.MASK) as temporary:
            beside.write_masks(temporary, seen.masks, fps)
    beside.write_boxes(video.parent / beside.FACES, seen.boxes, frames.shape[1:3])


def seen(video: Path, frames: int, size: tuple[int, int]) -> Seen:
    """A video's first frames, cropped to (height, width), with what lies beside it."""
    shown = resize_and_crop(read_video(video, frames)[0], size)
    masks = beside.read_masks(beside.masks_beside(video.parent), frames, size)
    return Seen(shown, masks, beside.read_boxes(beside.faces_beside(video.parent), frames, size))


def form(video: Path) -> tuple[int, int, int]:
    """(frames, height, width) of a video that was looked at."""
    return beside.form_of(beside.faces_beside(video.parent))


def look(frames: Frames, name: str | Path, tools: Tools) -> Seen:
    """A video that lies in no file yet, looked at; without anybody in it, masks are empty."""
    try:
        return _look(frames, name, tools, None)
    except NoPerson:
        return Seen(frames, np.zeros(frames.shape[:3], np.uint8), np.zeros((len(frames), 4), np.float32))


def write(folder: Path, seen: Seen, fps: int | float) -> None:
    """Writes masks and face boxes into a new folder."""
    beside.write_masks(folder / beside.MASK, seen.masks, fps)
    beside.write_boxes(folder / beside.FACES, seen.boxes, seen.frames.shape[1:3])


def nearest(video: Path, pictures: Sequence[Path], tools: Tools) -> list[Path]:
    """Pictures by how near the people in them are to the video's own, in size and place (Same2X, App. A.2). Where
    nothing tells where a picture's person is, it comes last, which is told."""
    frames, height, width = form(video)
    masks = beside.read_masks(beside.masks_beside(video.parent), frames, (height, width))
    far = {picture: _distance(masks, _mask_of(picture, (height, width), tools)) for picture in pictures}
    return sorted(pictures, key=far.__getitem__)


def _distance(masks: Masks, still: Masks | None) -> float:
    """|log s| of the alignment, and how far it moves the mean centre, in heights of the frame."""
    boxes = [box for box in map(mask_box, masks) if box is not None]
    if still is None or not boxes or mask_box(still[0]) is None:
        return float("inf")
    move, centre = align_masks(masks, still[0]), np.mean([(box[:2] + box[2:]) / 2 for box in boxes], axis=0)
    apart = np.linalg.norm(move.points(centre) - centre)
    return float(abs(np.log(move.scale)) + apart / masks.shape[1])


def _mask_of(picture: Path, size: tuple[int, int], tools: Tools) -> Masks | None:
    given = picture.with_name(f"{picture.stem}_mask.png")
    if given.is_file():
        return resize_and_crop(read_image(given)[None], size)[..., 0]
    still = resize_and_crop(read_image(picture)[None], size)
    try:
        return observe(still, picture, tools, {"masks"}, keep=kept_beside(picture), what="reference").masks
    except MissingModel:
        tell(f"nothing tells where the people of {picture.parent} are: give NAME_mask.png, or files of SAM 2")
    except NoPerson:
        tell(f"picture {picture} shows no person that could be found")
    return None


def _look(frames: Frames, name: str | Path, tools: Tools, masks: Masks | None, keep: Path | None = None) -> Seen:
    if masks is None:
        masks = observe(frames, name, tools, {"masks"}, keep=keep, what="video").masks
    boxes = np.zeros((len(frames), 4), np.float32)
    try:
        boxes = observe(frames, name, tools, {"faces"}, masks=masks, keep=keep, what="video").face_boxes
    except NoFace:
        tell(f"video {name} shows no face: it will drive none")
    return Seen(frames, masks, boxes)


def _is_faces(path: Path) -> bool:
    try:
        beside.form_of(path)
    except InputError:
        return False
    return True
