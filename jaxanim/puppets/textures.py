"""Cloth, skin and hide: small colour tiles that the painter lays along a limb or around a torso."""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

PATTERNS = ("plain", "striped", "pinstriped", "checked", "dotted", "gradient", "logo")

# Named so that a prompt can say them; moderate saturation keeps them learnable and apart from backgrounds.
COLORS = {
    "red": (206, 58, 56), "orange": (232, 128, 48), "yellow": (238, 196, 64), "lime": (150, 190, 70),
    "green": (64, 148, 88), "teal": (44, 150, 152), "blue": (58, 112, 200), "navy": (48, 62, 120),
    "purple": (126, 78, 170), "pink": (228, 120, 160), "brown": (134, 90, 60), "white": (236, 234, 228),
    "gray": (132, 136, 144), "black": (52, 52, 60),
}  # fmt: skip


def jittered(
    rng: np.random.Generator, color: tuple[int, int, int], amount: float | int = 12
) -> Float[np.ndarray, "3"]:
    """`color` moved a little, so that two blue shirts are not the same blue."""
    return np.clip(np.array(color, np.float32) + rng.uniform(-amount, amount, 3), 20, 245).astype(np.float32)


def shade(color: np.ndarray | tuple[float, ...], factor: float | int) -> tuple[float, float, float]:
    """`color` times `factor`, as the tuple that OpenCV's drawing functions take."""
    return tuple(float(c) for c in np.clip(np.asarray(color, np.float32) * factor, 0, 255))


def _pattern_weight(
    pattern: str, u: np.ndarray, v: np.ndarray, period: float | int, front: np.ndarray
) -> Float[np.ndarray, "height width"]:
    """How much of the second colour shows at (u along, v across), in [0, 1]."""

    def soft(wave: np.ndarray, threshold: float | int = 0.0) -> np.ndarray:
        return np.clip((wave - threshold) * 3 + 0.5, 0, 1)

    along, across = np.sin(2 * np.pi * u / period), np.sin(2 * np.pi * v / period)
    if pattern == "striped":
        return soft(along) + 0 * v
    if pattern == "pinstriped":
        return soft(across, 0.2) + 0 * u
    if pattern == "checked":
        return 0.5 * soft(along) + 0.5 * soft(across)
    if pattern == "dotted":
        return soft(along * across, 0.35)
    if pattern == "gradient":
        return np.clip(u / max(float(u.max()), 1e-6), 0, 1) + 0 * v
    if pattern == "logo":
        return front
    return 0 * u + 0 * v


def cloth(
    pattern: str,
    first: np.ndarray,
    second: np.ndarray,
    length: float | int,
    around: float | int,
    period: float | int,
    resolution: float | int,
    logo: str = "disc",
) -> UInt8[np.ndarray, "height width 3"]:
    """A tile `length` long (rows, from the neck or joint down) and `around` wide (columns), in body heights.

    The column in the middle faces forward; the tile repeats around the body. `resolution` is pixels per body
    height.
    """
    height, width = max(4, round(length * resolution)), max(4, round(around * resolution))
    u = (np.arange(height, dtype=np.float32)[:, None] + 0.5) / resolution
    v = (np.arange(width, dtype=np.float32)[None, :] + 0.5) / resolution
    repeats = max(1, round(around / period))
    front = np.zeros((height, width), np.float32)
    if pattern == "logo":
        front = _logo(logo, u - 0.42 * length, v - around / 2, 0.2 * length)
    weight = _pattern_weight(pattern, u, v * (repeats * period / around), period, front)[..., None]
    tile = first * (1 - weight) + second * weight
    tile *= 1.04 - 0.14 * (u / length)[..., None]
    return np.clip(tile, 0, 255).astype(np.uint8)


def _logo(shape: str, u: np.ndarray, v: np.ndarray, radius: float | int) -> Float[np.ndarray, "height width"]:
    """A chest print centred on (0, 0): disc, ring, heart, star, band or diamond."""
    x, y = v / radius, u / radius
    distance = np.sqrt(x**2 + y**2)
    inside = {
        "disc": lambda: 0.9 - distance,
        "ring": lambda: 0.3 - np.abs(distance - 0.7),
        "heart": lambda: 0.8 - np.sqrt((x * 1.05) ** 2 + (y * 1.1 + 0.25 - 0.75 * np.sqrt(np.abs(x))) ** 2),
        "star": lambda: 0.75 + 0.28 * np.cos(5 * np.arctan2(x, -y)) - distance,
        "band": lambda: 0.42 - np.abs(y) + 0 * x,
        "diamond": lambda: 0.9 - np.abs(x) - np.abs(y),
    }[shape]()
    return np.clip(inside * 8 + 0.5, 0, 1).astype(np.float32)


def across_shading(width: int) -> Float[np.ndarray, "width"]:
    """Brightness across a round limb or torso lit from the upper left."""
    x = (np.arange(width, dtype=np.float32) + 0.5) / width * 2 - 1
    return 1.07 - 0.26 * np.clip(x + 0.15, 0, 1) ** 2 - 0.16 * np.clip(-x - 0.35, 0, 1) ** 2


def limb(tile: UInt8[np.ndarray, "height width 3"]) -> UInt8[np.ndarray, "height width 3"]:
    """A limb's tile with the shading of a cylinder baked in."""
    return np.clip(tile * across_shading(tile.shape[1])[None, :, None], 0, 255).astype(np.uint8)


def sleeve(
    cloth_tile: UInt8[np.ndarray, "height width 3"], skin: np.ndarray, start: float | int, stop: float
) -> UInt8[np.ndarray, "height width 3"]:
    """A limb whose cloth covers the rows from `start` to `stop` (fractions of its length); skin elsewhere."""
    rows = (np.arange(cloth_tile.shape[0], dtype=np.float32) + 0.5) / cloth_tile.shape[0]
    covered = ((rows >= start) & (rows < stop))[:, None, None]
    tile = np.where(covered, cloth_tile, np.asarray(skin, np.float32).astype(np.uint8))
    hem = (np.abs(rows - stop) < 0.03) & (0 < stop < 1)
    tile = np.where(hem[:, None, None], (tile * 0.8).astype(np.uint8), tile)
    return limb(tile)


def hide(
    rng: np.random.Generator, pattern: str, first: np.ndarray, second: np.ndarray, size: int = 96
) -> UInt8[np.ndarray, "size size 3"]:
    """An animal's coat: "plain", "spotted", "striped", "patched" or "scaled"."""
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size
    if pattern == "striped":
        weight = np.sin(2 * np.pi * (4 * x + 0.25 * np.sin(2 * np.pi * y)))
    elif pattern == "scaled":
        weight = np.sin(2 * np.pi * 6 * x + np.pi * np.floor(6 * y)) * np.sin(np.pi * 6 * y) - 0.1
    elif pattern in ("spotted", "patched"):
        cells = 9 if pattern == "spotted" else 5
        noise = rng.normal(size=(cells, cells)).astype(np.float32)
        weight = cv2.resize(noise, (size, size), interpolation=cv2.INTER_CUBIC) - 0.45
    else:
        weight = np.full_like(x, -1.0)
    weight = np.clip(weight * 3 + 0.5, 0, 1)[..., None]
    tile = first * (1 - weight) + second * weight
    return np.clip(tile * (1.08 - 0.28 * y[..., None]), 0, 255).astype(np.uint8)
