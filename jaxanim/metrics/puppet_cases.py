"""Cases for an evaluation from the puppet world, where the truth is known."""

import dataclasses
from pathlib import Path

from jaxanim.cues.driving import DENSEPOSE, Needs
from jaxanim.cues.openpose import Keypoints
from jaxanim.errors import InputError
from jaxanim.metrics.evaluate import Case
from jaxanim.puppets import KINDS, Character, Clip, make_character, motion_from_openpose, puppet_clip
from jaxanim.puppets.driving import driving_of, labels_of
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
    needs: Needs = Needs(cues=(DENSEPOSE,)),
    shape: str | None = None,
    motion: Path | str | None = None,
    driver: int | None = None,
    other: int | None = None,
) -> Case:
    """Puppet `seed` before a still camera, performing its own motion or a captured one.

    Args:
      frames: of the video; fewer if the captured motion is shorter.
      size: (height, width).
      kind: of character; "any" takes KINDS in turn, by the seed.
      needs: of the system that is to be driven.
      shape: a name of SHAPES gives the character a body such as no training has seen; "unusual" one of them,
        chosen by the seed.
      motion: a folder of OpenPose JSON files, fitted to the character's proportions, or the name of a style.
      driver: seed of another identity that performs the same motion in the driving video.
      other: seed of the identity whose reference serves as the wrong one.
    """
    if kind == "any":
        kind = KINDS[seed % len(KINDS)]
    character = reshaped(make_character(seed, kind), shape)
    captured = None
    if isinstance(motion, str):
        captured = motion
    elif motion is not None:
        captured = motion_from_openpose(motion, character)
        frames = min(frames, captured.frames)
    clip = puppet_clip(seed, frames, size, kind, captured, character=character)
    if needs.first_frame:
        clip = starting_at_its_reference(clip)
    driving, acted = driving_of(clip), None
    if driver is not None:
        actor = make_character(driver, kind)
        acted = puppet_clip(seed, frames, size, kind, captured, reference=False, character=actor)
        driving = dataclasses.replace(driving, **vars(labels_of(acted)))
    if lacking := needs.lacking(driving):
        known = "" if driving.keypoints else ", for it has no human keypoints to draw"
        raise InputError(f"a {kind} cannot drive what needs {' and '.join(lacking)}{known}")
    wrong = None if other is None else puppet_clip(other, frames, size, kind)
    if wrong and needs.first_frame:
        wrong = starting_at_its_reference(wrong)
    return Case(
        clip.reference,
        driving,
        needs.show(driving, size),
        clip.frames,
        clip.mask,
        driver=acted and acted.frames,
        wrong_reference=wrong and wrong.reference,
        wrong_driving=wrong and dataclasses.replace(driving, still=labels_of(wrong.reference_clip)),
        face=clip.keypoints.face[:, 0],
        body=clip.keypoints.body[:, 0] if (clip.keypoints.body[..., 2] > 0).any() else None,
        reference_face=clip.reference_clip.keypoints.face[0, 0],
    )


def starting_at_its_reference(clip: Clip) -> Clip:
    """The clip with its own first frame, and what is known of that, for its reference."""
    keypoints = Keypoints(*(points[:1] for points in vars(clip.keypoints).values()))
    arrays = ("frames", "parts", "mask", "densepose", "points", "face_box", "camera")
    first = {name: getattr(clip, name)[:1] for name in arrays}
    return dataclasses.replace(
        clip, reference_clip=dataclasses.replace(clip, keypoints=keypoints, reference_clip=None, **first)
    )


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
