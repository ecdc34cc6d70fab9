"""The Pose Alignment Transition Algorithm (PATA, Sec. 3): a motion brought to the character's place and size, and a
smooth way into it.

The paper says what it is for and not how it works. Here one scale and one shift bring the whole motion to the
source, so that steps and jumps stay, and between the source pose and the motion's first one every limb turns by the
shorter way, its length between the two that it has at the ends: no limb shrinks on its way.
"""

import numpy as np
from jaxtyping import Float

from jaxanim.cues.openpose import LIMBS, Keypoints
from jaxanim.errors import InputError

NECK = 1
TRUNK = (1, 2, 5, 8, 11)
"""Neck, shoulders and hips: what stays together in any pose."""
_WRISTS, _NOSE = (7, 4), 0  # left and right, in the order of the hands

Person = Float[np.ndarray, "frames 18 3"]


def pata(
    source: Keypoints, motion: Keypoints, transition: int, *, limb_lengths: bool = False, each: bool = False
) -> Keypoints:
    """P = {p_i}, i = 1 ... N with N = M + t: t intermediate poses and the M aligned poses of the motion.

    Args:
      source: p_s, one frame of one person; `motion`: M frames of one person.
      transition: t.
      limb_lengths: give the motion the source's own limb lengths.
      each: align every pose by itself, which takes a walk out of the motion, in place of all by one shift.

    Raises:
      InputError: `source` and `motion` have too few limbs in common.
    """
    aligned = align(source, motion, each=each)
    if limb_lengths:
        aligned = with_limb_lengths(source, aligned)
    steps = in_between(source, aligned, transition)
    return Keypoints(
        *(np.concatenate([getattr(part, name) for part in (steps, aligned)]) for name in ("body", "hands", "face"))
    )


def align(source: Keypoints, motion: Keypoints, *, each: bool = False) -> Keypoints:
    """`motion` scaled and shifted onto `source`: limbs of the same length, the trunk of the first pose at the
    source's (of every pose with `each`); InputError where fewer than two limbs are seen in both."""
    there, here = _lengths(source.body[:, 0]), _lengths(motion.body[:, 0])
    known = np.isfinite(there).any(0) & np.isfinite(here).any(0)
    if known.sum() < 2:
        raise InputError(
            f"motion and reference have {known.sum()} limbs of the body in common; at least 2 are needed to align "
            "them"
        )
    with np.errstate(divide="ignore"):
        scale = float(np.median(there[0, known] / np.maximum(_typical(here)[known], 1e-6)))
    goal, body = source.body[0, 0], motion.body[:, 0]
    shifts = []
    for k in range(len(body) if each else 1):
        seen = (goal[:, 2] > 0) & (body[k, :, 2] > 0)
        trunk = seen & np.isin(np.arange(18), TRUNK)
        chosen = trunk if trunk.any() else seen
        lost = shifts[-1] if shifts else _middle(goal, goal[:, 2] > 0) - scale * _first_middle(body)
        shifts.append(_middle(goal, chosen) - scale * _middle(body[k], chosen) if chosen.any() else lost)
    shift = np.stack(shifts)[:, None, None]
    return Keypoints(*(_moved(part, scale, shift) for part in (motion.body, motion.hands, motion.face)))


def with_limb_lengths(source: Keypoints, motion: Keypoints) -> Keypoints:
    """`motion` with limbs as long as the source's, each as much foreshortened as it was; hands and face move with
    the wrists and the nose. Limbs that the source does not show keep their length."""
    there, here = _lengths(source.body[:, 0])[0], _lengths(motion.body[:, 0])
    usual = _typical(here)
    with np.errstate(invalid="ignore", divide="ignore"):
        factor = np.where(np.isfinite(there) & (usual > 0), there / usual, 1.0)
    old = motion.body[:, 0]
    new = old.copy()
    for (a, b), grow in zip(LIMBS, np.nan_to_num(factor, nan=1.0), strict=True):
        seen = ((old[:, a, 2] > 0) & (old[:, b, 2] > 0))[:, None]
        new[:, b, :2] = np.where(seen, new[:, a, :2] + grow * (old[:, b, :2] - old[:, a, :2]), old[:, b, :2])
    return _attached(motion, new)


def in_between(source: Keypoints, motion: Keypoints, count: int) -> Keypoints:
    """`count` poses from the source's to the motion's first one, both left out.

    Every limb turns by the shorter way with no jerk at either end (smoothstep), while its length goes from the one
    to the other. A point that one of the two poses lacks is drawn in the half that lies nearer to the other one.
    """
    share = np.arange(1, count + 1) / (count + 1)
    ease = share * share * (3 - 2 * share)
    start, end = source.body[0, 0].astype(np.float64), motion.body[0, 0].astype(np.float64)
    body = np.zeros((count, 18, 3))
    body[:, NECK] = _between(start[NECK], end[NECK], ease)
    for a, b in LIMBS:
        old, new = start[b, :2] - start[a, :2], end[b, :2] - end[a, :2]
        if not (start[[a, b], 2] > 0).all():
            old = new
        if not (end[[a, b], 2] > 0).all():
            new = old
        turn = np.arctan2(old[0] * new[1] - old[1] * new[0], old @ new)
        angle = np.arctan2(old[1], old[0]) + ease * turn
        length = (1 - ease) * np.hypot(*old) + ease * np.hypot(*new)
        body[:, b, :2] = body[:, a, :2] + length[:, None] * np.stack([np.cos(angle), np.sin(angle)], -1)
        body[:, b, 2] = _between(start[b], end[b], ease)[:, 2]
    body = body.astype(np.float32)
    hands = [
        _carried(source.hands[0, s], motion.hands[0, s], start[w], end[w], body[:, w], ease)
        for s, w in enumerate(_WRISTS)
    ]
    face = _carried(source.face[0, 0], motion.face[0, 0], start[_NOSE], end[_NOSE], body[:, _NOSE], ease)
    return Keypoints(body[:, None], np.stack(hands, 1), face[:, None])


def _lengths(body: Person) -> Float[np.ndarray, "frames 17"]:
    """Of every limb in pixels; nan where an end is not seen."""
    a, b = body[:, [a for a, _ in LIMBS]], body[:, [b for _, b in LIMBS]]
    seen = (a[..., 2] > 0) & (b[..., 2] > 0)
    return np.where(seen, np.linalg.norm(a[..., :2] - b[..., :2], axis=-1), np.nan)


def _typical(lengths: Float[np.ndarray, "frames 17"]) -> Float[np.ndarray, " 17"]:
    """The median over the frames that show the limb; nan for one that none does."""
    seen = np.isfinite(lengths).any(0)
    return np.where(seen, np.nanmedian(np.where(seen, lengths, 0.0), axis=0), np.nan)


def _middle(pose: Float[np.ndarray, "18 3"], chosen: np.ndarray) -> Float[np.ndarray, "2"]:
    return pose[chosen, :2].mean(0)


def _first_middle(body: Person) -> Float[np.ndarray, "2"]:
    """The middle of the first pose that shows anything."""
    shown = body[(body[..., 2] > 0).any(-1).argmax()]
    return _middle(shown, shown[:, 2] > 0)


def _moved(points: np.ndarray, scale: float, shift: np.ndarray) -> np.ndarray:
    return np.concatenate([points[..., :2] * scale + shift, points[..., 2:]], -1).astype(np.float32)


def _attached(motion: Keypoints, body: Person) -> Keypoints:
    """`motion` with another body; hands and face are carried along."""
    moves = body[..., :2] - motion.body[:, 0, :, :2]
    hands, face = motion.hands.copy(), motion.face.copy()
    hands[..., :2] += moves[:, _WRISTS, None]
    face[:, 0, :, :2] += moves[:, _NOSE, None]
    return Keypoints(body[:, None].astype(np.float32), hands, face)


def _between(start: np.ndarray, end: np.ndarray, ease: np.ndarray) -> np.ndarray:
    """Points on the straight way; where one end is not seen, the other one, in the half that is nearer to it."""
    ease = ease.reshape(-1, *(1,) * start.ndim)
    has_start, has_end = start[..., 2:] > 0, end[..., 2:] > 0
    first, last = np.where(has_start, start, end), np.where(has_end, end, start)
    points = (1 - ease) * first + ease * last
    seen = np.where(has_start & has_end, True, np.where(ease < 0.5, has_start, has_end))
    points[..., 2:] *= seen
    return points


def _carried(old, new, start, end, root, ease) -> Float[np.ndarray, "count points 3"]:
    """A hand or face whose shape goes from the one to the other about a point of the body that moves."""
    zero = np.zeros(3)
    shape = _between(old - [*start[:2], 0], new - [*end[:2], 0], ease)
    there = root[:, None, :2] if root[:, 2].any() else np.zeros((len(ease), 1, 2)) + zero[:2]
    shown = (shape[..., 2] > 0) & (root[:, 2:] > 0)
    return np.concatenate([shape[..., :2] + there, (shape[..., 2] * shown)[..., None]], -1).astype(np.float32)
