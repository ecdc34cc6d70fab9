import chex
import cv2
import numpy as np
import pytest

from jaxanim.cues.densepose import BACKGROUND, PALETTE
from jaxanim.cues.densepose_from_pose import densepose_from_pose, fits, part_map, place, torso_length
from jaxanim.puppets import puppet_clip

STANDING = np.array(
    [(50, 20), (50, 35), (38, 36), (32, 50), (28, 62), (62, 36), (68, 50), (72, 62),
     (44, 66), (43, 80), (42, 94), (56, 66), (57, 80), (58, 94), (48, 18), (52, 18), (45, 19), (55, 19)], np.float32
)  # fmt: skip


@pytest.fixture
def pose():
    """A person facing the camera in a 100x100 picture [1, 1, 18, 3]."""
    return np.concatenate([STANDING, np.ones((18, 1), np.float32)], -1)[None, None]


def test_joints_carry_the_parts_of_the_subjects_own_sides(pose):
    parts = part_map(pose, (100, 100))[0]
    at = {"torso": (50, 50), "right upper leg": (43, 73), "left upper leg": (57, 73), "right foot": (42, 98),
          "left foot": (58, 98), "right hand": (26, 66), "left hand": (74, 66), "head right": (46, 22),
          "head left": (54, 22), "corner": (2, 2)}  # fmt: skip
    found = {name: int(parts[y, x]) for name, (x, y) in at.items()}
    assert found == {"torso": 2, "right upper leg": 9, "left upper leg": 10, "right foot": 6, "left foot": 5,
                     "right hand": 3, "left hand": 4, "head right": 23, "head left": 24, "corner": 0}  # fmt: skip
    assert set(np.unique(parts)) == {0, 2, 3, 4, 5, 6, 9, 10, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24}


def test_a_person_seen_from_behind_has_the_back_parts(pose):
    pose[..., 0] = 100 - pose[..., 0]
    parts = part_map(pose, (100, 100))[0]
    assert {1, 7, 8, 11, 12} <= set(np.unique(parts))
    assert not {2, 9, 10, 13, 14} & set(np.unique(parts))
    assert parts[22, 46] == 24


def test_unseen_joints_leave_their_limbs_out_and_no_person_is_background(pose):
    pose[..., 4, 2] = 0
    parts = part_map(pose, (100, 100))
    assert not {3, 20, 22} & set(np.unique(parts))
    empty = densepose_from_pose(np.zeros_like(pose), (20, 30))
    chex.assert_trees_all_equal(empty, np.broadcast_to(np.array(BACKGROUND, np.uint8), (1, 20, 30, 3)))


def test_colours_are_the_palette_of_the_parts(pose):
    chex.assert_trees_all_equal(densepose_from_pose(pose, (100, 100)), PALETTE[part_map(pose, (100, 100))])


def test_drawn_maps_agree_with_a_puppets_own():
    """The drawing is coarse (a puppet's head and clothes are not its skeleton's), but has no part misplaced."""
    clip = puppet_clip(950003, 8, (128, 128))
    drawn = part_map(clip.keypoints.body, (128, 128))
    both = (drawn > 0) & (clip.parts > 0)
    assert both.sum() > 0.9 * (drawn > 0).sum()
    assert (drawn == clip.parts)[both].mean() > 0.6


def test_place_follows_resize_and_crop(pose):
    """A white dot at each joint, resized as a picture is, lands where the point does."""
    from jaxanim.media.images import resize_and_crop

    placed = place(pose, (100, 100), (80, 48))
    for joint in (1, 8, 12):
        x, y = pose[0, 0, joint, :2].astype(int)
        picture = cv2.circle(np.zeros((100, 100, 3), np.uint8), (int(x), int(y)), 3, (255,) * 3, -1)
        rows, columns = np.nonzero(resize_and_crop(picture, (80, 48))[..., 0] > 100)
        chex.assert_trees_all_close(placed[0, 0, joint, :2], np.float32([columns.mean(), rows.mean()]), atol=0.6)


def test_place_without_a_canvas_brings_all_of_the_motion_into_the_frame(pose):
    motion = np.concatenate([pose * [7, 7, 1] + [300, -90, 0], pose * [7, 7, 1] + [900, 0, 0]]).astype(np.float32)
    placed = place(motion, None, (64, 96))
    assert fits(placed, (64, 96))
    low, high = placed[..., :2].min((0, 1, 2)), placed[..., :2].max((0, 1, 2))
    chex.assert_trees_all_close((low + high) / 2, np.float32([48, 32]), atol=1e-3)
    assert part_map(placed, (64, 96)).any((1, 2)).all()
    assert not part_map(placed, (64, 96))[:, [0, -1]].any()


def test_fits_looks_at_seen_points_only(pose):
    assert fits(pose, (100, 100))
    assert not fits(pose, (60, 100))
    pose[..., 2] = np.where(pose[..., 1] > 60, 0, 1)
    assert fits(pose, (60, 100))


def test_torso_length_without_hips_is_estimated_from_the_shoulders(pose):
    assert torso_length(pose) == pytest.approx(31)
    pose[:, :, [8, 11], 2] = 0
    assert torso_length(pose) == pytest.approx(24 / 0.7)
