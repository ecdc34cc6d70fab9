"""Places: detailed, softly coloured scenes drawn from a seed in world coordinates, wider than any frame."""

from collections.abc import Callable

import cv2
import numpy as np
from jaxtyping import UInt8

from jaxanim.puppets import indoors, outdoors
from jaxanim.puppets.easel import Easel
from jaxanim.puppets.seeds import stream

SCENES: dict[str, tuple[str, Callable[[Easel], None]]] = {
    "park": ("in a park", outdoors.park),
    "mountains": ("in the mountains", outdoors.mountains),
    "beach": ("on a beach", outdoors.beach),
    "street": ("on a city street", outdoors.street),
    "room": ("in a living room", indoors.room),
    "stage": ("on a stage", indoors.stage),
    "sea": ("in the sea", outdoors.sea),
}
_CHANCES = (0.2, 0.14, 0.15, 0.15, 0.26, 0.1)


def scene_name(seed: int, kind: str = "human") -> str:
    """The scene of a seed, a key of `SCENES`: fish are always in the sea, and only they."""
    if kind == "fish":
        return "sea"
    return list(SCENES)[stream(seed, "scene").choice(len(_CHANCES), p=_CHANCES)]


def draw_background(
    seed: int, scene: str, size: tuple[int, int], scale: float | int, left: float | int, top: float
) -> UInt8[np.ndarray, "height width 3"]:
    """A scene in the world rectangle whose upper left corner is (left, top), at `scale` pixels a unit."""
    cv2.setNumThreads(1)
    fine = 2
    image = np.empty((size[0] * fine, size[1] * fine, 3), np.uint8)
    easel = Easel(image, scale * fine, left, top, stream(seed, "background"))
    SCENES[scene][1](easel)
    image = cv2.GaussianBlur(image, (0, 0), 0.006 * scale * fine)
    # A little haze keeps the puppet in front: contrast is drawn towards a light gray.
    image = cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA)
    return cv2.addWeighted(image, 0.86, np.full_like(image, 200), 0.14, 0)
