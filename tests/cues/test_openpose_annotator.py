"""Our drawing against controlnet_aux's, the annotator that people draw the public ControlNet's poses with."""

import importlib.util
import sys
import types
from typing import NamedTuple

import numpy as np
import pytest

from jaxanim.cues import openpose

SIZE = (512, 640)


@pytest.fixture(scope="module")
def annotator():
    """The package's drawing functions. Its __init__ imports all of its detectors, with torchvision and more; they
    are left out, for drawing needs none of them."""
    found = importlib.util.find_spec("controlnet_aux")
    if found is None:
        pytest.skip("controlnet_aux is not installed")
    with pytest.MonkeyPatch.context() as patch:
        folder = found.submodule_search_locations[0]
        for name, path in (("controlnet_aux", folder), ("controlnet_aux.open_pose", f"{folder}/open_pose")):
            package = types.ModuleType(name)
            package.__path__ = [path]
            patch.setitem(sys.modules, name, package)
        body = types.ModuleType("controlnet_aux.open_pose.body")
        body.Keypoint, body.BodyResult = Keypoint, object
        patch.setitem(sys.modules, body.__name__, body)
        yield importlib.import_module("controlnet_aux.open_pose.util")
        sys.modules.pop("controlnet_aux.open_pose.util", None)


class Keypoint(NamedTuple):
    """Its own: normalised coordinates."""

    x: float
    y: float


def theirs(annotator, keypoints):
    height, width = SIZE
    canvas = np.zeros((height, width, 3), np.uint8)

    def points(values, missing):
        # Half a pixel, so that their way through normalised coordinates rounds down to the same pixel.
        return [
            Keypoint((np.floor(x) + 0.5) / width, (np.floor(y) + 0.5) / height) if c > 0 else missing
            for x, y, c in values
        ]

    for p, body in enumerate(keypoints.body[0]):
        canvas = annotator.draw_bodypose(canvas, points(body, None))
        for hand in keypoints.hands[0, 2 * p : 2 * p + 2]:
            canvas = annotator.draw_handpose(canvas, points(hand, Keypoint(-1, -1)))
        canvas = annotator.draw_facepose(canvas, points(keypoints.face[0, p], Keypoint(-1, -1)))
    return canvas


def random_people(seed, people=2):
    rng = np.random.default_rng(seed)

    def points(*shape):
        xy = np.floor(rng.uniform(20, [SIZE[1] - 20, SIZE[0] - 20], (1, *shape, 2))) + 0.5
        return np.concatenate([xy, rng.random((1, *shape, 1)) > 0.2], -1).astype(np.float32)

    return openpose.Keypoints(points(people, 18), points(2 * people, 21), points(people, 68))


@pytest.mark.parametrize("seed", range(6))
def test_two_people_with_hands_faces_and_gaps_are_drawn_to_the_pixel(annotator, seed):
    keypoints = random_people(seed)
    ours = openpose.draw(keypoints, SIZE)[0]
    assert (ours > 0).any(-1).mean() > 0.1
    np.testing.assert_array_equal(ours, theirs(annotator, keypoints))


def test_a_puppet_is_drawn_to_the_pixel(annotator):
    from jaxanim.puppets import puppet_clip

    clip = puppet_clip(950_004, 3, SIZE, reference=False)
    for frame in range(3):
        whole = (getattr(clip.keypoints, name)[frame : frame + 1] for name in ("body", "hands", "face"))
        # Whole pixels, as both cut fractions off but at different moments.
        floored = [np.concatenate([np.floor(p[..., :2]) + 0.5, p[..., 2:]], -1).astype(np.float32) for p in whole]
        keypoints = openpose.Keypoints(*floored)
        np.testing.assert_array_equal(openpose.draw(keypoints, SIZE)[0], theirs(annotator, keypoints))
