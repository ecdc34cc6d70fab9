"""Skeleton graphs of any character, drawn as sticks and joints."""

import colorsys
from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Float, UInt8


def draw(
    points: Float[np.ndarray, "frames points 3"], edges: Sequence[tuple[int, int]], size: tuple[int, int]
) -> UInt8[np.ndarray, "frames height width 3"]:
    """A graph on black, `size` = (height, width): each edge in its own hue, joints white; confidence 0 is
    left out.

    points: x and y in pixels and a confidence.
    """
    pictures = np.zeros((len(points), *size, 3), np.uint8)
    width = max(1, round(min(size) / 64))
    colors = [tuple(255 * c for c in colorsys.hsv_to_rgb(k / len(edges), 1, 1)) for k in range(len(edges))]
    for picture, frame in zip(pictures, points, strict=True):
        where = [(round(float(x)), round(float(y))) for x, y, _ in frame]
        for (a, b), color in zip(edges, colors, strict=True):
            if frame[a, 2] > 0 and frame[b, 2] > 0:
                cv2.line(picture, where[a], where[b], color, width, cv2.LINE_AA)
        for at, (_, _, confidence) in zip(where, frame, strict=True):
            if confidence > 0:
                cv2.circle(picture, at, width, (255, 255, 255), -1, cv2.LINE_AA)
    return pictures
