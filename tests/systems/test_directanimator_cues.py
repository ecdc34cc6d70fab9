"""DirectAnimator's driving cue triplet against slow, literal transcriptions of what the paper says."""

import numpy as np
import pytest

from jaxanim.cues.align import Similarity, align_masks
from jaxanim.cues.driving import Labels
from jaxanim.errors import InputError
from jaxanim.puppets import puppet_clip
from jaxanim.puppets.driving import driving_of
from jaxanim.systems.directanimator.cues import (
    CueOptions,
    cue_triplet,
    face_cue,
    good_masks,
    low_pass,
    pose_cue,
    soften,
)

RNG = np.random.default_rng(0)
SIZE = (64, 64)


@pytest.fixture(scope="module")
def clip():
    return puppet_clip(950_000, 5, SIZE)


@pytest.fixture(scope="module")
def cues(clip):
    driving = driving_of(clip)
    return cue_triplet(driving, driving.still, SIZE, CueOptions(grid=8))


def box(top, bottom, left, right, size=(20, 30)):
    mask = np.zeros(size, np.uint8)
    mask[top:bottom, left:right] = 255
    return mask


@pytest.mark.parametrize("edge", ["gaussian", "ideal"])
@pytest.mark.parametrize("shape", [(8, 12), (9, 7)])
def test_low_pass_is_a_product_in_the_frequency_domain(edge, shape):
    picture, cut_off, (height, width) = RNG.uniform(0, 255, shape), 2.5, shape
    spectrum = np.zeros(shape, complex)
    rows, columns = np.arange(height), np.arange(width)
    for u in rows:
        for v in columns:
            wave = np.exp(-2j * np.pi * (u * rows[:, None] / height + v * columns[None] / width))
            fu, fv = (n - size if n > size / 2 else n for n, size in ((u, height), (v, width)))
            cycles = np.sqrt((fu / height) ** 2 + (fv / width) ** 2) * min(shape)
            keep = np.exp(-((cycles / cut_off) ** 2) / 2) if edge == "gaussian" else float(cycles <= cut_off)
            spectrum[u, v] = (picture * wave).sum() * keep
    expected = np.zeros(shape)
    for y in rows:
        for x in columns:
            wave = np.exp(2j * np.pi * (rows[:, None] * y / height + columns[None] * x / width))
            expected[y, x] = ((spectrum * wave).sum() / (height * width)).real
    ours = low_pass(picture[None, ..., None], cut_off, edge)[0, ..., 0]
    np.testing.assert_allclose(ours, expected, atol=1e-9)


def test_alignment_is_equations_9_to_12():
    """The boxes' heights and centres, their median ratio and mean, and each aligned mask pixel by pixel."""
    driving = np.stack([box(2, 10, 3, 9), box(4, 13, 5, 15), box(1, 12, 0, 6), np.zeros((20, 30), np.uint8)])
    reference = box(3, 18, 12, 20)

    def measure(mask):
        ys, xs = np.nonzero(mask)
        return np.array([(xs.min() + xs.max()) / 2, (ys.min() + ys.max()) / 2]), ys.max() - ys.min()

    (c_ref, h_ref), found = measure(reference), [measure(mask) for mask in driving if mask.any()]
    s = np.median([h_ref / h for _, h in found])
    t = c_ref - s * np.mean([c for c, _ in found], axis=0)
    move = align_masks(driving, reference)
    np.testing.assert_allclose((move.scale, *move.shift), (s, *t))
    aligned = move.pictures(driving, (20, 30))
    wrong = 0
    for mask, ours in zip(driving, aligned, strict=True):
        for y in range(20):
            for x in range(30):
                back = (np.array([x, y]) - t) / s
                column, row = np.round(back).astype(int)
                there = mask[row, column] if 0 <= row < 20 and 0 <= column < 30 else 0
                wrong += int(there != ours[y, x])
    assert wrong <= 8  # of 2400: ties of rounding


def test_pose_cue_is_grey_foreground(clip):
    hard = CueOptions(cut_off=None)
    kept = np.ones(5, bool)
    cue = pose_cue(clip.frames, clip.mask, kept, hard)
    inside = clip.mask > 127
    assert not cue[~inside].any()
    grey = np.round(clip.frames[inside] @ np.array([0.299, 0.587, 0.114]))
    np.testing.assert_array_equal(cue[inside], np.repeat(grey[:, None], 3, axis=1))
    colour = pose_cue(clip.frames, clip.mask, kept, CueOptions(cut_off=None, grey=False))
    np.testing.assert_array_equal(colour[inside], clip.frames[inside])
    smooth = pose_cue(clip.frames, clip.mask, kept, CueOptions(cut_off=6.0))
    rough = [np.abs(np.diff(part.astype(float), axis=2)).mean() for part in (smooth, cue)]
    assert rough[0] < 0.7 * rough[1]


def test_bad_masks_are_dropped_and_left_to_their_neighbours(clip):
    masks = clip.mask.copy()
    masks[1] = 0
    masks[2][: np.flatnonzero(masks[2].any(1))[-1] - 4] = 0  # feet alone
    masks[3] = 255
    np.testing.assert_array_equal(good_masks(masks, 0.5), [True, False, False, False, True])
    cue = pose_cue(clip.frames, masks, good_masks(masks, 0.5), CueOptions())
    assert [bool(frame.any()) for frame in cue] == [True, False, False, False, True]
    assert good_masks(masks, 0.0)[2]
    assert not good_masks(np.zeros_like(masks), 0.5).any()


def test_face_cue_is_enlarged_and_centred():
    frames = np.zeros((2, 40, 60, 3), np.uint8)
    frames[0, 4:12, 40:48] = 200
    boxes = np.array([(40, 4, 48, 12), (0, 0, 0, 0)], np.float32)
    cue = face_cue(frames, boxes, CueOptions(margin=2.0))
    ys, xs = np.nonzero(cue[0, ..., 0] > 100)
    # 8 of 16 pixels across become 20 of 40, in the middle of the frame.
    assert abs(np.ptp(ys) + 1 - 20) <= 3
    assert abs(np.ptp(xs) + 1 - 20) <= 3
    np.testing.assert_allclose((ys.mean(), xs.mean()), (20, 30), atol=3)
    assert not cue[1].any()
    left = face_cue(frames, boxes, CueOptions(enlarge=False))
    np.testing.assert_array_equal(left, frames)
    assert not face_cue(frames, boxes, CueOptions(face=False)).any()


def test_softening_is_the_mean_of_each_cell():
    masks = RNG.integers(0, 2, (2, 10, 13)).astype(np.uint8) * 255
    soft = soften(masks, 4)
    for f in range(2):
        for y in range(8):
            for x in range(12):
                cell = masks[f, y // 4 * 4 : y // 4 * 4 + 4, x // 4 * 4 : x // 4 * 4 + 4]
                assert soft[f, y, x] == np.round(cell.mean())
    np.testing.assert_array_equal(soften(masks, 1), masks)


def test_a_puppet_s_triplet(cues, clip):
    assert cues.pose.shape == cues.face.shape == (5, *SIZE, 3)
    assert cues.body_mask.shape == cues.face_mask.shape == (5, *SIZE)
    assert cues.pose.any()
    assert cues.face.any()
    # The location cue lies where the reference's person is, but for the grid and the motion.
    there = np.argwhere(clip.reference_clip.mask[0] > 127)
    (top, left), (bottom, right) = there.min(0), there.max(0)
    centre = np.argwhere(cues.body_mask > 127)[:, 1:].mean(0)
    assert top < centre[0] < bottom
    assert left - 8 < centre[1] < right + 8


def test_the_location_cue_is_switched_off_and_hard(clip):
    driving = driving_of(clip)
    off = cue_triplet(driving, driving.still, SIZE, CueOptions(location=False))
    assert not off.body_mask.any()
    hard = cue_triplet(driving, Labels(), SIZE, CueOptions(grid=1))
    np.testing.assert_array_equal(hard.body_mask, np.where(clip.mask > 127, 255, 0))
    small = cue_triplet(driving, Labels(), (32, 48), CueOptions())
    assert small.pose.shape == (5, 32, 48, 3)


def test_the_cue_loses_cloth_and_hair(clip):
    """Stripes of two pixels on the person are gone; what is as wide as a limb stays."""
    kept, masks = np.ones(5, bool), np.full_like(clip.mask, 255)
    for width, least, most in ((2, 0.0, 0.1), (16, 0.5, 1.1)):
        stripes = np.where(np.arange(64) // width % 2, 255, 0).astype(np.uint8)
        frames = np.broadcast_to(stripes[None, None, :, None], clip.frames.shape)
        cue = pose_cue(frames, masks, kept, CueOptions(cut_off=4.0)).astype(float)
        assert least <= cue.std() / frames.std() < most, width


def test_bad_videos(clip, capsys):
    driving = driving_of(clip)
    bare = Labels(pictures={"video": clip.frames})
    with pytest.raises(InputError, match="without masks of the person"):
        cue_triplet(bare, Labels(), SIZE, CueOptions())
    nobody = Labels(pictures={"video": clip.frames}, masks=np.zeros_like(clip.mask))
    with pytest.raises(InputError, match="no foreground in any frame"):
        cue_triplet(nobody, Labels(), SIZE, CueOptions())
    faceless = Labels(pictures=driving.pictures, masks=clip.mask)
    assert not cue_triplet(faceless, Labels(), SIZE, CueOptions()).face.any()
    told = capsys.readouterr()
    assert "shows no face: the face cue is left out" in told.out + told.err
    one = Labels(pictures={"video": clip.frames[:1]}, masks=clip.mask[:1], face_boxes=clip.face_box[:1])
    assert cue_triplet(one, Labels(), SIZE, CueOptions()).pose.any()
    for name, value in (("cut_off", 0.0), ("worst", 2.0), ("grid", 0)):
        with pytest.raises(InputError, match=f"{name} is {value}"):
            CueOptions(**{name: value})


def test_a_mask_is_moved_as_its_points():
    mask = box(2, 10, 3, 9)
    move = Similarity(1.5, (2.0, 1.0))
    there = np.argwhere(move.pictures(mask[None], (20, 30))[0])[:, ::-1]
    corners = move.points(np.array([[3.0, 2.0], [8.0, 9.0]]))
    np.testing.assert_allclose(there.min(0), corners[0], atol=1)
    np.testing.assert_allclose(there.max(0), corners[1], atol=1)
