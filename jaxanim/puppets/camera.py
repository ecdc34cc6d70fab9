"""Camera paths over the world: still, or a smooth pan or zoom."""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from jaxanim.errors import InputError
from jaxanim.puppets.background import draw_background
from jaxanim.puppets.motion import wave
from jaxanim.puppets.paint import View
from jaxanim.puppets.seeds import stream

CAMERAS = ("still", "pan", "zoom", "orbit")
_GROUND = 0.94  # where the ground line lies in a still frame, from the top
_REACH = 1.6  # world units to either side of the middle that a camera may see


def camera_path(
    camera: str | Sequence[Sequence[float]] | np.ndarray | None,
    frames: int,
    seed: int,
    fps: float | int = 25.0,
) -> Float[np.ndarray, "frames 3"]:
    """The camera's x and y offset (world units) and zoom for each frame.

    camera: None or "still"; "pan" (sideways), "zoom" (in and out), "orbit" (both); or the path itself.

    Raises:
        InputError: an unknown name, or a path of another shape or with a zoom that is not positive.
    """
    path = np.tile(np.array([0.0, 0.0, 1.0]), (frames, 1))
    if camera is None or (isinstance(camera, str) and camera == "still"):
        return path
    if not isinstance(camera, str):
        given = np.asarray(camera, np.float64)
        if given.shape != (frames, 3) or not (given[:, 2] > 0).all():
            raise InputError(f"camera has shape {given.shape}; it must be ({frames}, 3), x, y and a zoom above 0")
        return given
    if camera not in CAMERAS:
        raise InputError(f"camera is {camera!r}; it must be one of {', '.join(CAMERAS)}")
    rng = stream(seed, "camera")
    t, period, phase = np.arange(frames) / fps, rng.uniform(4, 7), rng.uniform(0, 1)
    if camera in ("pan", "orbit"):
        path[:, 0] = rng.uniform(0.1, 0.18) * wave(t, 1 / period, phase)
    if camera in ("zoom", "orbit"):
        path[:, 2] = 1 + rng.uniform(0.1, 0.2) * (0.5 - 0.5 * np.cos(2 * np.pi * (t / period + phase)))
        path[:, 1] = 0.06 * (path[:, 2] - 1)
    return path


def view_of(size: tuple[int, int], path: Float[np.ndarray, "frames 3"]) -> View:
    """How the world lies on frames of `size` (height, width) seen along a camera path."""
    height, width = size
    unit = min(height, 1.2 * width)
    zoom = path[:, 2]
    middle = np.stack([path[:, 0], (_GROUND - 0.5) * height / unit + path[:, 1]], -1)
    scale = unit * zoom
    center = np.array([width / 2 - 0.5, height / 2 - 0.5])
    return View(size, scale, center - middle * scale[:, None] * np.array([1.0, -1.0]))


def backgrounds(seed: int, scene: str, view: View) -> UInt8[np.ndarray, "one_or_frames height width 3"]:
    """The scene behind every frame; drawn once and alone if the camera does not move."""
    height, width = view.size
    corner = (np.array([-0.5, -0.5]) - view.shift) / (view.scale[:, None] * np.array([1.0, -1.0]))
    if np.ptp(view.scale) == 0 and np.ptp(view.shift, axis=0).max() == 0:
        scale = float(view.scale[0])
        return draw_background(seed, scene, view.size, scale, *map(float, corner[0]))[None]
    far = corner + np.stack([width / view.scale, -height / view.scale], -1)
    scale = float(view.scale.max())
    left, top = max(-_REACH - 0.4, corner[:, 0].min()), corner[:, 1].max()
    right, bottom = min(_REACH + 0.4, far[:, 0].max()), far[:, 1].min()
    picture = draw_background(
        seed, scene, (int((top - bottom) * scale) + 2, int((right - left) * scale) + 2), scale, left, top
    )
    frames = []
    for k in range(len(view.scale)):
        ratio = view.scale[k] / scale
        move = (np.array([left, top]) - corner[k]) * [1, -1] * view.scale[k]
        matrix = np.array([[ratio, 0, move[0] + 0.5 * ratio - 0.5], [0, ratio, move[1] + 0.5 * ratio - 0.5]])
        frames.append(
            cv2.warpAffine(
                picture, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
            )
        )
    return np.stack(frames)
