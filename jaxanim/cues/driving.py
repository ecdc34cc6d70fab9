"""What drives a system: all that a user can give (`Driving`), what a system takes of it (`Needs`), and the cues:
how keypoints are drawn as each, and what a picture of each looks like."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, UInt8

from jaxanim.cues import densepose, openpose, skeleton_drawing
from jaxanim.cues.densepose_from_pose import densepose_from_pose, place
from jaxanim.cues.openpose import Keypoints
from jaxanim.cues.skeleton import Graph
from jaxanim.errors import InputError
from jaxanim.media.keypoints import BODY, Fields

Frames = UInt8[np.ndarray, "frames height width 3"]
Masks = UInt8[np.ndarray, "frames height width"]

# Compression moves colours by some levels; a body is what differs by more.
TOLERANCE = 48
_STRIDE = 2  # every other pixel is enough to tell what a picture shows


@dataclass(frozen=True)
class Labels:
    """What is known of some frames, all of one size; what is not is None, and not in `pictures`.

    Attributes:
      pictures: by name: "densepose", "openpose", "video" (the frames themselves), or what a system's own cue is
        called.
      keypoints: OpenPose's, in these frames' pixels.
      graph: the skeleton of anything, in these frames' pixels.
      masks: 255 where the subject is.
      face_boxes: x0, y0, x1, y1 in pixels.
    """

    pictures: Mapping[str, Frames] = field(default_factory=dict)
    keypoints: Keypoints | None = None
    graph: Graph | None = None
    masks: Masks | None = None
    face_boxes: Float[np.ndarray, "frames 4"] | None = None

    @property
    def frames(self) -> int:
        """How many frames are known."""
        for pictures in (*self.pictures.values(), self.masks, self.face_boxes):
            if pictures is not None:
                return len(pictures)
        points = (self.keypoints and self.keypoints.body, self.graph and self.graph.points)
        return next((len(known) for known in points if known is not None), 0)


@dataclass(frozen=True)
class Driving(Labels):
    """All that a user can give beside the reference image.

    Attributes:
      still: the same of the reference image, each of one frame.
      prompt: what the video shows; `negative`: what to lead away from; `subject`: the words for who moves.
      camera: how the camera moves, in a system's words, or its path: x and y offset and zoom of each frame.
      fps: frames a second of the motion, where it is known.
    """

    still: Labels = field(default_factory=Labels)
    prompt: str | None = None
    negative: str | None = None
    subject: str | None = None
    camera: str | Float[np.ndarray, "frames 3"] | None = None
    fps: float | None = None


# What a user may say: the name in `Needs` and of the program's argument, and help for it.
SAID = {
    "prompt": "what the video shows",
    "negative": "what to lead away from",
    "subject": "the words of the prompt for who moves",
    "camera": "how the camera moves",
    "reference_mask": "picture that is white where the reference's subject is",
}


@dataclass(frozen=True)
class Cue:
    """One form of motion.

    Attributes:
      key: its name in `Labels.pictures`, or the field of `Labels` that it is: "keypoints" or "graph".
      name: in a sentence to the user.
      form: what such a video or file holds, to finish the sentence "it should show ...".
      show: (labels, size) to pictures of it.
      look: how it is drawn and told, of pictures that show nothing but the cue.
    """

    key: str
    name: str
    form: str
    show: Callable[[Labels, tuple[int, int]], Frames]
    look: "Look | None" = None

    def known(self, labels: Labels) -> bool:
        """Whether the labels have it."""
        return self.key in labels.pictures or getattr(labels, self.key, None) is not None


@dataclass(frozen=True)
class Look:
    """What pictures of a cue look like.

    Attributes:
      background: its colour.
      smallest: share of a frame's area that a person fills at least.
      draw: (one person's keypoints by field name, the (height, width) that they belong to or None, size) to
        pictures; see `jaxanim.cues.densepose_from_pose.place`.
      looks_right: whether pictures may be such ones.
    """

    background: tuple[int, int, int]
    smallest: float
    draw: Callable[[Fields, tuple[int, int] | None, tuple[int, int]], Frames]
    looks_right: Callable[[Frames], bool]


@dataclass(frozen=True)
class Needs:
    """What a system takes of a `Driving`; programs and puppets look at this alone.

    Attributes:
      cues: what drives it, all of them.
      still: what has to be known of the reference image too.
      required: what its user has to say, names of SAID.
      optional: what its user may say.
      first_frame: the reference is the video's first frame, so that the motion begins as the reference stands.
    """

    cues: tuple[Cue, ...]
    still: tuple[Cue, ...] = ()
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    first_frame: bool = False

    def __post_init__(self):
        if unknown := [name for name in (*self.required, *self.optional) if name not in SAID]:
            raise InputError(f"needs names {', '.join(unknown)}: what can be said is {', '.join(SAID)}")

    def lacking(self, driving: Driving) -> tuple[str, ...]:
        """What the system cannot do without and `driving` has not, in a sentence's words."""
        cues = [cue.name for cue in self.cues if not cue.known(driving)]
        still = [f"{cue.name} of the reference" for cue in self.still if not cue.known(driving.still)]
        said = [name for name in self.required if said_of(driving, name) is None]
        return (*cues, *still, *said)

    def check(self, driving: Driving, system: str) -> None:
        """Raises InputError where something is lacking."""
        if lacking := self.lacking(driving):
            raise InputError(f"driving has no {' and no '.join(lacking)}, which {system} needs")

    def show(self, driving: Driving, size: tuple[int, int]) -> Frames:
        """Pictures of what drives the system, its first cue."""
        return self.cues[0].show(driving, size)


def said_of(driving: Driving, name: str) -> object:
    """What `driving` has under a name of SAID, or None."""
    return driving.still.masks if name == "reference_mask" else getattr(driving, name)


def place_keypoints(fields: Fields, canvas: tuple[int, int] | None, size: tuple[int, int]) -> Keypoints:
    """One person's keypoints in the pixels of a picture of `size`; arguments as of `Look.draw`."""
    points = openpose.keypoints_of(fields)
    # Hands and faces stay on their bodies.
    moved = place(points.body, canvas, size, also=openpose.pack(points)[:, None])
    return openpose.unpack(moved[:, 0])


def _draw_densepose(fields: Fields, canvas: tuple[int, int] | None, size: tuple[int, int]) -> Frames:
    return densepose_from_pose(place(fields[BODY], canvas, size), size)


def _draw_openpose(fields: Fields, canvas: tuple[int, int] | None, size: tuple[int, int]) -> Frames:
    return openpose.draw(place_keypoints(fields, canvas, size), size)


def _looks_like_densepose(frames: Frames) -> bool:
    """Whether most pixels have nearly one of the 25 colours of a part map."""
    palette, pixels = densepose.PALETTE.astype(np.int16), _some(frames)
    near = 0
    for start in range(0, len(pixels), 1 << 13):  # each against all colours takes room
        distance = np.abs(pixels[start : start + (1 << 13)] - palette).max(-1).min(-1)
        # A dark grey is within TOLERANCE of a dark violet.
        near += int((distance <= 2 / 3 * TOLERANCE).sum())
    return near / len(pixels) > 0.6


def _looks_like_openpose(frames: Frames) -> bool:
    """Whether most pixels are black and most of the rest are of full hues, dimmed or not, or white."""
    pixels = _some(frames)[:, 0]
    drawn = pixels[pixels.max(-1) > TOLERANCE]
    if len(drawn) > 0.5 * len(pixels):
        return False
    hue = drawn.min(-1) <= 0.5 * drawn.max(-1)
    grey = drawn.max(-1) - drawn.min(-1) <= TOLERANCE
    return len(drawn) == 0 or float((hue | grey).mean()) > 0.8


def _some(frames: Frames) -> np.ndarray:
    chosen = frames[:: max(1, len(frames) // 8), ::_STRIDE, ::_STRIDE]
    return chosen.reshape(-1, 1, 3).astype(np.int16)


def _picture(key: str) -> Callable[[Labels, tuple[int, int]], Frames]:
    return lambda labels, size: labels.pictures[key]


DENSEPOSE = Cue(
    "densepose",
    "DensePose",
    f"body parts in the viridis colours on the purple background {densepose.BACKGROUND}",
    _picture("densepose"),
    Look(densepose.BACKGROUND, 5e-4, _draw_densepose, _looks_like_densepose),
)
OPENPOSE = Cue(
    "openpose",
    "OpenPose",
    "skeletons in OpenPose's colours on a black background",
    _picture("openpose"),
    Look((0, 0, 0), 1e-4, _draw_openpose, _looks_like_openpose),
)
VIDEO = Cue("video", "video", "somebody who moves", _picture("video"))
KEYPOINTS = Cue(
    "keypoints", "keypoints", "OpenPose's JSON files", lambda labels, size: openpose.draw(labels.keypoints, size)
)
GRAPH = Cue(
    "graph",
    "skeleton graph",
    "points, edges and where the points are in every frame",
    lambda labels, size: skeleton_drawing.draw(labels.graph.points, labels.graph.skeleton.edges, size),
)
