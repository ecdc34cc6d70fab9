"""From a character and a motion to a labelled clip, and the one-call form that data pipelines use."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from jaxanim.cues import densepose
from jaxanim.cues.openpose import Keypoints
from jaxanim.errors import InputError
from jaxanim.puppets.background import scene_name
from jaxanim.puppets.camera import backgrounds, camera_path, view_of
from jaxanim.puppets.clip import Clip
from jaxanim.puppets.keypoints import hands_and_face, keypoints_of, labelled
from jaxanim.puppets.kinds import Character, kind_of
from jaxanim.puppets.motion import Motion
from jaxanim.puppets.paint import View, paint
from jaxanim.puppets.posed import Posed
from jaxanim.puppets.prompts import prompt_for
from jaxanim.puppets.seeds import stream


def make_character(seed: int, kind: str = "human") -> Character:
    """The character of a kind that a seed stands for.

    Raises:
        InputError: an unknown kind or a negative seed.
    """
    return kind_of(kind).make(seed)


def make_motion(
    seed_or_name: int | str, frames: int, kind: str = "human", fps: float = 25.0, *, seed: int = 0
) -> Motion:
    """A motion of a kind: of the style that a seed chooses, or of a named style varied by `seed`.

    A shorter motion of the same seed is a prefix of a longer one.

    Raises:
        InputError: an unknown kind or style, or fewer than 1 frame.
    """
    chosen = kind_of(kind)
    if frames < 1:
        raise InputError(f"frames is {frames}; it must be 1 or more")
    name = seed_or_name if isinstance(seed_or_name, str) else None
    if name is not None and name not in chosen.styles:
        raise InputError(f"motion is {name!r}; for a {kind} it must be one of {', '.join(chosen.styles)}")
    return chosen.move(seed if name else int(seed_or_name), name, frames, fps)


def render(
    character: Character,
    motion: Motion,
    size: tuple[int, int] = (128, 128),
    camera: str | Sequence[Sequence[float]] | np.ndarray | None = None,
    background: int = 0,
    frame_indices: Sequence[int] | np.ndarray | None = None,
    labels: bool = True,
) -> Clip:
    """Draws a character performing a motion before a background.

    size: (height, width). camera: see `camera_path`. background: its seed. frame_indices: draw only these
    frames of the motion, in this order. labels: without them densepose, hands and face are zeros.

    Raises:
        InputError: a motion of another kind, a size below 16, or an index outside the motion.
    """
    if motion.kind != character.kind:
        raise InputError(f"motion is one of a {motion.kind}; the character is a {character.kind}")
    if min(size) < 16:
        raise InputError(f"size is {size[1]}x{size[0]}; both sides must be 16 or more")
    path = camera_path(camera, motion.frames, background, motion.fps)
    if frame_indices is not None:
        indices = np.asarray(frame_indices, int)
        if indices.size == 0 or indices.min() < 0 or indices.max() >= motion.frames:
            raise InputError(f"frame_indices is {indices.tolist()}; each must lie in 0..{motion.frames - 1}")
        motion, path = motion.take(indices), path[indices]
    view = view_of(size, path)
    kind, scene = kind_of(character.kind), scene_name(background, character.kind)
    posed = kind.build(character, motion)
    frames, parts = paint(posed.groups, view, backgrounds(background, scene, view))
    points = labelled(posed.points, view, parts, posed.seen_on, posed.shown)
    keypoints = keypoints_of(points if posed.human else None, len(frames))
    if labels and posed.human:
        hands, face = hands_and_face(posed.human.hands, posed.human.head, character.look, view, parts)
        keypoints = Keypoints(keypoints.body, hands, face)
    return Clip(
        frames=frames,
        parts=parts,
        mask=np.where(parts > 0, np.uint8(255), np.uint8(0)),
        densepose=densepose.colored(parts) if labels else np.zeros_like(frames),
        keypoints=keypoints,
        skeleton=posed.skeleton,
        points=points,
        face_box=_face_box(posed, view),
        camera=path,
        prompt=prompt_for(kind.describe(character), motion.name, scene),
        fps=motion.fps,
    )


def _face_box(posed: Posed, view: View) -> Float[np.ndarray, "frames 4"]:
    """The box around the bare head, clipped to the frame."""
    outline = view.project(posed.head)
    height, width = view.size
    box = np.concatenate([outline.min(1), outline.max(1)], -1)
    return np.clip(box, 0, np.array([width - 1, height - 1] * 2)).astype(np.float32)


def puppet_clip(
    seed: int,
    frames: int,
    size: tuple[int, int] = (128, 128),
    kind: str = "human",
    motion: Motion | str | None = None,
    reference: bool = True,
    frame_indices: Sequence[int] | np.ndarray | None = None,
    camera: str | None = None,
    labels: bool = True,
    character: Character | None = None,
) -> Clip:
    """Everything about one seed: its character performs its motion (or the one given) in its place.

    character: performs in the place of the seed's own. frames: length of the motion; with frame_indices only those
    moments of it are drawn. The reference (see `Clip.reference`) is another moment, at least a quarter of a second
    from the first frame drawn, chosen among a few so that the face is turned to the viewer rather than away, and
    not itself drawn if possible.

    Raises:
        InputError: as `make_character`, `make_motion` and `render`.
    """
    if character is None:
        character = make_character(seed, kind)
    # A second more than is drawn, so that the reference can be a moment that is not: a longer motion begins alike.
    length = max(frames, 50) + 25
    if motion is None:
        whole = make_motion(seed, length, kind)
    elif isinstance(motion, str):
        whole = make_motion(motion, length, kind, seed=seed)
    else:
        whole = motion
    if whole.frames < frames:
        raise InputError(f"frames is {frames}; the motion has {whole.frames}")
    indices = np.arange(frames) if frame_indices is None else np.asarray(frame_indices, int)
    if indices.size == 0 or indices.min() < 0 or indices.max() >= frames:
        raise InputError(f"frame_indices is {indices.tolist()}; each must lie in 0..{frames - 1}")
    if not reference:
        return render(character, whole, size, camera, seed, indices, labels)
    other = _reference_moment(seed, whole, indices)
    drawn = render(character, whole, size, camera, seed, np.append(indices, other), labels)
    return replace(_slice(drawn, slice(0, -1)), reference_clip=_slice(drawn, slice(-1, None)))


def _reference_moment(seed: int, motion: Motion, drawn: np.ndarray) -> int:
    """A moment away from the first one drawn and, where the motion has such, not drawn at all."""
    rng = stream(seed, "reference")
    moments = np.arange(motion.frames)
    first = int(drawn[0])
    gap = min(motion.frames - 1, max(1, round(motion.fps / 4)))
    allowed = moments[np.abs(moments - first) >= min(gap, max(first, motion.frames - 1 - first))]
    allowed = allowed[~np.isin(allowed, drawn)] if np.any(~np.isin(allowed, drawn)) else allowed
    some = rng.choice(allowed, size=min(4, len(allowed)), replace=False)
    if "head_turn" not in motion.channels:
        return int(some[0])
    return int(some[np.argmax(np.cos(motion["head_turn"][some, 0]))])


def _slice(clip: Clip, part: slice) -> Clip:
    names = ("frames", "parts", "mask", "densepose", "points", "face_box", "camera")
    points = clip.keypoints
    return replace(
        clip,
        keypoints=Keypoints(points.body[part], points.hands[part], points.face[part]),
        **{name: getattr(clip, name)[part] for name in names},
    )
