"""XPose's filters (PoseAnything, Sec. 3) on masks where the answer can be counted."""

import numpy as np
import pytest

from jaxanim.cues.masks import Segmented, area_ratio, area_within, enough_skeletons, iou, largest, track


def _box(x0, y0, x1, y1):
    mask = np.zeros((10, 10), bool)
    mask[y0:y1, x0:x1] = True
    return mask


def test_the_subject_is_neither_small_nor_large():
    assert area_ratio(_box(0, 0, 5, 4)) == 0.2
    for area, kept in ((2, False), (3, True), (7, True), (8, False)):
        assert area_within([_box(0, 0, 5, 5), _box(0, 0, area, 10)]) == kept


def test_eq_1_takes_the_largest_mask_of_the_first_frame():
    small, large = Segmented(_box(0, 0, 2, 2), "dog"), Segmented(_box(0, 0, 6, 6), "cat")
    assert largest([small, large]) is large
    assert largest([]) is None
    assert largest([Segmented(_box(0, 0, 0, 0), "dog")]) is None


def test_eq_2_follows_the_label_and_the_last_mask_selected():
    dog = Segmented(_box(0, 0, 5, 5), "dog")
    moved, other, cat = _box(1, 1, 6, 6), _box(5, 5, 10, 10), _box(0, 0, 5, 5)
    far = _box(3, 3, 8, 8)
    frames = [
        [dog, Segmented(_box(0, 0, 3, 3), "dog")],
        [Segmented(other, "dog"), Segmented(moved, "dog"), Segmented(cat, "cat")],
        [Segmented(cat, "cat")],
        # Nearer to the mask of frame 1 than to that of frame 0.
        [Segmented(far, "dog"), Segmented(_box(0, 0, 3, 2), "dog")],
    ]
    selected = track(frames)
    literal = [dog.mask]
    for masks in frames[1:]:
        candidates = [s.mask for s in masks if s.label == "dog"]
        reference = [m for m in literal if m is not None][-1]
        best = None
        for mask in candidates:
            overlap = (mask & reference).sum() / (mask | reference).sum()
            if best is None or overlap > best[0]:
                best = (overlap, mask)
        literal.append(None if best is None else best[1])
    assert selected[2] is None
    for ours, theirs, expected in zip(selected, literal, (dog.mask, moved, None, far), strict=True):
        if expected is not None:
            np.testing.assert_array_equal(ours, expected)
            np.testing.assert_array_equal(theirs, expected)


def test_without_a_mask_in_the_first_frame_there_is_no_subject():
    assert track([[], [Segmented(_box(0, 0, 5, 5), "dog")]]) == [None, None]
    assert track([]) == []


@pytest.mark.parametrize(("found", "kept"), [((1, 1, 1, 1, 0), True), ((1, 1, 1, 0), False), ((), False)])
def test_four_fifths_of_the_frames_have_a_skeleton(found, kept):
    assert enough_skeletons([bool(f) for f in found]) == kept


def test_iou_counts_pixels():
    assert iou(_box(0, 0, 4, 4), _box(2, 0, 6, 4)) == pytest.approx(8 / 24)
    assert iou(_box(0, 0, 0, 0), _box(0, 0, 0, 0)) == 0
