"""Alignment against DirectAnimator's equations, and the least-squares fit, transcribed literally."""

import chex
import numpy as np
import pytest

from jaxanim.cues.align import Similarity, align_masks, align_poses, covering
from jaxanim.errors import InputError
from jaxanim.media.images import resize_and_crop


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def boxed(size, x0, y0, x1, y1):
    mask = np.zeros(size, np.uint8)
    mask[y0 : y1 + 1, x0 : x1 + 1] = 255
    return mask


def test_masks_go_by_equations_9_to_12(rng):
    size, boxes = (60, 50), [(5, 10, 15, 40), (8, 12, 20, 50), (10, 9, 18, 36), (12, 10, 30, 44)]
    masks = np.stack([boxed(size, *box) for box in boxes])
    reference = boxed((90, 80), 30, 5, 55, 75)

    def centre(b):
        return np.array([(b[0] + b[2]) / 2, (b[1] + b[3]) / 2])

    s = np.median([(75 - 5) / (b[3] - b[1]) for b in boxes])  # Eq. 9
    c_ref, c_bar = centre((30, 5, 55, 75)), np.mean([centre(b) for b in boxes], 0)
    t = c_ref - s * c_bar  # Eq. 10
    found = align_masks(masks, reference)
    assert found.scale == pytest.approx(s)
    np.testing.assert_allclose(found.shift, t)

    moved = found.pictures(masks, (90, 80))
    for m, mask in enumerate(masks):
        for y, x in rng.integers(0, 80, (300, 2)):
            back = (np.array([x, y]) - t) / s  # Eq. 12: M~(x) = M(T^-1(x))
            i, j = np.rint(back[::-1]).astype(int)
            if np.abs(back - np.rint(back)).max() > 0.4:
                continue  # between two pixels either is the nearest
            inside = 0 <= i < 60 and 0 <= j < 50
            assert moved[m, y, x] == (mask[i, j] if inside else 0)


def test_a_frame_without_anybody_is_passed_over_and_no_mask_at_all_is_said():
    masks = np.stack([boxed((40, 40), 5, 5, 15, 25), np.zeros((40, 40), np.uint8)])
    reference = boxed((40, 40), 10, 5, 20, 25)
    assert align_masks(masks, reference) == Similarity(1.0, (5.0, 0.0))
    with pytest.raises(InputError, match="motion is empty"):
        align_masks(masks[1:], reference)
    with pytest.raises(InputError, match="reference is empty"):
        align_masks(masks, masks[1])


def test_poses_are_fitted_in_y_over_all_frames_and_keep_their_shape(rng):
    driving = np.concatenate([rng.uniform(20, 200, (5, 1, 18, 2)), np.ones((5, 1, 18, 1))], -1)
    reference = np.concatenate(
        [0.6 * driving[2, 0, :, :2] + (7, -3) + rng.normal(0, 2, (18, 2)), np.ones((18, 1))], -1
    )
    reference[9, 2] = 0
    driving[1, 0, 2, 2] = 0
    joints = [0, 1, 2, 5, 8, 10, 11, 12, 13, 14, 15, 16, 17]  # 9 is not seen in the reference
    pairs = [(driving[f, 0, j], reference[j]) for f in range(5) for j in joints if driving[f, 0, j, 2] > 0]
    slope, intercept = np.polyfit([a[1] for a, _ in pairs], [b[1] for _, b in pairs], 1)
    found = align_poses(driving, reference)
    assert slope > 0.1
    assert found.scale == pytest.approx(slope)
    assert found.shift[1] == pytest.approx(intercept)
    assert found.shift[0] == pytest.approx(np.mean([b[0] - slope * a[0] for a, b in pairs]))


def test_the_same_pose_elsewhere_is_brought_back_exactly(rng):
    reference = np.concatenate([rng.uniform(0, 100, (18, 2)), np.ones((18, 1))], -1)
    driving = reference.copy()[None, None]
    driving[..., :2] = (driving[..., :2] - (30, 40)) / 0.5
    found = align_poses(driving, reference)
    np.testing.assert_allclose(found.points(driving)[0, 0], reference, atol=1e-9)


def test_a_fit_that_turns_a_person_over_falls_back_to_boxes(rng):
    reference = np.concatenate([rng.uniform(0, 100, (18, 2)), np.ones((18, 1))], -1)
    driving = reference.copy()[None, None]
    driving[..., 1] = 300 - 2 * driving[..., 1]
    found = align_poses(driving, reference)
    assert found.scale == pytest.approx(0.5)
    with pytest.raises(InputError, match="no joint in common"):
        align_poses(0 * driving, reference)


def test_covering_is_what_resizing_and_cropping_does(rng):
    pictures = np.zeros((1, 60, 100, 3), np.uint8)
    pictures[0, 20:40, 50:70] = 255
    by = covering((60, 100), (120, 80))
    cropped = resize_and_crop(pictures, (120, 80))[0, ..., 0] > 127
    rows, columns = np.flatnonzero(cropped.any(1)), np.flatnonzero(cropped.any(0))
    corners = by.boxes(np.array([50.0, 20.0, 70.0, 40.0]))
    chex.assert_trees_all_close(corners[[1, 3]], np.array([rows[0], rows[-1] + 1.0]), atol=1)
    chex.assert_trees_all_close(corners[[0, 2]], np.array([columns[0], columns[-1] + 1.0]), atol=1)
