"""The painter: groups of shapes over a background, into frames and an exact part map.

Everything is painted without blending on a canvas `s` times finer than the frame. The frame is the canvas's
area average, so edges are anti-aliased; a pixel's part is the part at its centre, so occlusion is exact.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from jaxanim.puppets.shapes import Group, Shape, Texture, offset

_SHIFT = 4  # fractional bits of OpenCV's fixed-point coordinates
_OUTLINE = 0.0075  # outline width in units of the frame


@dataclass(frozen=True)
class View:
    """How the world lies on the frames: pixel = scale * (x, -y) + shift per frame, pixel centres at integers.

    scale: [frames], pixels per world unit.
    shift: [frames, 2], pixels.
    """

    size: tuple[int, int]
    scale: Float[np.ndarray, "frames"]
    shift: Float[np.ndarray, "frames 2"]

    def project(self, points: Float[np.ndarray, "frames points 2"]) -> Float[np.ndarray, "frames points 2"]:
        """World points in pixels."""
        return points * (self.scale[:, None, None] * np.array([1.0, -1.0])) + self.shift[:, None]


def supersampling(size: tuple[int, int]) -> int:
    """Canvas pixels per frame pixel along each axis."""
    return 4 if min(size) <= 160 else 3 if min(size) <= 320 else 2


@dataclass(frozen=True)
class _Polygon:
    """A polygon on the canvas in all frames: fixed-point coordinates and whole-pixel bounds."""

    points: np.ndarray
    low: np.ndarray
    high: np.ndarray


def _polygon(points: np.ndarray, view: View, s: int) -> _Polygon:
    canvas = (view.project(points) + 0.5) * s - 0.5
    fixed = np.clip(np.rint(canvas * 2**_SHIFT), -(2**27), 2**27).astype(np.int32)
    height, width = view.size[0] * s, view.size[1] * s
    low = np.clip(np.floor(canvas.min(1)).astype(int) - 1, 0, [width, height])
    high = np.clip(np.ceil(canvas.max(1)).astype(int) + 2, 0, [width, height])
    return _Polygon(fixed, low, high)


def _tile_matrix(texture: Texture, view: View, s: int) -> Float[np.ndarray, "frames 2 3"]:
    """Canvas position of the centre of tile pixel (column, row), as an affine map per frame."""
    scale = view.scale[:, None] * np.array([1.0, -1.0]) * s
    origin = (view.project(texture.origin[:, None])[:, 0] + 0.5) * s - 0.5
    across, along = texture.across * scale, texture.along * scale
    origin = origin + 0.5 * (across + along)
    return np.stack([across, along, origin], axis=-1)


@dataclass(frozen=True)
class _Job:
    """One shape made ready: all its geometry in canvas coordinates."""

    shape: Shape
    polygon: _Polygon
    outline: _Polygon | None
    tile: np.ndarray | None
    shading: np.ndarray | None
    thickness: int
    outline_width: int


def _job(shape: Shape, view: View, s: int) -> _Job:
    outline = tile = shading = None
    polygon = _polygon(shape.points, view, s)
    if shape.outline is not None:
        outline = polygon if shape.thickness else _polygon(offset(shape.points, _OUTLINE), view, s)
    if isinstance(shape.fill, Texture):
        tile = _tile_matrix(shape.fill, view, s)
        if shape.fill.shading is not None:
            shading = _tile_matrix(shape.fill.shading, view, s)
    pixels = float(view.scale.mean()) * s
    thickness = max(1, round(shape.thickness * pixels)) if shape.thickness else 0
    return _Job(shape, polygon, outline, tile, shading, thickness, max(1, round(_OUTLINE * pixels)))


def _warp(tile: np.ndarray, matrix: np.ndarray, low: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    moved = matrix.copy()
    moved[:, 2] -= low
    return cv2.warpAffine(tile, moved, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _fill(job: _Job, f: int, canvas: np.ndarray, parts: np.ndarray) -> None:
    shape, polygon = job.shape, job.polygon
    points = polygon.points[f]
    if job.thickness:
        cv2.polylines(canvas, [points], False, shape.fill, job.thickness, cv2.LINE_8, _SHIFT)
        if shape.part:
            cv2.polylines(parts, [points], False, shape.part, job.thickness, cv2.LINE_8, _SHIFT)
        return
    if isinstance(shape.fill, tuple):
        cv2.fillPoly(canvas, [points], shape.fill, cv2.LINE_8, _SHIFT)
    else:
        (x0, y0), (x1, y1) = polygon.low[f], polygon.high[f]
        if x1 <= x0 or y1 <= y0:
            return
        mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
        cv2.fillPoly(mask, [points - np.array([x0, y0], np.int32) * 2**_SHIFT], 255, cv2.LINE_8, _SHIFT)
        if shape.fill is None:
            region = parts[y0:y1, x0:x1]
            region[(mask > 0) & (region == shape.relabel)] = shape.part
            return
        size, low = (int(x1 - x0), int(y1 - y0)), polygon.low[f]
        color = _warp(shape.fill.tile, job.tile[f], low, size)
        if job.shading is not None:
            shading = _warp(shape.fill.shading.tile, job.shading[f], low, size)
            color = cv2.multiply(color, shading, scale=1 / 230)
        cv2.copyTo(color, mask, canvas[y0:y1, x0:x1])
    if shape.part:
        cv2.fillPoly(parts, [points], shape.part, cv2.LINE_8, _SHIFT)


def _outline(job: _Job, f: int, image: np.ndarray, value: tuple[float, float, float] | int) -> None:
    points = [job.outline.points[f]]
    if job.thickness:
        cv2.polylines(image, points, False, value, job.thickness + 2 * job.outline_width, cv2.LINE_8, _SHIFT)
    else:
        cv2.fillPoly(image, points, value, cv2.LINE_8, _SHIFT)


def _paint_group(jobs: Sequence[_Job], f: int, canvas: np.ndarray, parts: np.ndarray) -> None:
    shown = [job for job in jobs if job.shape.visible is None or job.shape.visible[f]]
    for job in shown:
        if job.outline is not None:
            _outline(job, f, canvas, job.shape.outline)
            if job.shape.part:
                _outline(job, f, parts, job.shape.part)
    for job in shown:
        _fill(job, f, canvas, parts)


def paint(
    groups: Sequence[Group], view: View, backgrounds: UInt8[np.ndarray, "one_or_frames height width 3"]
) -> tuple[UInt8[np.ndarray, "frames height width 3"], UInt8[np.ndarray, "frames height width"]]:
    """Frames and part maps (0 where the background shows). One background serves all frames."""
    cv2.setNumThreads(1)
    s = supersampling(view.size)
    height, width = view.size
    jobs = [[_job(shape, view, s) for shape in group.shapes] for group in groups]
    order = np.argsort(np.stack([group.depth for group in groups]), axis=0, kind="stable")
    count = len(view.scale)
    frames, parts = np.empty((count, height, width, 3), np.uint8), np.empty((count, height, width), np.uint8)
    canvas, fine_parts = (
        np.empty((height * s, width * s, 3), np.uint8),
        np.empty((height * s, width * s), np.uint8),
    )
    for f in range(count):
        if f == 0 or len(backgrounds) > 1:
            fine = cv2.resize(backgrounds[f], (width * s, height * s), interpolation=cv2.INTER_NEAREST)
        np.copyto(canvas, fine)
        fine_parts.fill(0)
        for g in order[:, f]:
            _paint_group(jobs[g], f, canvas, fine_parts)
        frames[f] = cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA)
        parts[f] = fine_parts[s // 2 :: s, s // 2 :: s]
    return frames, parts
