import json

import chex
import numpy as np
import pytest

from jaxanim.cues import openpose
from jaxanim.cues.driving import OPENPOSE
from jaxanim.errors import InputError
from jaxanim.media.video import read_motion, write_video
from jaxanim.puppets import puppet_clip
from jaxanim.systems import Sampling
from sample.inputs import choose_size, driving_frames, read_mask, read_truth


@pytest.fixture(scope="module")
def clip():
    return puppet_clip(950001, 10, (64, 48))


def test_images_drive_as_they_are_and_a_video_nearly(puppet, clip):
    exact = driving_frames(read_motion(puppet / "images"), "images", 10, (64, 48), (64, 48))
    chex.assert_trees_all_equal(exact, clip.densepose)
    video = driving_frames(read_motion(puppet / "densepose.mp4"), "video", 7, (64, 48), (64, 48))
    assert np.abs(video.astype(int) - clip.densepose[:7]).mean() < 2


def test_keypoints_of_the_references_picture_stay_where_they_are(puppet, clip):
    drawn = driving_frames(read_motion(puppet / "openpose"), "poses", 10, (64, 48), (64, 48))
    body, true = (drawn != drawn[0, 0, 0]).any(-1), clip.parts > 0
    assert (body & true).sum() > 0.85 * body.sum()


def test_keypoints_of_a_stated_picture_follow_its_size(puppet):
    motion = read_motion(puppet / "openpose")
    same = driving_frames(motion, "poses", 10, (128, 96), (500, 500), pose_size=(64, 48))
    drawn = driving_frames(motion, "poses", 10, (64, 48), (64, 48))
    body = (same != same[0, 0, 0]).any(-1)
    small = (drawn != drawn[0, 0, 0]).any(-1)
    doubled = small.repeat(2, axis=1).repeat(2, axis=2)
    assert (body == doubled).mean() > 0.95


def test_truth_and_mask_are_resized_and_cropped_alike(puppet):
    truth = read_truth(puppet / "truth.mp4", 4, (32, 24))
    mask = read_mask(None, puppet / "truth.mp4", 4, (32, 24))
    chex.assert_shape(truth, (4, 32, 24, 3))
    chex.assert_shape(mask, (4, 32, 24))
    assert 0.05 < (mask > 127).mean() < 0.5


@pytest.mark.parametrize(
    ("asked", "reference", "expected"),
    [
        ((40, 64), (10, 10), (40, 64)),
        (None, (64, 48), (64, 48)),
        (None, (50, 61), (48, 64)),
        (None, (3, 61), (8, 64)),
        (None, (1000, 1000), (64, 64)),
        (None, (1080, 1920), (48, 88)),
    ],
)
def test_size_is_the_wish_or_the_references_at_most_of_the_trained_area(asked, reference, expected):
    assert choose_size(asked, reference, 8, Sampling(size=(64, 64))) == expected


def test_nearest_sizes_are_named_once_and_never_zero():
    with pytest.raises(InputError, match="nearest such sizes are 8x64 and 8x72"):
        choose_size((65, 8), (10, 10), 8, Sampling())
    with pytest.raises(InputError, match=r"nearest such sizes are 8x64$"):
        choose_size((64, 3), (10, 10), 8, Sampling())


@pytest.fixture(scope="module")
def openpose_folder(clip, tmp_path_factory):
    """Keypoints with hands and face, as the puppet program writes them."""
    folder = tmp_path_factory.mktemp("poses")
    openpose.write(folder, clip.keypoints)
    return folder


def changed(folder, target, change):
    """A copy of a folder of OpenPose JSON with `change` made to every frame's list of people."""
    target.mkdir()
    for i, path in enumerate(sorted(folder.glob("*.json"))):
        content = json.loads(path.read_text())
        content["people"] = change(i, content["people"])
        (target / path.name).write_text(json.dumps(content))
    return target


def drawn(folder, size=(64, 48), reference=(64, 48), **options):
    return driving_frames(read_motion(folder), folder, 10, size, reference, cue=OPENPOSE, **options)


def test_openpose_json_is_drawn_with_hands_and_face(openpose_folder, clip):
    ours = drawn(openpose_folder)
    rounded = openpose.read(openpose_folder)
    chex.assert_trees_all_equal(ours, openpose.draw(rounded, (64, 48)))
    assert (ours == 255).all(-1).any()  # of a face
    body = openpose.Keypoints(rounded.body, 0 * rounded.hands, 0 * rounded.face)
    assert (ours != openpose.draw(body, (64, 48))).any()


def test_openpose_video_is_taken_as_it_is(puppet, clip, tmp_path):
    pictures = openpose.draw(clip.keypoints, (64, 48))
    write_video(tmp_path / "openpose.mp4", pictures, crf=1, pixel_format="yuv444p")
    video = drawn(tmp_path / "openpose.mp4")
    assert np.abs(video.astype(int) - pictures).mean() < 2
    with pytest.raises(InputError, match="is not an OpenPose video: it should show skeletons"):
        drawn(puppet / "densepose.mp4")
    with pytest.raises(InputError, match="is not an OpenPose video"):
        drawn(puppet / "truth.mp4")
    with pytest.raises(InputError, match="is not a DensePose video"):
        driving_frames(read_motion(tmp_path / "openpose.mp4"), "m", 10, (64, 48), (64, 48))


def test_hands_and_face_move_with_the_body_when_it_is_brought_into_the_frame(openpose_folder):
    """Keypoints of a far larger picture: everything keeps its place relative to the body."""

    def enlarge(i, people):
        for person in people:
            for field in [name for name in person if name.endswith("2d")]:
                points = np.array(person[field]).reshape(-1, 3)
                points[:, :2] = points[:, :2] * 7 + 300 * (points[:, 2:] > 0)
                person[field] = points.ravel().tolist()
        return people

    large = changed(openpose_folder, openpose_folder.parent / "large", enlarge)
    a, b = (drawn(folder, (128, 128), (8, 8)) for folder in (openpose_folder, large))
    assert (a.any(-1) == b.any(-1)).mean() > 0.97
    stated = drawn(large, (64, 48), pose_size=(1500, 1500))
    assert stated[..., 0].astype(bool).mean() < drawn(openpose_folder)[..., 0].astype(bool).mean()


def test_missing_and_unlikely_hands_and_faces_are_left_out(openpose_folder):
    def without(i, people):
        for person in people:
            person.pop("face_keypoints_2d")
            person["hand_left_keypoints_2d"] = []
            points = np.array(person["hand_right_keypoints_2d"]).reshape(-1, 3)
            points[:, 2] = 0.1  # OpenPose's guess at a hand that it has not found
            person["hand_right_keypoints_2d"] = points.ravel().tolist()
        return people

    bare = drawn(changed(openpose_folder, openpose_folder.parent / "bare", without))
    rounded = openpose.read(openpose_folder)
    body = openpose.Keypoints(rounded.body, 0 * rounded.hands, 0 * rounded.face)
    chex.assert_trees_all_equal(bare, openpose.draw(body, (64, 48)))


def test_mistakes_are_no_people(openpose_folder):
    parent = openpose_folder.parent

    def ghost(i, people):
        points = np.zeros((18, 3))
        points[:3] = [5, 5, 0.9]
        return [{"pose_keypoints_2d": points.ravel().tolist()}, *people]

    haunted = changed(openpose_folder, parent / "haunted", ghost)
    chex.assert_trees_all_equal(drawn(haunted), drawn(openpose_folder))
    nobody = changed(openpose_folder, parent / "nobody", lambda i, people: [])
    with pytest.raises(InputError, match="no person in any of its 10 frames"):
        drawn(nobody)
    unlikely = changed(
        openpose_folder, parent / "unlikely", lambda i, people: [{"pose_keypoints_2d": [20.0, 20.0, 0.01] * 18}]
    )
    with pytest.raises(InputError, match="has no person in it: nobody is seen in any of its 10 frames"):
        drawn(unlikely)
    broken = changed(openpose_folder, parent / "broken", lambda i, people: people)
    next(broken.iterdir()).write_text('{"people": [{"pose_keypoints_2d": [1, 2')
    with pytest.raises(InputError, match="is not an OpenPose JSON file"):
        drawn(broken)
