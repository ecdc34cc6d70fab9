"""The cues that drive systems: how keypoints are drawn as each, and what a picture of each looks like."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

from jaxanim.cues import densepose, openpose
from jaxanim.cues.densepose_from_pose import densepose_from_pose, place

Frames = UInt8[np.ndarray, "frames height width 3"]
Fields = Mapping[str, Float[np.ndarray, "frames people points 3"]]

# Compression moves colours by some levels; a body is what differs by more.
TOLERANCE = 48
_STRIDE = 2  # every other pixel is enough to tell what a picture shows


@dataclass(frozen=True)
class Cue:
    """One kind of driving picture.

    Attributes:
      name: in a sentence to the user.
      background: its colour.
      smallest: share of a frame's area that a person fills at least.
      form: what such a video shows, to finish the sentence "it should show ...".
      draw: (OpenPose's arrays by field name, the (height, width) that they belong to or None, size, where they
        come from) to pictures; see `jaxanim.cues.densepose_from_pose.place`.
      looks_right: whether pictures may be such ones.
    """

    name: str
    background: tuple[int, int, int]
    smallest: float
    form: str
    draw: Callable[[Fields, tuple[int, int] | None, tuple[int, int], str], Frames]
    looks_right: Callable[[Frames], bool]


def _draw_densepose(fields: Fields, canvas: tuple[int, int] | None, size: tuple[int, int], source: str) -> Frames:
    return densepose_from_pose(place(fields["pose_keypoints_2d"], canvas, size), size)


def _draw_openpose(fields: Fields, canvas: tuple[int, int] | None, size: tuple[int, int], source: str) -> Frames:
    points = openpose.one_person(openpose.confident(openpose.keypoints_of(fields, source)), source)
    # Hands and faces stay on their bodies.
    moved = place(points.body, canvas, size, also=openpose.pack(points)[:, None])
    return openpose.draw(openpose.unpack(moved[:, 0]), size)


def _looks_like_densepose(frames: Frames) -> bool:
    """Whether most pixels have nearly one of the 25 colours of a part map."""
    pixels = _some(frames)
    distance = np.abs(pixels - densepose.PALETTE.astype(int)).max(-1).min(-1)
    return float((distance <= TOLERANCE).mean()) > 0.6


def _looks_like_openpose(frames: Frames) -> bool:
    """Whether most pixels are black and most of the rest are of full hues, dimmed or not, or white."""
    pixels = _some(frames)[:, 0]
    drawn = pixels[pixels.max(-1) > TOLERANCE]
    if len(drawn) > 0.5 * len(pixels):
        return False
    hue = drawn.min(-1) <= 0.5 * drawn.max(-1)
    grey = drawn.max(-1) - drawn.min(-1) <= TOLERANCE
    return len(drawn) == 0 or float((hue | grey).mean()) > 0.8


def _some(frames: Frames) -> np.ndarray:
    chosen = frames[:: max(1, len(frames) // 8), ::_STRIDE, ::_STRIDE]
    return chosen.reshape(-1, 1, 3).astype(int)


CUES = {
    "densepose": Cue(
        "DensePose",
        densepose.BACKGROUND,
        5e-4,
        f"body parts in the viridis colours on the purple background {densepose.BACKGROUND}",
        _draw_densepose,
        _looks_like_densepose,
    ),
    "openpose": Cue(
        "OpenPose",
        (0, 0, 0),
        1e-4,
        "skeletons in OpenPose's colours on a black background",
        _draw_openpose,
        _looks_like_openpose,
    ),
}
