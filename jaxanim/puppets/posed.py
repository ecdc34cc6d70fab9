"""What every kind of character gives the renderer once it is posed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from jaxanim.cues.skeleton import Skeleton
from jaxanim.puppets.face import Head
from jaxanim.puppets.shapes import Group


@dataclass(frozen=True)
class HumanPoints:
    """What a human has beyond its skeleton graph: hands of 21 points in world units, and a head."""

    hands: dict[str, Float[np.ndarray, "frames 21 2"]]
    head: Head


@dataclass(frozen=True)
class Posed:
    """A character in all frames of a motion, in world units.

    seen_on: for each point of the graph, the part ids that show where the point is in sight.
    shown: which points exist in a frame at all (the far side of a human head has none).
    head: an outline around the head, for the face box.
    """

    groups: list[Group]
    skeleton: Skeleton
    points: Float[np.ndarray, "frames points 2"]
    seen_on: Sequence[Sequence[int]]
    shown: Bool[np.ndarray, "frames points"]
    head: Float[np.ndarray, "frames outline 2"]
    human: HumanPoints | None = None
