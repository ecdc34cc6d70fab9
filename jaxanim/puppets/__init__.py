"""The puppet world: articulated characters drawn from a seed, with exact ground truth for every frame."""

from jaxanim.cues.openpose import Keypoints
from jaxanim.cues.skeleton import Skeleton
from jaxanim.puppets.clip import Clip
from jaxanim.puppets.kinds import KINDS, Character
from jaxanim.puppets.motion import Motion
from jaxanim.puppets.openpose_motion import motion_from_openpose
from jaxanim.puppets.prompts import vocabulary
from jaxanim.puppets.render import make_character, make_motion, puppet_clip, render
from jaxanim.puppets.seeds import TEST_SEEDS, TRAIN_SEEDS, VALIDATION_SEEDS, split_of

__all__ = [
    "KINDS",
    "TEST_SEEDS",
    "TRAIN_SEEDS",
    "VALIDATION_SEEDS",
    "Character",
    "Clip",
    "Keypoints",
    "Motion",
    "Skeleton",
    "make_character",
    "make_motion",
    "motion_from_openpose",
    "puppet_clip",
    "render",
    "split_of",
    "vocabulary",
]
