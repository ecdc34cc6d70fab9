"""DirectAnimator's driving cue triplet, made of a driving video's pixels (Sec. 3.1 and App. A.2).

Pictures and masks are uint8. Which pixels are the person's, and where the face is, comes from outside
(`jaxanim.cues.detect`, or the exact labels of puppets).
"""

import dataclasses
from typing import Literal, NamedTuple

import cv2
import numpy as np
from einops import repeat
from jaxtyping import Bool, Float, UInt8

from jaxanim.cues.align import Similarity, align_masks
from jaxanim.cues.beside import has_face
from jaxanim.cues.driving import Labels
from jaxanim.errors import InputError
from jaxanim.media.tell import tell
from jaxanim.stored import register_config

Frames = UInt8[np.ndarray, "frames height width 3"]
Masks = UInt8[np.ndarray, "frames height width"]
Resized = UInt8[np.ndarray, "frames out_height out_width"]
Boxes = Float[np.ndarray, "frames 4"]
# Rec. 601's weights of red, green and blue.
LUMA = np.array([0.299, 0.587, 0.114])


@register_config
@dataclasses.dataclass(frozen=True)
class CueOptions:
    """What the paper leaves open about the cues, and its ablations (Table 3).

    Attributes:
      pose: the pose cue is the driving video's "foreground", or in its place a "skeleton" map (S5), drawn OpenPose
        keypoints that come with the video; grey and cut_off then do nothing.
      cut_off: the pose cue keeps frequencies up to about so many cycles along the frame's shorter side; None keeps
        all (S4). The paper names no number: 16 keeps limbs, some 1/16 of a frame wide, and loses cloth and hair.
      edge: "gaussian" falls off smoothly; "ideal" cuts, and rings along outlines, which is a texture of its own.
      grey: False leaves the pose cue in colour (S3).
      worst: a frame is dropped whose mask is smaller than this part of the median mask, or larger than its inverse.
        The paper says "low-quality" alone.
      face: False leaves the face cue black (S1).
      enlarge: False leaves the face where it is and as large as it is (S2).
      margin: the face crop's side over the face box's longer one: a box ends at the brows and the chin.
      location: False leaves the location cue black (S6).
      grid: side in pixels of the cells whose mean softens the location masks; 1 leaves them hard (S7). The paper
        names no number: 16 is a token of the transformer at CogVideoX's compression.
      align: bring the location cue to the reference's place and size (Eqs. 9 to 12).
    """

    pose: Literal["foreground", "skeleton"] = "foreground"
    cut_off: float | None = 16.0
    edge: Literal["gaussian", "ideal"] = "gaussian"
    grey: bool = True
    worst: float = 0.5
    face: bool = True
    enlarge: bool = True
    margin: float = 1.5
    location: bool = True
    grid: int = 16
    align: bool = True

    def __post_init__(self) -> None:
        if self.cut_off is not None and not self.cut_off > 0:
            raise InputError(f"cut_off is {self.cut_off}: it must be greater than 0 cycles, or None for no filter")
        if not 0 <= self.worst <= 1:
            raise InputError(f"worst is {self.worst}: it is a part of the median mask, 0 to 1")
        if self.grid < 1 or self.margin <= 0:
            raise InputError(f"grid is {self.grid} and margin {self.margin}: grid is 1 or more, margin above 0")


class CueTriplet(NamedTuple):
    """Pose cue and face cue; the location cue's body and face masks, 255 inside."""

    pose: Frames
    face: Frames
    body_mask: Masks
    face_mask: Masks


def cue_triplet(driving: Labels, still: Labels, size: tuple[int, int], options: CueOptions) -> CueTriplet:
    """The cues of a driving video ("video" among its pictures, with masks and perhaps face boxes) at `size`, the
    location cue aligned to `still`'s mask where that is known.

    Without a face in any frame the face cue stays black, which is told. Raises InputError for a video without masks
    or without a foreground in any frame.
    """
    video, masks = driving.pictures.get("video"), driving.masks
    if video is None or masks is None:
        raise InputError("the driving video comes without masks of the person in it: segment it first")
    if not (masks > 127).any():
        raise InputError("the driving video has no foreground in any frame: nobody is there to follow")
    boxes = np.zeros((len(video), 4), np.float32) if driving.face_boxes is None else driving.face_boxes
    if options.face and not has_face(boxes).any():
        tell("the driving video shows no face: the face cue is left out")
    move = Similarity()
    if options.align and still.masks is not None and (still.masks[0] > 127).any():
        move = align_masks(masks, still.masks[0])
    kept = good_masks(masks, options.worst)
    if options.pose == "skeleton" and "openpose" not in driving.pictures:
        raise InputError("the pose cue is a skeleton map: the driving video has to come with OpenPose keypoints")
    cues = CueTriplet(
        driving.pictures["openpose"] if options.pose == "skeleton" else pose_cue(video, masks, kept, options),
        face_cue(video, boxes, options),
        *location_cue(masks, boxes, kept, size, move, options),
    )
    pose, face = (np.stack([_resized(picture, size) for picture in part]) for part in cues[:2])
    return cues._replace(pose=pose, face=face)


def good_masks(masks: Masks, worst: float) -> Bool[np.ndarray, " frames"]:
    """Which frames' masks are about as large as the median of those that are not empty."""
    areas = (masks > 127).sum((1, 2)).astype(np.float64)
    if not areas.any():
        return np.zeros(len(masks), bool)
    ratio = areas / np.median(areas[areas > 0])
    return (ratio >= worst) & (ratio * worst <= 1) & (areas > 0)


def pose_cue(frames: Frames, masks: Masks, kept: Bool[np.ndarray, " frames"], options: CueOptions) -> Frames:
    """The foreground over black, grey, low-passed; frames not `kept` are black, left to their neighbours."""
    seen = (masks > 127) & kept[:, None, None]
    pictures = frames.astype(np.float64) * seen[..., None]
    if options.grey:
        pictures = repeat(pictures @ LUMA, "f h w -> f h w c", c=3)
    if options.cut_off is not None:
        pictures = low_pass(pictures, options.cut_off, options.edge)
    return np.clip(np.round(pictures), 0, 255).astype(np.uint8)


def low_pass(
    pictures: Float[np.ndarray, "frames height width channels"], cut_off: float, edge: str
) -> Float[np.ndarray, "frames height width channels"]:
    """Pictures without their high frequencies, filtered in the frequency domain.

    At r cycles along the shorter side "gaussian" keeps exp(-(r / cut_off)^2 / 2), "ideal" all up to the cut-off.
    """
    height, width = pictures.shape[1:3]
    cycles = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]) * min(height, width)
    keep = np.exp(-((cycles / cut_off) ** 2) / 2) if edge == "gaussian" else (cycles <= cut_off).astype(np.float64)
    spectrum = np.fft.rfft2(pictures, axes=(1, 2)) * keep[None, :, :, None]
    return np.fft.irfft2(spectrum, s=(height, width), axes=(1, 2))


def face_cue(frames: Frames, boxes: Boxes, options: CueOptions) -> Frames:
    """Each frame's face, enlarged to the frame's shorter side and centred over black; black without one."""
    cue = np.zeros_like(frames)
    height, width = frames.shape[1:3]
    if not options.face:
        return cue
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    for out, frame, box in zip(cue, frames, np.where(has_face(boxes)[:, None], boxes, 0), strict=True):
        if not box.any():
            continue
        x0, y0, x1, y1 = box
        if options.enlarge:
            crop = max(x1 - x0, y1 - y0) * options.margin
            scale = side / crop
            shift = side / 2 - scale * np.array([(x0 + x1) / 2, (y0 + y1) / 2])
            matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
            out[top : top + side, left : left + side] = cv2.warpAffine(frame, matrix, (side, side))
        else:
            inside = (slice(max(0, round(y0)), max(0, round(y1))), slice(max(0, round(x0)), max(0, round(x1))))
            out[inside] = frame[inside]
    return cue


def location_cue(
    masks: Masks,
    boxes: Boxes,
    kept: Bool[np.ndarray, " frames"],
    size: tuple[int, int],
    move: Similarity,
    options: CueOptions,
) -> tuple[Resized, Resized]:
    """(body mask, face mask) at `size`, moved to the reference and softened; bodies not `kept` are black."""
    if not options.location:
        return np.zeros((len(masks), *size), np.uint8), np.zeros((len(masks), *size), np.uint8)
    faces = np.zeros_like(masks)
    for mask, (x0, y0, x1, y1) in zip(faces, np.where(has_face(boxes)[:, None], boxes, 0), strict=True):
        mask[max(0, round(y0)) : max(0, round(y1)), max(0, round(x0)) : max(0, round(x1))] = 255
    hard = np.where(kept[:, None, None] & (masks > 127), 255, 0).astype(np.uint8)
    body, face = (soften(move.pictures(part, masks.shape[1:]), options.grid) for part in (hard, faces))
    return tuple(np.stack([_resized(mask, size) for mask in part]) for part in (body, face))


def soften(masks: Masks, grid: int) -> Masks:
    """Every cell of `grid` x `grid` pixels its mean: the outline is lost within a cell, the silhouette stays."""
    if grid == 1:
        return masks
    frames, height, width = masks.shape
    rows, columns = -(-height // grid), -(-width // grid)
    padded = np.pad(masks, ((0, 0), (0, rows * grid - height), (0, columns * grid - width)), mode="edge").astype(
        np.float64
    )
    means = padded.reshape(frames, rows, grid, columns, grid).mean((2, 4))
    soft = repeat(np.round(means), "f h w -> f (h p) (w q)", p=grid, q=grid)[:, :height, :width]
    return soft.astype(np.uint8)


def _resized(picture: UInt8[np.ndarray, "..."], size: tuple[int, int]) -> UInt8[np.ndarray, "..."]:
    height, width = size
    if picture.shape[:2] == (height, width):
        return picture
    smaller = height < picture.shape[0]
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
