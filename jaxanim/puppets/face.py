"""A head that turns: features lie on an ellipsoid by azimuth and elevation and are projected.

Azimuth 0 is the front of the face and grows towards the character's left; elevation grows upwards; degrees.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from jaxanim.puppets.identity import Look
from jaxanim.puppets.shapes import Shape, Texture, ellipse, place
from jaxanim.puppets.textures import shade

HEAD_RIGHT, HEAD_LEFT = 23, 24
_JAW = 0.2


@dataclass(frozen=True)
class Head:
    """Where a head is: centre and radii in world units, yaw, pitch and roll in radians, expression [frames,
    6] (blink, gaze x, gaze y, mouth open, smile, brows)."""

    center: Float[np.ndarray, "frames 2"]
    radius: tuple[float, float]
    turn: Float[np.ndarray, "frames 3"]
    expression: Float[np.ndarray, "frames 6"]

    def local(self, xy: Float[np.ndarray, "..."]) -> Float[np.ndarray, "frames points 2"]:
        """Head-relative points (1 = the radii) in world units."""
        return place(xy * np.array(self.radius), self.center, self.turn[:, 2])

    def project(
        self, azimuth: np.ndarray, elevation: np.ndarray
    ) -> tuple[Float[np.ndarray, "frames points 2"], Float[np.ndarray, "frames points"]]:
        """Points on the head [frames or 1, points] in world units, and how far each faces the viewer (1 to
        -1)."""
        az, el = np.deg2rad(np.atleast_2d(azimuth)), np.deg2rad(np.atleast_2d(elevation))
        yaw, pitch = self.turn[:, :1], self.turn[:, 1:2]
        x, y, z = np.sin(az) * np.cos(el), np.sin(el), np.cos(az) * np.cos(el)
        y, z = y * np.cos(pitch) + z * np.sin(pitch), z * np.cos(pitch) - y * np.sin(pitch)
        x, z = x * np.cos(yaw) + z * np.sin(yaw), z * np.cos(yaw) - x * np.sin(yaw)
        x = x * (1 - _JAW * np.clip(-y, 0, 1) ** 2)
        return self.local(np.stack([x, y], -1)), z


def _outline(scale: float | int = 1.0, points: int = 28) -> Float[np.ndarray, "1 points 2"]:
    t = np.linspace(0, 2 * np.pi, points, endpoint=False)
    x, y = np.cos(t), np.sin(t)
    return scale * np.stack([x * (1 - _JAW * np.clip(-y, 0, 1) ** 2), y], -1)[None]


def skull(head: Head, look: Look) -> list[Shape]:
    """The bare head."""
    rows, columns = np.mgrid[0:24, 0:24].astype(np.float32) / 11.5 - 1
    light = 1.06 - 0.16 * np.clip((columns * 0.5 + rows * 0.75) * 0.8, -0.4, 1.2)
    tile = np.clip(np.asarray(look.skin)[None, None] * light[..., None], 0, 255).astype(np.uint8)
    corners = head.local(np.array([[[-1.1, 1.1], [1.1, 1.1], [-1.1, -1.1]]]))
    texture = Texture(
        tile, corners[:, 0], (corners[:, 1] - corners[:, 0]) / 24, (corners[:, 2] - corners[:, 0]) / 24
    )
    dark = shade(look.skin, 0.5)
    nose, z = head.project(np.array([0.0]), np.array([-17.0]))
    at = head.center + 1.02 * (nose[:, 0] - head.center)  # behind the head, so that it shows in profile alone
    bump = Shape(
        ellipse(at, 0.13 * head.radius[0], 0.12 * head.radius[1]),
        shade(look.skin, 0.97),
        HEAD_LEFT,
        dark,
        visible=z[:, 0] > -0.2,
    )
    return [bump, Shape(head.local(_outline()), texture, HEAD_LEFT, dark)]


def ears(head: Head, look: Look) -> tuple[list[Shape], list[Shape]]:
    """Ears to paint before the head (seen edge-on at its sides) and after the hair (turned to the viewer)."""
    behind, before = [], []
    for azimuth in (-92.0, 92.0):
        center, z = head.project(np.array([azimuth]), np.array([-4.0]))
        radius = head.radius[0] * 0.2
        points = ellipse(center[:, 0], radius, radius * 1.3)
        facing = z[:, 0]
        for shapes, visible in ((behind, (facing < 0.35) & (facing > -0.55)), (before, facing >= 0.35)):
            shapes.append(Shape(points, shade(look.skin, 0.95), HEAD_LEFT, shade(look.skin, 0.5), visible=visible))
    return behind, before


def _on_face(head: Head, azimuth: np.ndarray, elevation: np.ndarray, fill: tuple, **more: float | int) -> Shape:
    points, z = head.project(azimuth, elevation)
    return Shape(points, fill, HEAD_LEFT, visible=z.mean(1) > 0.12, **more)


_T = np.linspace(0, 2 * np.pi, 14, endpoint=False)


def eyes(head: Head, look: Look) -> list[Shape]:
    """Whites, irises that follow the gaze, lids that close, lashes and brows."""
    shapes = []
    blink, gaze_x, gaze_y, _, _, brow = (c[:, None] for c in head.expression.T)
    size = 12.5 * look.eye_size
    opening = np.clip(1 - blink, 0.04, 1)
    dark = (44.0, 36.0, 38.0)
    line = head.radius[0] * 0.07
    for side in (-1, 1):
        center = side * 25.0
        level = 3 - 5 * (1 - opening)
        azimuth = center + size * 0.86 * np.cos(_T)[None]
        elevation = level + size * 1.15 * opening * np.sin(_T)[None]
        shapes.append(_on_face(head, azimuth, elevation, (250.0, 250.0, 248.0)))
        iris_az, iris_el = center + 4.0 * gaze_x, level + 3.0 * gaze_y * opening
        for radius, fill in ((0.62, tuple(float(c) for c in look.eye)), (0.34, (24.0, 20.0, 24.0))):
            azimuth = iris_az + size * radius * 0.95 * np.cos(_T)[None]
            elevation = iris_el + size * radius * 1.25 * opening * np.sin(_T)[None]
            shapes.append(_on_face(head, azimuth, elevation, fill))
        azimuth, elevation = (
            iris_az - 2.5 + 2.4 * np.cos(_T)[None],
            iris_el + 4 * opening + 2.4 * opening * np.sin(_T)[None],
        )
        shapes.append(_on_face(head, azimuth, elevation, (255.0, 255.0, 255.0)))
        arc = np.linspace(-1, 1, 7)[None]
        lid = level + size * 1.15 * opening * np.sqrt(1.0001 - arc**2)
        shapes.append(_on_face(head, center + size * 0.9 * arc, lid + 0 * blink, dark, thickness=line))
        lift = 25 + 4 * brow + 3 * (1 - arc**2) - side * arc * 1.5
        hair = shade(look.hair, 0.7) if look.hair_style != "bald" else shade(look.skin, 0.5)
        shapes.append(_on_face(head, center + 11.5 * arc, lift, hair, thickness=line * 1.3))
    return shapes


def mouth_curves(
    head: Head, look: Look
) -> tuple[np.ndarray, Float[np.ndarray, "frames 9"], Float[np.ndarray, "frames 9"]]:
    """Azimuths, and elevations of the upper and the lower lip line."""
    opening, smile = head.expression[:, 3:4], head.expression[:, 4:5]
    arc = np.linspace(-1, 1, 9)[None]
    width = (15 + 4 * smile - 4 * opening) * look.mouth_width
    corner = -36 + 7 * smile * arc**2
    return (
        width * arc,
        corner + 2.0 * (1 - arc**2),
        corner - (2.6 + 15 * opening + 2.5 * smile) * (1 - arc**2),
    )


def mouth_and_nose(head: Head, look: Look) -> list[Shape]:
    """Nose, cheeks, and a mouth that opens and smiles."""
    shapes = []
    blush = tuple(float(c) for c in np.clip(look.skin * np.array([1.02, 0.84, 0.82]), 0, 255))
    for side in (-1, 1):
        shapes.append(_on_face(head, side * 45 + 9 * np.cos(_T), -19 + 7 * np.sin(_T), blush))
    if look.beard:
        arc = np.linspace(-1, 1, 15)
        top, low = -26 - 6 * np.abs(arc) ** 0.5 + 10 * arc**2, -78 + 52 * arc**2
        azimuth = np.concatenate([62 * arc, 62 * arc[::-1]])
        shapes.append(_on_face(head, azimuth, np.concatenate([top, low[::-1]]), shade(look.hair, 0.95)))
    nose = np.array([-3.5, -6.0, 0.0, 6.0, 3.5]), np.array([-10.0, -17.0, -20.0, -17.0, -10.0])
    shapes.append(_on_face(head, *nose, shade(look.skin, 0.84)))
    azimuth, upper, lower = mouth_curves(head, look)
    loop = np.concatenate([azimuth, azimuth[:, ::-1]], 1)
    lips = tuple(float(c) for c in look.lip)
    shapes.append(_on_face(head, loop * 1.08, np.concatenate([upper + 1.8, lower[:, ::-1] - 2.2], 1), lips))
    shapes.append(_on_face(head, loop * 0.9, np.concatenate([upper - 0.6, lower[:, ::-1]], 1), (96.0, 34.0, 40.0)))
    return shapes


def glasses(head: Head, look: Look) -> list[Shape]:
    """Round spectacles, if the look has any."""
    if not look.glasses:
        return []
    dark, line = (40.0, 40.0, 48.0), head.radius[0] * 0.075
    closed = np.append(_T, _T[0])
    rims = [
        _on_face(head, s * 25 + 17 * np.cos(closed), 2 + 18 * np.sin(closed), dark, thickness=line) for s in (-1, 1)
    ]
    return [
        *rims,
        _on_face(head, np.array([-8.0, 0.0, 8.0]), np.array([4.0, 6.0, 4.0]), dark, thickness=line),
    ]


def right_half(head: Head) -> Shape:
    """Relabels the character's right half of the head, as DensePose does."""
    elevation = np.linspace(-100, 100, 15)
    front = np.cos(head.turn[:, :1]) >= 0
    azimuth = np.where(front, 0.0, 180.0)
    meridian, _ = head.project(azimuth + 0 * elevation[None], np.clip(elevation, -90, 90)[None] + 0 * azimuth)
    ends = head.local(np.array([[[0.0, -3.0], [0.0, 3.0]]]))
    side = np.where(front[:, 0], -3.0, 3.0)
    corners = np.stack([np.stack([side, 0 * side + 3.0], -1), np.stack([side, 0 * side - 3.0], -1)], 1)
    points = np.concatenate([ends[:, :1], meridian, ends[:, 1:], head.local(corners)], 1)
    return Shape(points, None, HEAD_RIGHT, relabel=HEAD_LEFT)
