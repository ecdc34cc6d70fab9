"""Labelled points of a human puppet in pixels, with the confidence that the part map gives them."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, UInt8

from jaxanim.cues.openpose import Keypoints
from jaxanim.puppets.face import Head, mouth_curves
from jaxanim.puppets.identity import Look
from jaxanim.puppets.paint import View
from jaxanim.puppets.skeleton import BODY_POINTS, flat

OCCLUDED = 0.5

_HEAD, _TORSO = (23, 24), (1, 2)
# Parts that may show at a body point for it to count as seen, in BODY_POINTS' order.
SEEN_ON = (
    _HEAD,
    (*_TORSO, *_HEAD),
    (*_TORSO, 16, 18),
    (16, 18, 20, 22),
    (20, 22, 3),
    (*_TORSO, 15, 17),
    (15, 17, 19, 21),
    (19, 21, 4),
    (*_TORSO, 7, 9),
    (7, 9, 11, 13),
    (11, 13, 6),
    (*_TORSO, 8, 10),
    (8, 10, 12, 14),
    (12, 14, 5),
    _HEAD,
    _HEAD,
    _HEAD,
    _HEAD,
)
# Azimuth and elevation on the head of the five face points of the body.
_ON_HEAD = {"nose": (0, -17), "eye_r": (-25, 3), "eye_l": (25, 3), "ear_r": (-92, -4), "ear_l": (92, -4)}


def confidence(
    xy: Float[np.ndarray, "frames points 2"],
    parts: UInt8[np.ndarray, "frames height width"],
    seen_on: Sequence[Sequence[int]],
    shown: Bool[np.ndarray, "frames points"] | None = None,
) -> Float[np.ndarray, "frames points"]:
    """1 seen, 0.5 covered, 0 out of the frame or not `shown`: seen on its own parts."""
    height, width = parts.shape[1:]
    column, row = np.rint(xy[..., 0]).astype(int), np.rint(xy[..., 1]).astype(int)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    frame = np.arange(len(parts))[:, None]
    ids = parts[frame, np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)]
    own = np.zeros((len(seen_on), 256), bool)
    for k, allowed in enumerate(seen_on):
        own[k, list(allowed)] = True
    value = np.where(own[np.arange(len(seen_on))[None], ids], 1.0, OCCLUDED)
    return np.where(inside if shown is None else inside & shown, value, 0.0)


def face_points(head: Head, look: Look) -> tuple[Float[np.ndarray, "frames 68 2"], Float[np.ndarray, "frames 68"]]:
    """The 68 face points of iBUG in world units, and how far each faces the viewer."""
    frames = len(head.center)
    blink, brow = head.expression[:, 0:1], head.expression[:, 5:6]
    opening = np.clip(1 - blink, 0.04, 1)
    size = 12.5 * look.eye_size
    arc = np.linspace(-1, 1, 17)[None]
    azimuth, elevation = [88 * arc], [-80 + 72 * arc**2]
    five = np.linspace(-1, 1, 5)[None]
    for side in (-1, 1):
        azimuth.append(side * 25 + 11.5 * five)
        elevation.append(25 + 4 * brow + 3 * (1 - five**2) - side * five * 1.5)
    azimuth += [np.zeros((1, 4)), 6 * five]
    elevation += [np.array([[2.0, -4.0, -10.0, -16.0]]), -19 - 1.5 * (1 - five**2)]
    for side in (-1, 1):
        turn = np.deg2rad([180, 125, 55, 0, -55, -125])[None]
        azimuth.append(side * 25 + size * 0.86 * np.cos(turn))
        elevation.append(3 - 5 * (1 - opening) + size * 1.15 * opening * np.sin(turn))
    line, upper, lower = mouth_curves(head, look)

    def sample(values: np.ndarray, at: np.ndarray) -> np.ndarray:
        return np.stack([np.interp(at, np.linspace(-1, 1, 9), row) for row in values])

    top, low, small = np.linspace(-1, 1, 7), np.linspace(2 / 3, -2 / 3, 5), np.linspace(-1, 1, 5)
    for scale, lip, first, second in ((1.08, 1.8, top, low), (0.9, -0.4, small, small[3:0:-1])):
        azimuth += [scale * sample(line, first), scale * sample(line, second)]
        elevation += [sample(upper, first) + lip, sample(lower, second) - max(lip, 0.0)]
    points, z = head.project(
        *(
            np.concatenate([np.broadcast_to(v, (frames, v.shape[1])) for v in values], 1)
            for values in (azimuth, elevation)
        )
    )
    return points, z


def body_points(
    joints: dict[str, Float[np.ndarray, "frames 3"]], head: Head
) -> tuple[Float[np.ndarray, "frames 18 2"], Bool[np.ndarray, "frames 18"]]:
    """OpenPose's body points in world units, and which of them the head does not hide itself."""
    world, shown = [], []
    for name in BODY_POINTS:
        if name in _ON_HEAD:
            azimuth, elevation = _ON_HEAD[name]
            point, z = head.project(np.array([float(azimuth)]), np.array([float(elevation)]))
            world.append(point[:, 0])
            shown.append(z[:, 0] > (-0.5 if name.startswith("ear") else 0.0))
        else:
            # OpenPose's neck lies between the shoulders.
            at = 0.5 * (joints["shoulder_r"] + joints["shoulder_l"]) if name == "neck" else joints[name]
            world.append(flat(at))
            shown.append(np.ones(len(at), bool))
    return np.stack(world, 1), np.stack(shown, 1)


def labelled(
    points: Float[np.ndarray, "frames points 2"],
    view: View,
    parts: UInt8[np.ndarray, "frames height width"],
    seen_on: Sequence[Sequence[int]],
    shown: Bool[np.ndarray, "frames points"] | None = None,
) -> Float[np.ndarray, "frames points 3"]:
    """World points in pixels with their confidence."""
    xy = view.project(points)
    return np.concatenate([xy, confidence(xy, parts, seen_on, shown)[..., None]], -1).astype(np.float32)


def hands_and_face(
    hands: dict[str, Float[np.ndarray, "frames 21 2"]], head: Head, look: Look, view: View, parts: np.ndarray
) -> tuple[Float[np.ndarray, "frames 2 21 3"], Float[np.ndarray, "frames 1 68 3"]]:
    """OpenPose's hands (left, right) and iBUG's 68 face points of a posed human, in pixels."""
    wrists = {"l": (4, 19, 21), "r": (3, 20, 22)}
    both = [labelled(hands[side], view, parts, [wrists[side]] + [wrists[side][:1]] * 20) for side in "lr"]
    face, z = face_points(head, look)
    return np.stack(both, 1), labelled(face, view, parts, [_HEAD] * 68, z > 0)[:, None]


def keypoints_of(body: Float[np.ndarray, "frames 18 3"] | None, frames: int) -> Keypoints:
    """A person's body points alone, or nobody's."""
    body = np.zeros((frames, 18, 3), np.float32) if body is None else body
    return Keypoints(
        body[:, None], np.zeros((frames, 2, 21, 3), np.float32), np.zeros((frames, 1, 68, 3), np.float32)
    )
