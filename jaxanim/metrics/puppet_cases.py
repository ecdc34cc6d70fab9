"""Cases for an evaluation from the puppet world, where the truth is known."""

from pathlib import Path

from jaxanim.metrics.evaluate import Case
from jaxanim.puppets import make_character, motion_from_openpose, puppet_clip


def puppet_case(
    seed: int,
    *,
    frames: int,
    size: tuple[int, int],
    kind: str = "human",
    motion: Path | None = None,
    other: int | None = None,
) -> Case:
    """Puppet `seed` before a still camera, performing its own motion or a captured one.

    Args:
      frames: of the video; fewer if the captured motion is shorter.
      size: (height, width).
      motion: a folder of OpenPose JSON files, fitted to the character's proportions.
      other: seed of the identity whose reference serves as the wrong one.
    """
    captured = None
    if motion is not None:
        captured = motion_from_openpose(motion, make_character(seed, kind))
        frames = min(frames, captured.frames)
    clip = puppet_clip(seed, frames, size, kind, captured)
    wrong = None if other is None else puppet_clip(other, frames, size, kind).reference
    return Case(clip.reference, clip.densepose, clip.frames, clip.mask, wrong)
