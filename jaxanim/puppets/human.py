"""A human puppet in a motion: all shapes in paint order, and every labelled point, in world units."""

import numpy as np

from jaxanim.cues.skeleton import HUMAN
from jaxanim.puppets import face, hair
from jaxanim.puppets.face import Head
from jaxanim.puppets.hands import hand_points, hand_shapes
from jaxanim.puppets.identity import Human, Look
from jaxanim.puppets.keypoints import SEEN_ON, body_points
from jaxanim.puppets.motion import Motion
from jaxanim.puppets.posed import HumanPoints, Posed
from jaxanim.puppets.shapes import Group, Shape, Texture, axes, capsule, ellipse, limb_texture, smooth_closed
from jaxanim.puppets.skeleton import flat, pose, unit, yaw_of
from jaxanim.puppets.textures import across_shading, cloth, shade, sleeve

# DensePose's part ids: the surface is split in front and back (torso, legs) and inside and outside (arms).
TORSO_BACK, TORSO_FRONT = 1, 2
HAND = {"r": 3, "l": 4}
FOOT = {"r": 6, "l": 5}
THIGH_BACK, THIGH_FRONT = {"r": 7, "l": 8}, {"r": 9, "l": 10}
SHIN_BACK, SHIN_FRONT = {"r": 11, "l": 12}, {"r": 13, "l": 14}
UPPER_ARM_IN, UPPER_ARM_OUT = {"r": 16, "l": 15}, {"r": 18, "l": 17}
FOREARM_IN, FOREARM_OUT = {"r": 20, "l": 19}, {"r": 22, "l": 21}

_RESOLUTION = 300.0  # tile pixels per body height
_SIGN = {"r": -1.0, "l": 1.0}
_ROUND = np.linspace(0, 2 * np.pi, 16, endpoint=False)


def other_side(
    start: np.ndarray,
    end: np.ndarray,
    radius: float | np.ndarray,
    toward_x: np.ndarray,
    toward_z: np.ndarray,
    seen: int,
    hidden: int,
) -> Shape:
    """Relabels the half of a round limb that faces away from a direction.

    toward_x, toward_z: the direction in the limb's cross-section (x along the limb's normal, z to the viewer)
    that the part `seen` faces; surface facing the other way becomes `hidden`.
    """
    direction, normal = axes(start, end)
    radius = np.broadcast_to(np.asarray(radius, float), start.shape[:1])[:, None]
    edge = np.where(toward_x >= 0, -toward_z, toward_z)[:, None] * radius
    far = np.where(toward_x >= 0, -3.0, 3.0)[:, None] * radius
    reach = 2 * radius
    corners = [(start - direction * reach, edge), (end + direction * reach, edge)]
    corners += [(end + direction * reach, far), (start - direction * reach, far)]
    return Shape(np.stack([at + normal * side for at, side in corners], 1), None, hidden, relabel=seen)


def _arm(human: Human, joints: dict, motion: Motion, side: str, hand: np.ndarray, yaw: np.ndarray) -> Group:
    body, look, h = human.body, human.look, human.body.height
    shoulder, elbow, wrist = (flat(joints[f"{name}_{side}"]) for name in ("shoulder", "elbow", "wrist"))
    wide, narrow = body.arm_radius, body.arm_radius * 0.86
    covered = {"shirt": (0.8, 0.0), "vest": (0.0, 0.0), "dress": (0.5, 0.0)}.get(look.top.name, (1.1, 0.93))
    top = look.top
    pattern = "plain" if top.pattern == "logo" else top.pattern
    dark = shade(look.skin, 0.5) if covered[0] == 0 else shade(top.first, 0.5)
    shapes, labels = [], []
    segments = (
        (shoulder, elbow, wide * 1.04, wide, body.upper_arm, covered[0], UPPER_ARM_IN, UPPER_ARM_OUT, dark),
        (
            elbow,
            wrist,
            wide,
            narrow,
            body.forearm,
            covered[1],
            FOREARM_IN,
            FOREARM_OUT,
            dark if covered[1] else shade(look.skin, 0.5),
        ),
    )
    for start, end, r0, r1, length, cover, inside, outside, line in segments:
        tile = sleeve(
            cloth(pattern, top.first, top.second, length, 2 * r0, top.period, _RESOLUTION),
            look.skin,
            0,
            cover,
        )
        texture = limb_texture(tile, start, end, r0 * h)
        shapes.append(Shape(capsule(start, end, r0 * h, r1 * h), texture, inside[side], line))
        inward_x = -_SIGN[side] * np.cos(yaw)
        inward_z = _SIGN[side] * np.sin(yaw)
        labels.append(other_side(start, end, r0 * h, inward_x, inward_z, inside[side], outside[side]))
    fist = hand_shapes(hand, look.skin, HAND[side], body.hand * h)
    z = 0.5 * (joints[f"elbow_{side}"] + joints[f"wrist_{side}"])[:, 2] - joints["neck"][:, 2]
    depth = np.where(z > -0.045 * h, 1 + z, -3 + z)
    return Group(depth, (*shapes, *fist, *labels))


def _leg(human: Human, joints: dict, side: str, yaw: np.ndarray) -> Group:
    body, look, h = human.body, human.look, human.body.height
    hip, knee, ankle, toe = (flat(joints[f"{name}_{side}"]) for name in ("hip", "knee", "ankle", "toe"))
    bottom = look.bottom
    covered = {"trousers": (1.1, 1.1), "shorts": (0.92, 0.0)}.get(bottom.name, (0.0, 0.0))
    if look.top.name == "dress":
        covered = (0.0, 0.0)
    wide, mid, low = body.leg_radius, body.leg_radius * 0.9, body.leg_radius * (0.86 if covered[1] else 0.72)
    dark = shade(bottom.first if covered[0] else look.skin, 0.5)
    shapes, labels = [], []
    segments = ((hip, knee, wide, mid, body.thigh, covered[0], THIGH_FRONT, THIGH_BACK, dark),
                (knee, ankle, mid, low, body.shin, covered[1], SHIN_FRONT, SHIN_BACK,
                 dark if covered[1] else shade(look.skin, 0.5)))  # fmt: skip
    for start, end, r0, r1, length, cover, front, back, line in segments:
        weave = cloth(bottom.pattern, bottom.first, bottom.second, length, 2 * r0, bottom.period, _RESOLUTION)
        tile = sleeve(weave, look.skin, 0, cover)
        shapes.append(
            Shape(capsule(start, end, r0 * h, r1 * h), limb_texture(tile, start, end, r0 * h), front[side], line)
        )
        labels.append(other_side(start, end, r0 * h, np.sin(yaw), np.cos(yaw), front[side], back[side]))
    heel, tip = ankle - np.array([0, 0.004]) * h, toe + np.array([0, -0.002]) * h
    drop = np.array([0, -0.012]) * h
    dark = shade(look.shoe, 0.5)
    sole = Shape(capsule(heel + drop, tip + drop, 0.032 * h, 0.034 * h), shade(look.sole, 1.0), FOOT[side], dark)
    shoe = Shape(capsule(heel, tip, 0.036 * h, 0.034 * h), shade(look.shoe, 1.0), FOOT[side], dark)
    raised = joints[f"knee_{side}"][:, 2] - joints[f"hip_{side}"][:, 2] > 0.8 * body.thigh * h
    z = 0.5 * (joints[f"knee_{side}"] + joints[f"ankle_{side}"])[:, 2]
    return Group(np.where(raised, 0.3, -2) + 0.5 * z, (*shapes, sole, shoe, *labels))


def _torso_tile(look: Look, length: float | int, around: float | int) -> np.ndarray:
    top = look.top
    tile = cloth(top.pattern, top.first, top.second, length, around, top.period, _RESOLUTION, top.logo)
    if top.name == "jacket":
        middle, width = tile.shape[1] // 2, max(2, tile.shape[1] // 22)
        tile[:, middle - width : middle + width] = np.clip(top.second, 0, 255).astype(np.uint8)
        for edge in (middle - width, middle + width - 2):
            tile[:, edge : edge + 2] = (top.first * 0.55).astype(np.uint8)
    return tile


def _around(tile: np.ndarray, top: np.ndarray, bottom: np.ndarray, half: np.ndarray, yaw: np.ndarray) -> Texture:
    """Lays a tile around a torso or skirt from `top` to `bottom`, turned by `yaw`."""
    rows, columns = tile.shape[:2]
    direction, normal = axes(top, bottom)
    length = np.maximum(np.linalg.norm(bottom - top, axis=-1, keepdims=True), 1e-3)
    along = direction * length / rows
    across = normal * half[:, None] * 4 / columns  # the visible half of the tile spans twice `half`
    front = (0.5 - yaw / (2 * np.pi)) % 1 * columns
    light = np.repeat(across_shading(48)[None, :, None] * 228, 3, axis=2)
    light = np.clip(np.repeat(light, 4, axis=0), 0, 255).astype(np.uint8)
    wide = normal * half[:, None] * 2 / 48
    shading = Texture(light, top - wide * 24, wide, direction * length / 4)
    # Columns of the doubled tile run past both sides of the visible half whatever the yaw.
    center = np.where(front < columns / 2, front + columns, front)
    return Texture(np.concatenate([tile, tile], 1), top - across * center[:, None], across, along, shading)


def _torso(human: Human, joints: dict, yaw: np.ndarray, hip_yaw: np.ndarray) -> Group:
    body, look, h = human.body, human.look, human.body.height
    pelvis, neck = flat(joints["pelvis"]), flat(joints["neck"])
    up, left = axes(pelvis, neck)
    right = -left  # to the viewer's right when upright
    length = np.linalg.norm(neck - pelvis, axis=-1)

    def half(width: float | int, turn: np.ndarray) -> np.ndarray:
        return 0.5 * width * h * np.sqrt(np.cos(turn) ** 2 + (body.depth * np.sin(turn)) ** 2)

    chest = half(body.shoulders + 0.045, yaw)
    hips = half(body.hips + 2 * body.leg_radius + 0.012, hip_yaw)
    waist = 0.52 * chest + 0.4 * hips

    def at(u: float | int, side: np.ndarray) -> np.ndarray:
        return pelvis + up * (u * length)[:, None] + right * side[:, None]

    knots = [
        (1.04, 0.3 * chest),
        (0.96, 0.8 * chest),
        (0.84, 0.98 * chest),
        (0.62, 0.9 * chest),
        (0.32, waist),
        (0.04, hips),
        (-0.13, 0.9 * hips),
    ]
    outline = [at(u, side) for u, side in knots] + [at(-0.17, 0 * hips)] + [at(u, -side) for u, side in knots[::-1]]
    tile = _torso_tile(look, body.torso * 1.2, 3.2 * body.shoulders)
    texture = _around(tile, at(1.05, 0 * chest), at(-0.15, 0 * chest), np.maximum(chest, hips), yaw)
    top_dark, bottom = shade(look.top.first, 0.5), look.bottom
    low = ellipse(pelvis + np.array([0, -0.02 * h]), hips * 0.98, 0.066 * h, np.arctan2(right[:, 1], right[:, 0]))
    pelvis_fill = shade(look.top.first if look.top.name == "dress" else bottom.first, 0.95)
    shapes = [Shape(low, pelvis_fill, TORSO_FRONT, shade(pelvis_fill, 0.5))]
    shirt = Shape(smooth_closed(np.stack(outline, 1), 3), texture, TORSO_FRONT, top_dark)
    if look.top.name == "dress" or bottom.name == "skirt":
        skirt = _skirt(human, joints, at(0.14, waist * 0.96), at(0.14, -waist * 0.96), hips, hip_yaw)
        shapes = [shirt, skirt] if look.top.name == "dress" else [skirt, shirt]
    else:
        shapes.append(shirt)
    collar = ellipse(at(0.985, 0 * chest), 0.058 * h, 0.036 * h, np.arctan2(right[:, 1], right[:, 0]), 14)
    shapes.append(Shape(collar, shade(look.skin, 0.86), TORSO_FRONT, top_dark))
    shapes.append(
        Shape(
            capsule(at(0.98, 0 * chest), flat(joints["head"]), 0.05 * h, 0.05 * h),
            shade(look.skin, 0.86),
            TORSO_FRONT,
        )
    )
    # The skirt and legs hang below the pelvis, so the label split runs along a line well past both ends.
    shapes.append(
        other_side(
            at(-1.2, 0 * chest),
            at(1.1, 0 * chest),
            np.maximum(chest, hips),
            -np.sin(yaw),
            np.cos(yaw),
            TORSO_FRONT,
            TORSO_BACK,
        )
    )
    return Group(np.zeros(len(yaw)), tuple(shapes))


def _skirt(
    human: Human, joints: dict, right_top: np.ndarray, left_top: np.ndarray, hips: np.ndarray, yaw: np.ndarray
) -> Shape:
    body, look, h = human.body, human.look, human.body.height
    garment = look.top if look.top.name == "dress" else look.bottom
    ends = []
    for side in "rl":
        hip, knee = flat(joints[f"hip_{side}"]), flat(joints[f"knee_{side}"])
        ends.append(hip + 0.92 * (knee - hip))
    middle = 0.5 * (ends[0] + ends[1])
    down, normal = axes(0.5 * (right_top + left_top), middle)
    spread = np.abs(np.sum((ends[1] - ends[0]) * normal, -1)) * 0.5
    flare = (np.maximum(spread + body.leg_radius * h * 1.2, hips * 1.25))[:, None]
    hem = [middle + normal * flare * k + down * (0.012 * h) * (1 - k**2) for k in (1.0, 0.5, 0.0, -0.5, -1.0)]
    mid = [0.45 * top + 0.55 * end for top, end in ((right_top, hem[0]), (left_top, hem[-1]))]
    corners = [right_top, mid[0] + normal * 0.004 * h, *hem, mid[1] - normal * 0.004 * h, left_top]
    tile = cloth(
        "plain" if garment.pattern == "logo" else garment.pattern,
        garment.first,
        garment.second,
        body.thigh,
        3 * body.shoulders,
        garment.period,
        _RESOLUTION,
    )
    texture = _around(tile, 0.5 * (right_top + left_top), middle, flare[:, 0], yaw)
    return Shape(np.stack(corners, 1), texture, TORSO_FRONT, shade(garment.first, 0.5))


def build(human: Human, motion: Motion) -> Posed:
    """All shapes of a human in a motion, and its points."""
    body, look, h = human.body, human.look, human.body.height
    joints = pose(body, motion)
    yaw, hip_yaw = yaw_of(motion["bone_shoulders"]), yaw_of(motion["bone_hips"])
    front = np.cross(motion["bone_shoulders"], motion["bone_spine"])
    groups, hands = [], {}
    for k, side in enumerate("rl"):
        out = _SIGN[side] * motion["bone_shoulders"]
        hint = unit(-out + motion["bone_spine"] + 0.4 * front)
        wrist = joints[f"wrist_{side}"]
        hand = hand_points(wrist, motion[f"bone_hand_{side}"], hint, motion["fingers"][:, k, :5], body.hand * h)
        hand = np.concatenate([flat(hand), hand[..., 2:]], -1)
        hands[side] = hand[..., :2]
        groups.append(_arm(human, joints, motion, side, hand, yaw))
        groups.append(_leg(human, joints, side, hip_yaw))
    groups.append(_torso(human, joints, yaw, hip_yaw))
    head = Head(flat(joints["head"]), (body.head_width * h, body.head * h), motion["head_turn"], motion["face"])
    behind, before = face.ears(head, look) if not hair.covers_ears(look) else ([], [])
    half = face.right_half(head)
    front_of_head = [
        *behind,
        *face.skull(head, look),
        *face.mouth_and_nose(head, look),
        *face.eyes(head, look),
    ]
    front_of_head += [*face.glasses(head, look), *hair.cap(head, look), *before, half]
    groups.append(Group(np.full(len(yaw), 0.6), tuple(front_of_head)))
    tail = hair.back(head, look)
    if tail:
        groups.append(Group(np.where(np.cos(head.turn[:, 0]) > 0, -4.0, 0.7), (*tail, half)))
    points, shown = body_points(joints, head)
    outline = head.local(np.stack([np.cos(_ROUND), np.sin(_ROUND)], -1)[None])
    return Posed(groups, HUMAN, points, SEEN_ON, shown, outline, HumanPoints(hands, head))
