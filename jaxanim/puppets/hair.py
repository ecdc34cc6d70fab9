"""Hair and hats: one cap whose rim turns with the head, and what hangs or stands from it."""

import numpy as np
from jaxtyping import Float

from jaxanim.puppets.face import HEAD_LEFT, Head
from jaxanim.puppets.identity import Look
from jaxanim.puppets.shapes import Shape, ellipse, smooth_closed
from jaxanim.puppets.textures import shade

_COVERS_EARS = ("bob", "long")


def covers_ears(look: Look) -> bool:
    """Whether the hair hides the ears."""
    return look.hair_style in _COVERS_EARS


def _rim(look: Look, azimuth: np.ndarray) -> np.ndarray:
    """Elevation (degrees) of the lower edge of the hair at an azimuth (degrees)."""
    front, side, back, fringe, phase = look.hairline
    away = np.abs((azimuth + 180) % 360 - 180)
    if covers_ears(look):
        base = np.interp(away, [0, 46, 62, 180], [front, front - 8, -52, -62])
    else:
        base = np.interp(away, [0, 50, 78, 100, 130, 180], [front, front - 4, side + 14, side, back, back])
    return base + fringe * np.sin(np.deg2rad(azimuth) * 3.2 + phase) * np.clip(1 - away / 60, 0, 1)


def _cap(
    head: Head, rim: np.ndarray, scale: float | int, bumps: int, height: float | int, taper: float | int = 0.0
) -> Float[np.ndarray, "frames points 2"]:
    """The region of the head above a rim given at view azimuths -90..90, closed over the top."""
    view = np.deg2rad(np.linspace(-90, 90, rim.shape[1]))[None]
    el = np.deg2rad(rim)
    level = np.sin(np.clip(el, -np.pi / 2, np.pi / 2))
    x = np.sin(view) * np.where(el > 0, np.cos(el), 1 - taper * (1 - np.cos(el)))
    edge = np.stack([x * scale, level * np.where(el > 0, 1.0, scale)], -1)
    along = np.linspace(0, 1, 25)[None]
    right, left = np.clip(el[:, -1:], 0, 1.5), np.clip(el[:, :1], 0, 1.5)
    angle = right + (np.pi - left - right) * along
    spiked = scale + height * np.abs(np.sin(bumps * angle / 2)) * np.sin(angle)
    top = np.stack([np.cos(angle) * spiked, np.sin(angle) * spiked], -1)
    return head.local(np.concatenate([edge, top], 1))


def cap(head: Head, look: Look) -> list[Shape]:
    """The hair on the head, or the hat over it."""
    shapes = []
    view = np.linspace(-90, 90, 25)[None]
    yaw, pitch = np.rad2deg(head.turn[:, :1]), np.rad2deg(head.turn[:, 1:2])
    azimuth = view - yaw
    dip = pitch * np.cos(np.deg2rad(azimuth))
    dark = shade(look.hair, 0.5)
    if look.hair_style != "bald":
        bumps, height = {"spiky": (9, 0.26), "curly": (12, 0.12)}.get(look.hair_style, (1, 0.0))
        scale = {"curly": 1.16, "spiky": 1.05}.get(look.hair_style, 1.08)
        points = _cap(head, _rim(look, azimuth) + dip, scale, bumps, 0.0 if look.hat != "none" else height,
                      0.0 if covers_ears(look) else 0.9)  # fmt: skip
        shapes.append(Shape(points, shade(look.hair, 1.0), HEAD_LEFT, dark))
        shapes.append(_gloss(head, look))
    if look.hat != "none":
        level = 30.0 if look.hat == "beanie" else 34.0
        points = _cap(head, level + 0.6 * dip + 0 * azimuth, 1.16, 1, 0.0)
        shapes.append(Shape(points, shade(look.hat_color, 1.0), HEAD_LEFT, shade(look.hat_color, 0.5)))
        shapes.append(_brim(head, look, level))
    return shapes


def _gloss(head: Head, look: Look) -> Shape:
    arc = np.linspace(-28, 22, 8)
    points, z = head.project(
        arc[None] - 20 - 0.6 * np.rad2deg(head.turn[:, :1]), 66 + 0 * arc[None] - arc[None] ** 2 / 80
    )
    fill = tuple(float(c) for c in np.clip(np.asarray(look.hair) * 1.12 + 22, 0, 255))
    return Shape(points, fill, HEAD_LEFT, thickness=head.radius[0] * 0.12, visible=z.mean(1) > 0.1)


def _brim(head: Head, look: Look, level: float | int) -> Shape:
    arc = np.linspace(-1, 1, 11)
    if look.hat == "beanie":
        azimuth = np.linspace(-88, 88, 11)[None] - np.rad2deg(head.turn[:, :1])
        points, _ = head.project(azimuth, level + 0 * azimuth)
        points = head.center[:, None] + (points - head.center[:, None]) * 1.17
        return Shape(points, shade(look.hat_color, 0.8), HEAD_LEFT, thickness=head.radius[1] * 0.26)
    inner, _ = head.project(62 * arc, level + 2 + 0 * arc)
    outer, z = head.project(58 * arc, level - 8 * (1 - arc**2))
    reach = 1 + 0.42 * np.clip(1 - arc**2, 0, 1)[None, :, None]
    outer = head.center[:, None] + (outer - head.center[:, None]) * reach
    points = np.concatenate([inner, outer[:, ::-1]], 1)
    fill = shade(look.hat_color, 0.8)
    return Shape(points, fill, HEAD_LEFT, shade(look.hat_color, 0.5), visible=z.mean(1) > 0.05)


def back(head: Head, look: Look) -> list[Shape]:
    """Hair at the back of the head: long hair, a ponytail or a bun."""
    dark, fill = shade(look.hair, 0.5), shade(look.hair, 0.88)
    behind = -np.sin(head.turn[:, 0])  # where the back of the head lies, in radii to the viewer's right
    zero = np.zeros_like(behind)
    if look.hair_style == "long":
        knots = [
            (-1.06, 0.3),
            (-1.14, -0.6),
            (-1.05, -1.5),
            (-0.5, -1.75),
            (0.0, -1.68),
            (0.5, -1.75),
            (1.05, -1.5),
            (1.14, -0.6),
            (1.06, 0.3),
            (0.0, 1.0),
        ]
        local = np.stack([np.stack([x + 0.3 * behind * max(-y, 0), y + zero], -1) for x, y in knots], 1)
        return [Shape(smooth_closed(head.local(local), 3), fill, HEAD_LEFT, dark)]
    if look.hair_style == "ponytail":
        knots = [
            (0.0, 0.62),
            (-0.34, 0.35),
            (-0.42, -0.5),
            (-0.1, -1.45),
            (0.14, -1.45),
            (0.42, -0.5),
            (0.34, 0.35),
        ]
        local = np.stack([np.stack([x + 1.15 * behind, y + zero], -1) for x, y in knots], 1)
        return [Shape(smooth_closed(head.local(local), 3), fill, HEAD_LEFT, dark)]
    if look.hair_style == "bun":
        center = head.local(np.stack([0.75 * behind, 0.98 + zero], -1)[:, None])[:, 0]
        return [Shape(ellipse(center, head.radius[0] * 0.44, head.radius[0] * 0.44), fill, HEAD_LEFT, dark)]
    return []
