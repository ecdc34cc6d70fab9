"""Cases for an evaluation from the puppet world, where the truth is known."""

import dataclasses
from pathlib import Path

import numpy as np

from jaxanim.cues import openpose
from jaxanim.errors import InputError
from jaxanim.metrics.evaluate import Case
from jaxanim.puppets import Character, Clip, make_character, motion_from_openpose, puppet_clip
from jaxanim.puppets.identity import Human
from jaxanim.puppets.seeds import stream

# Proportions beyond all that `make_human` draws, as factors of the character's own.
SHAPES = {
    "stout": {"shoulders": 1.2, "hips": 1.35, "arm_radius": 1.45, "leg_radius": 1.4, "depth": 1.15},
    "lanky": {"arm_radius": 0.72, "leg_radius": 0.7, "shoulders": 0.86, "upper_arm": 1.12, "forearm": 1.12},
    "big head": {"head": 1.22, "head_width": 1.22, "shoulders": 0.92},
    "small head": {"head": 0.8, "head_width": 0.8, "shoulders": 1.06},
}


def puppet_case(
    seed: int,
    *,
    frames: int,
    size: tuple[int, int],
    kind: str = "human",
    cue: str = "densepose",
    shape: str | None = None,
    motion: Path | None = None,
    other: int | None = None,
) -> Case:
    """Puppet `seed` before a still camera, performing its own motion or a captured one.

    Args:
      frames: of the video; fewer if the captured motion is shorter.
      size: (height, width).
      cue: what drives the system, a name of `jaxanim.cues.driving.CUES`.
      shape: a name of SHAPES gives the character a body such as no training has seen; "unusual" one of them,
        chosen by the seed.
      motion: a folder of OpenPose JSON files, fitted to the character's proportions.
      other: seed of the identity whose reference serves as the wrong one.
    """
    character = reshaped(make_character(seed, kind), shape)
    captured = None
    if motion is not None:
        captured = motion_from_openpose(motion, character)
        frames = min(frames, captured.frames)
    clip = puppet_clip(seed, frames, size, kind, captured, character=character)
    wrong = None if other is None else puppet_clip(other, frames, size, kind).reference
    faces = clip.keypoints.face[:, 0], clip.reference_clip.keypoints.face[0, 0]
    return Case(clip.reference, driving(clip, cue), clip.frames, clip.mask, wrong, *faces)


def driving(clip: Clip, cue: str) -> np.ndarray:
    """The clip's own motion, drawn as a cue: uint8 [frames, height, width, 3]."""
    if cue == "densepose":
        return clip.densepose
    if not (clip.keypoints.body[..., 2] > 0).any():
        raise InputError(f"cue is {cue!r}: the character has no human keypoints to draw")
    return openpose.draw(clip.keypoints, clip.frames.shape[1:3])


def reshaped(character: Character, shape: str | None) -> Character:
    """The character with a body of that shape; InputError for an unknown shape or a character that is no human."""
    if shape is None:
        return character
    if shape == "unusual" and isinstance(character, Human):
        shape = list(SHAPES)[stream(character.seed, "shape").integers(len(SHAPES))]
    if shape not in SHAPES or not isinstance(character, Human):
        raise InputError(f"shape is {shape!r} for a {character.kind}: humans have unusual, {', '.join(SHAPES)}")
    body = character.body
    factors = SHAPES[shape]
    return dataclasses.replace(
        character,
        body=dataclasses.replace(body, **{name: getattr(body, name) * factor for name, factor in factors.items()}),
    )
