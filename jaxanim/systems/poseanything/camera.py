"""How the camera moves: said in words, and shown as the moving rectangle of PoseAnything's negative anchor.

The rectangle moves as the camera does, against the background's flow: guidance leads away from it (Sec. 4.3).
"""

import re
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

from jaxanim.cues.skeleton import Graph, Skeleton
from jaxanim.cues.skeleton_drawing import draw_segments
from jaxanim.errors import InputError

_MOVES = {
    "pan-left": ("pan", -1), "pan-right": ("pan", 1), "tilt-up": ("tilt", 1), "tilt-down": ("tilt", -1),
    "zoom-in": ("zoom", 1), "zoom-out": ("zoom", -1),
}  # fmt: skip
_MOVE = re.compile(r"([a-z]+-[a-z]+)(?:\s+([0-9]*\.?[0-9]+))?")
USUAL = 0.5
_HALF = 0.25  # half of the rectangle's side, in parts of the frame's

_RECTANGLE = Skeleton(
    ("top left", "top right", "bottom right", "bottom left"),
    ((0, 1), (1, 2), (2, 3), (3, 0)),
    {"rectangle": (0, 1, 2, 3)},
)


@dataclass(frozen=True)
class Camera:
    """What the camera does over the whole video.

    Attributes:
      pan: how far it moves to the right, in frame widths.
      tilt: how far up, in frame heights.
      zoom: how much larger things become: 0.5 is half as large again, -0.5 the inverse of that.
    """

    pan: float = 0.0
    tilt: float = 0.0
    zoom: float = 0.0


def parse(words: str) -> Camera:
    """A camera in words: one or more of pan-left, pan-right, tilt-up, tilt-down, zoom-in and zoom-out, each with
    how much, from 0 to 1, which is 0.5 if not said: "pan-left 0.5, zoom-in 0.2". "still" is a camera that does not
    move.

    Raises InputError for anything else.
    """
    if words.strip() == "still":
        return Camera()
    amounts: dict[str, float] = {}
    for part in words.split(","):
        found = _MOVE.fullmatch(part.strip().lower())
        if found is None or found[1] not in _MOVES:
            raise InputError(
                f"camera is {words!r}, of which {part.strip()!r} is not understood: say one or more of "
                f'{", ".join(_MOVES)}, each with a number, such as "pan-left 0.5, zoom-in 0.2", or "still"'
            )
        (axis, sign), amount = _MOVES[found[1]], float(found[2] or USUAL)
        if not 0 < amount <= 1:
            raise InputError(f"camera is {words!r}: {found[1]} is by more than 0 and at most 1, not {amount:g}")
        if axis in amounts:
            raise InputError(f"camera is {words!r}, which says {axis} twice: say it once")
        amounts[axis] = sign * amount
    return Camera(**amounts)


def path(camera: Camera, frames: int) -> Float[np.ndarray, "frames 3"]:
    """How far the camera has gone in each frame: right in frame widths, up in heights, and how much larger things
    are. Even motion from the first frame on."""
    t = np.linspace(0, 1, frames) if frames > 1 else np.zeros(1)
    return np.stack([camera.pan * t, camera.tilt * t, factor(camera.zoom) ** t], -1)


def factor(zoom: float) -> float:
    """How many times as large things become in the end."""
    return 1 + zoom if zoom >= 0 else 1 / (1 - zoom)


def motion_of(
    camera: str | Float[np.ndarray, "frames 3"] | None, frames: int, size: tuple[int, int]
) -> Float[np.ndarray, "frames 3"] | None:
    """The path of a camera in words, or of one whose x and y offset (in picture heights) and zoom are known in each
    frame, as the puppets' is; None for one that does not move."""
    if camera is None:
        return None
    if isinstance(camera, str):
        way = path(parse(camera), frames)
    else:
        way = camera - camera[:1]
        way = np.stack([way[:, 0] * size[0] / size[1], way[:, 1], camera[:, 2] / camera[0, 2]], -1)
    return way if np.ptp(way, axis=0).any() else None


def rectangles(
    way: Float[np.ndarray, "frames 3"], size: tuple[int, int]
) -> UInt8[np.ndarray, "frames height width 3"]:
    """The skeleton video of the negative anchor: a rectangle that moves with the camera, its way centred in the
    frame, and shrinks where the camera zooms in.

    Args:
      way: from `path`.
      size: (height, width).
    """
    height, width = size
    right, up, zoom = way.T
    x, y = (0.5 + sign * (move - (move.min() + move.max()) / 2) for sign, move in ((1, right), (-1, up)))
    half = _HALF * (zoom.min() * zoom.max()) ** 0.5 / zoom
    corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
    xy = np.stack([x, y], -1)[:, None] + half[:, None, None] * corners
    points = np.concatenate([xy * (width, height) - 0.5, np.ones((len(way), 4, 1))], -1).astype(np.float32)
    return draw_segments(Graph(_RECTANGLE, points), size)
