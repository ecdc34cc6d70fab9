"""What scenes are painted with: shapes in world coordinates, and tones drawn from a seed."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import UInt8

Points = np.ndarray | Sequence  # of x, y pairs
Color = np.ndarray | tuple[float | int, ...]

# World units that every scene fills, to either side of the middle.
LEFT, RIGHT = -2.0, 2.0
_SHIFT = 4  # fractional bits of OpenCV's fixed-point coordinates


@dataclass(frozen=True)
class Easel:
    """A picture being painted of the world right of `left` and below `top`, `scale` pixels a unit."""

    image: UInt8[np.ndarray, "height width 3"]
    scale: float
    left: float
    top: float
    rng: np.random.Generator

    def points(self, xy: Points) -> np.ndarray:
        """World points as OpenCV's fixed-point pixels."""
        pixels = (np.asarray(xy, float) - [self.left, self.top]) * [self.scale, -self.scale] - 0.5
        return np.clip(np.rint(pixels * 2**_SHIFT), -(2**27), 2**27).astype(np.int32)

    def polygon(self, xy: Points, color: Color) -> None:
        """A filled polygon."""
        cv2.fillPoly(self.image, [self.points(xy)], _tuple(color), cv2.LINE_AA, _SHIFT)

    def box(self, x0: float | int, y0: float | int, x1: float | int, y1: float | int, color: Color) -> None:
        """A rectangle between two corners."""
        self.polygon([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], color)

    def blob(self, x: float | int, y: float | int, rx: float | int, ry: float | int, color: Color) -> None:
        """An ellipse."""
        t = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        self.polygon(np.stack([x + rx * np.cos(t), y + ry * np.sin(t)], -1), color)

    def line(self, xy: Points, width: float | int, color: Color) -> None:
        """A line of a width in world units."""
        thickness = max(1, round(width * self.scale))
        cv2.polylines(self.image, [self.points(xy)], False, _tuple(color), thickness, cv2.LINE_AA, _SHIFT)

    def ramp(self, low: Color, high: Color, y0: float | int, y1: float | int) -> None:
        """A vertical gradient over the whole picture from `low` at y0 to `high` at y1, and nowhere else."""
        rows = self.top - (np.arange(self.image.shape[0]) + 0.5) / self.scale
        weight = np.clip((rows - y0) / (y1 - y0), 0, 1)[:, None]
        band = (rows >= y0 - 1 / self.scale) & (rows <= y1)
        colors = (np.asarray(low) * (1 - weight) + np.asarray(high) * weight).astype(np.uint8)
        self.image[band] = colors[band][:, None]


def _tuple(color: Color) -> tuple[float, float, float]:
    return tuple(float(c) for c in np.clip(color, 0, 255))


def tone(rng: np.random.Generator, *color: float | int, spread: float | int = 10) -> np.ndarray:
    """A base colour varied a little in hue and in light."""
    return np.clip(np.array(color, float) + rng.uniform(-spread, spread, 3) + rng.uniform(-spread, spread), 0, 255)
