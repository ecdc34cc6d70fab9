"""A DensePose-like part map drawn from body keypoints, for motion that was captured as a skeleton.

DensePose labels the surface of a body; keypoints know only its joints. Limbs are drawn as capsules whose
widths are fixed shares of the torso's length, so that OpenPose can drive a system trained on part maps.
"""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from jaxanim.cues.densepose import colored
from jaxanim.media.keypoints import BODY, PARTS, Fields, in_pixels

# Parts are DensePose's, whose right is the subject's; joints are OpenPose's 18 COCO points.
# (part seen from the front, from behind, joint, joint, radius in torso lengths)
_LEGS = (
    (13, 11, 9, 10, 0.105),
    (14, 12, 12, 13, 0.105),
    (9, 7, 8, 9, 0.15),
    (10, 8, 11, 12, 0.15),
)
# (part of the inner half, of the outer half, joint, joint, radius)
_ARMS = (
    (16, 18, 2, 3, 0.10),
    (15, 17, 5, 6, 0.10),
    (20, 22, 3, 4, 0.08),
    (19, 21, 6, 7, 0.08),
)
# (part, joint before, joint, from, to, radius): what lies beyond the last joint of a limb.
_FEET = ((6, 9, 10, 0.08, 0.12, 0.11), (5, 12, 13, 0.08, 0.12, 0.11))
_HANDS = ((3, 3, 4, 0.06, 0.2, 0.085), (4, 6, 7, 0.06, 0.2, 0.085))
_NECK, _RIGHT_SHOULDER, _LEFT_SHOULDER, _RIGHT_HIP, _LEFT_HIP = 1, 2, 5, 8, 11
_RIGHT_ELBOW, _RIGHT_WRIST = 3, 4


def fits(keypoints: Float[np.ndarray, "frames people points 3"], size: tuple[int, int]) -> bool:
    """Whether every seen point lies inside a picture of `size` = (height, width), or a tenth beyond."""
    seen = keypoints[..., :2][keypoints[..., 2] > 0]
    height, width = size
    slack = 0.1 * np.array([width, height])
    return bool(((seen >= -slack) & (seen <= np.array([width, height]) + slack)).all())


def on_canvas(
    fields: Fields,
    canvas: tuple[int, int] | None,
    reference: tuple[int, int],
    stated: tuple[int, int] | None = None,
) -> tuple[Fields, tuple[int, int] | None]:
    """Keypoints in pixels, and the (height, width) of the picture that they belong to, for `place`.

    That is the `stated` one, or else what the files say (`canvas`), or else the reference's if the points lie in
    it; None if they do not.
    """
    if canvas == PARTS:
        size = stated or reference
        return in_pixels(fields, PARTS, size), size
    return fields, stated or canvas or (reference if fits(fields[BODY], reference) else None)


def place(
    keypoints: Float[np.ndarray, "frames people points 3"],
    canvas: tuple[int, int] | None,
    size: tuple[int, int],
    also: Float[np.ndarray, "frames people others 3"] | None = None,
) -> Float[np.ndarray, "frames people out 3"]:
    """Body keypoints in the pixels of a picture of `size` = (height, width).

    Args:
      also: further points of the same people, which are then returned instead, placed as the bodies are.
      canvas: the (height, width) that they belong to, which is resized to cover `size` and cut to its centre,
        as `jaxanim.media.images.resize_and_crop` does with pictures. None brings the whole motion, with room
        for the head and feet, into the middle nine tenths of the frame.
    """
    height, width = size
    if canvas is not None:
        scale = max(height / canvas[0], width / canvas[1])
        offset = (np.array([width, height]) - scale * np.array([canvas[1], canvas[0]])) / 2
    else:
        seen = keypoints[..., :2][keypoints[..., 2] > 0].reshape(-1, 2)
        if not len(seen):
            return keypoints if also is None else also
        margin = 0.3 * torso_length(keypoints)
        low, high = seen.min(0) - margin, seen.max(0) + margin
        scale = 0.9 * float((np.array([width, height]) / np.maximum(high - low, 1e-6)).min())
        offset = np.array([width, height]) / 2 - scale * (low + high) / 2
    moved = keypoints if also is None else also
    return np.concatenate([moved[..., :2] * scale + offset, moved[..., 2:]], -1).astype(np.float32)


def torso_length(keypoints: Float[np.ndarray, "frames people points 3"]) -> float:
    """The median distance from the neck to the middle of the hips, in pixels.

    Where no frame shows the hips it is estimated from the shoulders, which are about 0.7 of it apart.
    """
    neck, hips = keypoints[..., _NECK, :], keypoints[..., [_RIGHT_HIP, _LEFT_HIP], :]
    seen = (neck[..., 2] > 0) & (hips[..., 2] > 0).all(-1)
    if seen.any():
        return float(np.median(np.linalg.norm(neck[seen, :2] - hips[seen, :, :2].mean(-2), axis=-1)))
    shoulders = keypoints[..., [_RIGHT_SHOULDER, _LEFT_SHOULDER], :]
    seen = (shoulders[..., 2] > 0).all(-1)
    widths = np.linalg.norm(shoulders[seen, 0, :2] - shoulders[seen, 1, :2], axis=-1)
    return float(np.max(widths, initial=0.0)) / 0.7


def head_height(keypoints: Float[np.ndarray, "frames people points 3"]) -> float:
    """From chin to crown in pixels: 1.25 times the median distance from the neck to the nose."""
    nose, neck = keypoints[..., 0, :], keypoints[..., _NECK, :]
    seen = (nose[..., 2] > 0) & (neck[..., 2] > 0)
    distances = np.linalg.norm(nose[seen, :2] - neck[seen, :2], axis=-1)
    return 1.25 * float(np.median(distances)) if seen.any() else 0.5 * torso_length(keypoints)


def part_map(
    keypoints: Float[np.ndarray, "frames people points 3"], size: tuple[int, int]
) -> UInt8[np.ndarray, "frames height width"]:
    """DensePose part indices, 1 to 24, and 0 for the background, from OpenPose's 18 body points in pixels.

    Limbs with an unseen joint are left out.
    """
    torso, head = torso_length(keypoints), head_height(keypoints)
    maps = np.zeros((len(keypoints), *size), np.uint8)
    for canvas, people in zip(maps, keypoints, strict=True):
        for person in people:
            _draw_person(canvas, person[:, :2], person[:, 2] > 0, torso, head)
    return maps


def densepose_from_pose(
    keypoints: Float[np.ndarray, "frames people points 3"], size: tuple[int, int]
) -> UInt8[np.ndarray, "frames height width 3"]:
    """`part_map` in the colours of MagicAnimate's driving videos, RGB."""
    return colored(part_map(keypoints, size))


def _draw_person(canvas: np.ndarray, points: np.ndarray, seen: np.ndarray, torso: float, head: float) -> None:
    # A body faces the camera when its right shoulder appears at the left.
    shoulders = seen[_RIGHT_SHOULDER] and seen[_LEFT_SHOULDER]
    front = not shoulders or bool(points[_RIGHT_SHOULDER, 0] <= points[_LEFT_SHOULDER, 0])

    def legs():
        for facing, turned, a, b, radius in _LEGS:
            if seen[a] and seen[b]:
                _capsule(canvas, facing if front else turned, points[a], points[b], radius * torso)
        ends(_FEET)

    def arms():
        for inner, outer, a, b, radius in _ARMS:
            if seen[a] and seen[b]:
                _capsule(canvas, outer, points[a], points[b], radius * torso)
                side = 1 if (b in (_RIGHT_ELBOW, _RIGHT_WRIST)) == front else -1
                _capsule(canvas, inner, points[a], points[b], radius * torso, half=side)

    def ends(table):
        for part, before, joint, near, far, radius in table:
            if seen[before] and seen[joint]:
                along = _direction(points[before], points[joint]) * torso
                start, end = points[joint] + near * along, points[joint] + far * along
                _capsule(canvas, part, start, end, radius * torso)

    legs()
    if front:
        _draw_torso(canvas, points, seen, 2, torso)
        _draw_head(canvas, points, seen, front, head)
        arms()
        ends(_HANDS)
    else:
        ends(_HANDS)
        arms()
        _draw_torso(canvas, points, seen, 1, torso)
        _draw_head(canvas, points, seen, front, head)


def _draw_torso(canvas: np.ndarray, points: np.ndarray, seen: np.ndarray, part: int, torso: float) -> None:
    corners = [_RIGHT_SHOULDER, _LEFT_SHOULDER, _LEFT_HIP, _RIGHT_HIP]
    if not seen[corners].all():
        return
    _fill(canvas, part, cv2.convexHull(points[corners].astype(np.float32)).reshape(-1, 2))
    for a, b in zip(corners, [*corners[1:], corners[0]], strict=True):
        _capsule(canvas, part, points[a], points[b], 0.11 * torso)


def _draw_head(canvas: np.ndarray, points: np.ndarray, seen: np.ndarray, front: bool, height: float) -> None:
    face = np.array([0, 14, 15, 16, 17])
    face = face[seen[face]]
    if not len(face) or not seen[_NECK]:
        return
    center = points[face].mean(0)
    up = _direction(points[_NECK], center)
    top = center + 0.08 * height * up
    # Parts 23 and 24 are the head's right and left half; they meet on the line from neck to nose.
    for part, half in ((23, 1), (24, -1)):
        half = half if front else -half
        _capsule(canvas, part, points[_NECK], center, 0.17 * height, half=half)
        _capsule(canvas, part, center - 0.1 * height * up, top + 0.04 * height * up, 0.4 * height, half=half)


def _direction(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (b - a) / max(np.linalg.norm(b - a), 1e-6)


def _capsule(canvas: np.ndarray, part: int, a: np.ndarray, b: np.ndarray, radius: float, half: int = 0) -> None:
    """Every pixel within `radius` of the segment from a to b becomes `part`.

    half: 1 or -1 fills only what lies at the left or the right of the segment, as one goes from a to b.
    """
    along = _direction(a, b) if np.linalg.norm(b - a) > 1e-6 else np.array([0.0, 1.0])
    left = np.array([along[1], -along[0]])
    quarter = np.linspace(0, np.pi / 2, 7)[:, None]
    for side in (1, -1) if half == 0 else (half,):
        far = b + radius * (np.cos(quarter) * along + side * np.sin(quarter) * left)
        near = a + radius * (side * np.cos(quarter) * left - np.sin(quarter) * along)
        _fill(canvas, part, np.concatenate([far, near]))


def _fill(canvas: np.ndarray, part: int, outline: np.ndarray) -> None:
    bits = 4  # fractional bits of the coordinates that OpenCV draws with
    cv2.fillPoly(canvas, [np.rint(outline * 2**bits).astype(np.int32)], part, shift=bits)
