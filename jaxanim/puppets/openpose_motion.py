"""Captured motion for puppets: OpenPose keypoints fitted to a human puppet's own proportions.

Bone directions come from the capture and bone lengths from the character. A bone drawn shorter than its
longest is taken to point into the picture, so foreshortening is kept. Fingers and face, which a body capture
lacks, move on their own.
"""

import os
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import gaussian_filter1d

from jaxanim.cues import openpose
from jaxanim.errors import InputError
from jaxanim.puppets.animal_parts import Animal
from jaxanim.puppets.identity import Human
from jaxanim.puppets.motion import Motion, blinks, drift, glances
from jaxanim.puppets.seeds import stream
from jaxanim.puppets.skeleton import unit

Points = Float[np.ndarray, "frames 18 2"]

# Point pairs of each limb bone, and where its hidden depth points: knees bend so that shins go back, the rest
# come forward.
_LIMB_BONES = {
    "upper_arm": ((2, 3), (5, 6), 1.0), "forearm": ((3, 4), (6, 7), 1.0),
    "thigh": ((8, 9), (11, 12), 1.0), "shin": ((9, 10), (12, 13), -1.0),
}  # fmt: skip
# Usual lengths over the torso's (neck to the middle of the hips): a floor for bones that the capture never
# shows in full.
_USUAL = {"upper_arm": 0.5, "forearm": 0.44, "thigh": 0.72, "shin": 0.7, "shoulders": 0.6, "hips": 0.32}
_NECK, _HIPS, _FACE = 1, (8, 11), (0, 14, 15, 16, 17)


def motion_from_openpose(folder: str | os.PathLike, character: Human | Animal, fps: float = 25.0) -> Motion:
    """A motion, one frame per OpenPose JSON file, that `character` (and its like) can perform.

    Points that a frame lacks are interpolated in time and smoothed; of several people the main one is taken
    (`jaxanim.media.main_person`).

    Raises:
        InputError: no such folder, no OpenPose files in it, no person in them, or neither shoulders nor hips
        in any.
    """
    if not isinstance(character, Human):
        raise InputError(f"motion {folder} is a human one; the character is a {character.kind}")
    return fit(openpose.read(folder).body[:, 0], Path(folder).name, character, fps)


def fit(body: Float[np.ndarray, "frames 18 3"], name: str, character: Human, fps: float) -> Motion:
    """Body keypoints in pixels as a motion."""
    seen = body[..., 2] > 0
    if not seen[:, [2, 5]].all(1).any() and not seen[:, [8, 11]].all(1).any():
        raise InputError(f"motion {name} has neither both shoulders nor both hips in any frame")
    p = _completed(body[..., :2].astype(np.float64), seen) * np.array([1.0, -1.0])
    neck, middle = p[:, _NECK], p[:, list(_HIPS)].mean(1)
    torso = max(_long(neck - middle), 1e-3)
    side = _side(p, torso)
    bones = {"spine": _bone(neck - middle, torso, 0.0)}
    for key, (right, left) in {"shoulders": (2, 5), "hips": (8, 11)}.items():
        across = p[:, left] - p[:, right]
        bones[key] = _bone(across, max(_long(across), 0.8 * _USUAL[key] * torso) * 0.96, -side)
    for key, (right, left, depth) in _LIMB_BONES.items():
        ends = {"r": p[:, right[1]] - p[:, right[0]], "l": p[:, left[1]] - p[:, left[0]]}
        length = max(*(_long(end) for end in ends.values()), 0.8 * _USUAL[key] * torso)
        bones |= {f"{key}_{s}": _bone(end, length, depth) for s, end in ends.items()}
    turn = _head_turn(p)
    head = (p[:, 16] + p[:, 17]) / 2 - neck
    bones["head"] = np.pad(unit(head), ((0, 0), (0, 1)))
    front = np.stack([-bones["hips"][:, 2], 0 * side, bones["hips"][:, 0]], -1)
    for s, sign in (("r", -1.0), ("l", 1.0)):
        bones[f"hand_{s}"] = bones[f"forearm_{s}"]
        foot = front + sign * 0.35 * bones["hips"] + 0.3 * (bones[f"shin_{s}"] + np.array([0, 1.0, 0]))
        bones[f"foot_{s}"] = unit(foot)
    channels = {f"bone_{key}": value for key, value in bones.items()}
    channels["root"] = _root(p, middle, character)
    channels["head_turn"] = turn
    channels |= _face_and_fingers(name, len(p), fps)
    return Motion("human", name, fps, channels)


def _completed(xy: Points, seen: Bool[np.ndarray, "frames 18"]) -> Points:
    """Interpolates missing points over time; points never seen are put where a standing body has them."""
    out, time = xy.copy(), np.arange(len(xy))
    for k in range(18):
        known = seen[:, k]
        if known.any() and not known.all():
            for axis in range(2):
                out[:, k, axis] = np.interp(time, time[known], xy[known, k, axis])
            smooth = gaussian_filter1d(out[:, k], 1.5, axis=0, mode="nearest")
            weight = gaussian_filter1d((~known).astype(float), 1.0, mode="nearest")[:, None]
            out[:, k] += np.minimum(1.0, 2 * weight) * (smooth - out[:, k])
    absent = ~seen.any(0)
    if absent.any():
        _complete_from_template(out, absent)
    return out


# A standing body of torso length 1 with the neck at (0, 0), y down: where a point lies that no frame shows.
_TEMPLATE = np.array(
    [
        (0, -0.45),
        (0, 0),
        (-0.3, 0),
        (-0.38, 0.48),
        (-0.42, 0.9),
        (0.3, 0),
        (0.38, 0.48),
        (0.42, 0.9),
        (-0.16, 1),
        (-0.17, 1.72),
        (-0.17, 2.4),
        (0.16, 1),
        (0.17, 1.72),
        (0.17, 2.4),
        (-0.08, -0.52),
        (0.08, -0.52),
        (-0.17, -0.47),
        (0.17, -0.47),
    ]
)
_PARENT = {
    0: 1,
    2: 1,
    3: 2,
    4: 3,
    5: 1,
    6: 5,
    7: 6,
    8: 1,
    9: 8,
    10: 9,
    11: 1,
    12: 11,
    13: 12,
    14: 0,
    15: 0,
    16: 0,
    17: 0,
}


def _complete_from_template(xy: Points, absent: Bool[np.ndarray, "18"]) -> None:
    if absent[1]:
        xy[:, 1] = xy[:, [2, 5]].mean(1) if not absent[[2, 5]].any() else xy[:, [8, 11]].mean(1)
    known = [(a, b) for b, a in _PARENT.items() if not absent[a] and not absent[b]]
    ratios = [_long(xy[:, b] - xy[:, a]) / np.linalg.norm(_TEMPLATE[b] - _TEMPLATE[a]) for a, b in known]
    unit_length = float(np.median(ratios)) if ratios else 100.0
    for k in sorted(_PARENT):
        if absent[k]:
            xy[:, k] = xy[:, _PARENT[k]] + unit_length * (_TEMPLATE[k] - _TEMPLATE[_PARENT[k]])


def _long(delta: Float[np.ndarray, "frames 2"]) -> float:
    """A bone's true length in pixels: nearly the longest that it is ever seen."""
    return float(np.percentile(np.linalg.norm(delta, axis=-1), 95))


def _bone(
    delta: Float[np.ndarray, "frames 2"], length: float, depth: float | np.ndarray
) -> Float[np.ndarray, "frames 3"]:
    """A unit vector whose x and y are `delta` over `length`; the rest is depth, to the viewer where `depth` >
    0."""
    flat = delta / length
    size = np.linalg.norm(flat, axis=-1, keepdims=True)
    flat = flat / np.maximum(size, 1.0)
    hidden = gaussian_filter1d(np.sqrt(np.clip(1 - (flat**2).sum(-1), 0, 1)), 1.5, mode="nearest")
    sign = np.broadcast_to(np.asarray(depth, np.float64), hidden.shape)
    if not sign.any():  # no hidden depth: a spine stays as long as it is drawn
        return np.pad(flat / np.maximum(np.linalg.norm(flat, axis=-1, keepdims=True), 0.6), ((0, 0), (0, 1)))
    return np.concatenate([flat, (sign * hidden)[:, None]], -1)


def _side(p: Points, torso: float) -> Float[np.ndarray, "frames"]:
    """Which way the body turns, -1 (viewer's left) to 1: the way the nose points."""
    nose = p[:, 0, 0] - 0.5 * (p[:, 16, 0] + p[:, 17, 0]) + 0.3 * (p[:, 0, 0] - p[:, _NECK, 0])
    facing_away = (p[:, 5, 0] < p[:, 2, 0]).astype(float)
    side = np.tanh(gaussian_filter1d(nose, 3.0, mode="nearest") / (0.05 * torso))
    return np.where(facing_away > 0, np.where(side >= 0, 1.0, -1.0), side)


def _head_turn(p: Points) -> Float[np.ndarray, "frames 3"]:
    """Yaw, pitch and roll (radians) of the head from nose and ears."""
    right, left = p[:, 16], p[:, 17]
    middle, across = (right + left) / 2, left - right
    width = max(_long(across), 1e-3)
    nose = p[:, 0] - middle
    yaw = np.arctan2(
        2 * nose[:, 0] / width, np.maximum(np.abs(across[:, 0]) / width, 0.15) * np.sign(across[:, 0] + 1e-9)
    )
    yaw = gaussian_filter1d(np.unwrap(yaw), 1.0, mode="nearest")
    pitch = np.clip((nose[:, 1] - np.median(nose[:, 1])) / width, -0.4, 0.4)
    level = np.arctan2(across[:, 1], np.abs(across[:, 0])) * np.sign(across[:, 0] + 1e-9)
    roll = np.clip(level, -0.7, 0.7) * np.clip(np.abs(across[:, 0]) / width, 0, 1)
    return np.stack([yaw, pitch, roll], -1)


def _root(p: Points, middle: Float[np.ndarray, "frames 2"], character: Human) -> Float[np.ndarray, "frames 2"]:
    """Sideways movement about the middle of the frame and height above the ground, in body heights."""
    legs = character.body.thigh + character.body.shin
    captured = max(_long(p[:, 9] - p[:, 8]) + _long(p[:, 10] - p[:, 9]), 1e-3)
    across = middle[:, 0] - 0.5 * (middle[:, 0].min() + middle[:, 0].max())
    lowest = p[:, [10, 13], 1].min(1)
    lift = np.maximum(lowest - np.percentile(lowest, 25), 0)
    root = np.stack([across, lift], -1) * legs / captured
    return root * np.minimum(1.0, np.array([0.2, 0.16]) / np.maximum(np.abs(root).max(0), 1e-9))


def _face_and_fingers(name: str, frames: int, fps: float) -> dict[str, np.ndarray]:
    rng, t = stream(0, "captured", name), np.arange(frames) / fps
    gaze, quiet = glances(rng, t), 0 * t
    face = [
        blinks(rng, t),
        gaze[:, 0],
        gaze[:, 1],
        quiet,
        0.4 + 0.3 * drift(rng, t, 0.3),
        0.3 * drift(rng, t, 0.4),
    ]
    fingers = [[np.clip(0.2 + 0.12 * drift(rng, t, 0.6), 0, 1) for _ in range(5)] for _ in range(2)]
    return {"face": np.stack(face, -1), "fingers": np.stack(fingers).transpose(2, 0, 1)}
