"""A clip as that which drives a system: everything that a user could give, exact."""

from jaxanim.cues import openpose
from jaxanim.cues.driving import Driving, Labels
from jaxanim.cues.skeleton import Graph
from jaxanim.puppets.clip import Clip
from jaxanim.puppets.prompts import subject_of


def labels_of(clip: Clip) -> Labels:
    """All that is known of a clip's frames; without OpenPose's keypoints where the character is not human."""
    pictures = {"densepose": clip.densepose, "video": clip.frames}
    human = bool((clip.keypoints.body[..., 2] > 0).any())
    if human:
        pictures["openpose"] = openpose.draw(clip.keypoints, clip.frames.shape[1:3])
    return Labels(
        pictures=pictures,
        keypoints=clip.keypoints if human else None,
        graph=Graph(clip.skeleton, clip.points),
        masks=clip.mask,
        face_boxes=clip.face_box,
    )


def driving_of(clip: Clip) -> Driving:
    """The clip's motion, prompt, subject and camera, and what is known of its reference image."""
    still = Labels() if clip.reference_clip is None else labels_of(clip.reference_clip)
    told = {"prompt": clip.prompt, "subject": subject_of(clip.prompt), "camera": clip.camera, "fps": clip.fps}
    return Driving(**vars(labels_of(clip)), still=still, **told)
