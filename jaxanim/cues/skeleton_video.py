"""What drives PoseAnything, of anything that is known of a motion: a video of its skeleton at any size."""

from jaxanim.cues.driving import Frames, Labels
from jaxanim.cues.skeleton import Graph
from jaxanim.cues.skeleton_drawing import draw_segments, human_graph
from jaxanim.errors import InputError


def skeleton_video(labels: Labels, canvas: tuple[int, int], size: tuple[int, int]) -> Frames:
    """What is known of some frames as PoseAnything sees poses: their graph, or else their keypoints as one.

    Args:
      canvas: (height, width) of the pictures that the labels belong to.
      size: (height, width) of the skeleton video.

    Raises InputError where there is neither.
    """
    return draw_segments(graph_of(labels), size, canvas)


def graph_of(labels: Labels) -> Graph:
    """The labels' graph, or else their keypoints' body as one; InputError where there is neither."""
    if labels.graph is not None:
        return labels.graph
    if labels.keypoints is None:
        raise InputError("driving has neither a skeleton graph nor keypoints: give one of them")
    return human_graph(labels.keypoints)
