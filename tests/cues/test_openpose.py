"""OpenPose drawing against a slow, independent one; JSON round trip."""

import json

import numpy as np
import pytest

from jaxanim.cues import openpose, skeleton_drawing
from jaxanim.errors import InputError
from jaxanim.media.keypoints import read_people

# The public ControlNet annotator's colours, written out.
_COLORS = [
    (255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0), (0, 255, 0), (0, 255, 85),
    (0, 255, 170), (0, 255, 255), (0, 170, 255), (0, 85, 255), (0, 0, 255), (85, 0, 255), (170, 0, 255), (255, 0, 255),
    (255, 0, 170), (255, 0, 85),
]  # fmt: skip
_STICKS = [(2, 3), (2, 6), (3, 4), (4, 5), (6, 7), (7, 8), (2, 9), (9, 10), (10, 11), (2, 12), (12, 13), (13, 14), (2, 1),
           (1, 15), (15, 17), (1, 16), (16, 18)]  # fmt: skip


def _keypoints(frames=2, people=1, size=512, seed=0):
    rng = np.random.default_rng(seed)

    def points(*shape):
        xy = rng.uniform(20, size - 20, (frames, *shape, 2)).round(2)
        return np.concatenate([xy, np.ones((frames, *shape, 1))], -1).astype(np.float32)

    return openpose.Keypoints(points(people, 18), points(2 * people, 21), points(people, 68))


def _nobody(keypoints, *fields):
    return openpose.Keypoints(*(
        getattr(keypoints, name) * (0 if name in fields else 1) for name in ("body", "hands", "face")
    ))  # fmt: skip


def test_colours_are_the_annotators():
    assert list(openpose.COLORS) == _COLORS
    assert [(a + 1, b + 1) for a, b in openpose.LIMBS] == _STICKS


@pytest.mark.parametrize("seed", [0, 1])
def test_body_drawing_matches_a_literal_one(seed):
    """Every pixel is tested against every ellipse and disc by their equations; later ones win."""
    keypoints = _nobody(_keypoints(1, seed=seed), "hands", "face")
    drawn = openpose.draw(keypoints, (512, 512))[0]
    person = keypoints.body[0, 0, :, :2].astype(float)
    y, x = np.mgrid[0:512, 0:512].astype(float)
    want, unsure = np.zeros((512, 512, 3)), np.zeros((512, 512), bool)
    for (a, b), color in zip(_STICKS, _COLORS, strict=False):
        start, end = person[a - 1], person[b - 1]
        middle, across = np.floor((start + end) / 2), start - end
        half, angle = np.floor(np.hypot(*across) / 2), np.radians(int(np.degrees(np.arctan2(across[1], across[0]))))
        u = (x - middle[0]) * np.cos(angle) + (y - middle[1]) * np.sin(angle)
        v = -(x - middle[0]) * np.sin(angle) + (y - middle[1]) * np.cos(angle)
        # the outline is a polygon of whole pixels: within 2 pixels of it either answer is right
        inner, outer = ((u / (half + d)) ** 2 + (v / (4 + d)) ** 2 <= 1 for d in (-2, 2))
        want[inner] = color
        unsure = (unsure | (outer & ~inner)) & ~inner
    want = np.floor(want * 0.6)
    for point, color in zip(np.floor(person), _COLORS, strict=True):
        distance = np.hypot(x - point[0], y - point[1])
        want[distance <= 4] = color
        unsure = (unsure | ((distance > 3.5) & (distance < 5))) & ~(distance <= 3.5)
    assert unsure.mean() < 0.1
    np.testing.assert_array_equal(drawn[~unsure], want[~unsure])


def test_points_without_confidence_are_left_out():
    keypoints = _nobody(_keypoints(1), "hands", "face")
    assert not openpose.draw(_nobody(keypoints, "body"), (64, 64)).any()
    one = keypoints.body.copy()
    one[:, :, 1:, 2] = 0
    drawn = openpose.draw(openpose.Keypoints(one, keypoints.hands, keypoints.face), (512, 512))[0]
    x, y = one[0, 0, 0, :2].astype(int)
    assert drawn[y, x].tolist() == [255, 0, 0]
    assert (drawn.any(-1)).sum() < 80


def test_hands_have_blue_joints_and_faces_white_points():
    keypoints = _keypoints(1)
    hands = openpose.draw(_nobody(keypoints, "body", "face"), (512, 512))[0]
    for x, y, _ in keypoints.hands[0, 1].astype(int):
        assert hands[y, x].tolist() == [0, 0, 255]
    face = openpose.draw(_nobody(keypoints, "body", "hands"), (512, 512))[0]
    assert {tuple(c) for c in face.reshape(-1, 3)} == {(0, 0, 0), (255, 255, 255)}


def test_json_round_trip(tmp_path):
    keypoints = _keypoints(3, people=2)
    keypoints.body[1, 0, 4] = 0
    paths = openpose.write(tmp_path, keypoints)
    assert len(paths) == 3
    again = openpose.keypoints_of(read_people(tmp_path).fields)
    for name in ("body", "hands", "face"):
        np.testing.assert_allclose(getattr(again, name), getattr(keypoints, name), atol=1e-3)
    person = json.loads(paths[0].read_text())["people"][0]
    assert [len(person[f"{field}_keypoints_2d"]) // 3 for field in ("pose", "face", "hand_left", "hand_right")] == [
        18,
        70,
        21,
        21,
    ]


def test_reading_what_is_not_there(tmp_path):
    for folder in (tmp_path / "none", tmp_path):
        with pytest.raises(InputError, match=folder.name):
            openpose.read(folder)
    (tmp_path / "a.json").write_text(json.dumps({"people": [{"pose_keypoints_2d": [1.0] * 57}]}))
    with pytest.raises(InputError, match="has 19 points; it should have 17 or 18 or 25 points"):
        openpose.read(tmp_path)


def test_a_graph_is_drawn_where_its_points_are():
    points = np.array([[[10, 10, 1], [50, 10, 1], [50, 50, 0]]], np.float32)
    drawn = skeleton_drawing.draw(points, ((0, 1), (1, 2)), (64, 64))[0]
    assert drawn[10, 10].tolist() == [255, 255, 255]
    assert drawn[10, 30, 0] > 200
    assert drawn[10, 30, 1:].max() == 0
    assert not drawn[30:].any()
