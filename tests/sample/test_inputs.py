import chex
import numpy as np
import pytest

from jaxanim.data.video import read_motion
from jaxanim.errors import InputError
from jaxanim.puppets import puppet_clip
from jaxanim.systems import Defaults
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
    assert choose_size(asked, reference, 8, Defaults(size=(64, 64))) == expected


def test_nearest_sizes_are_named_once_and_never_zero():
    with pytest.raises(InputError, match="nearest such sizes are 8x64 and 8x72"):
        choose_size((65, 8), (10, 10), 8, Defaults())
    with pytest.raises(InputError, match=r"nearest such sizes are 8x64$"):
        choose_size((64, 3), (10, 10), 8, Defaults())
