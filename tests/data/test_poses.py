"""Clips with keypoints: one crop for all frames, and masks that leave the rest alone."""

import numpy as np

from jaxanim.cues import openpose
from jaxanim.data.poses import PosedClips, crop_square, draw_poses, mask_at_random
from jaxanim.data.puppets import PuppetClips
from jaxanim.puppets import puppet_clip

TALL = PuppetClips(seeds=(3, 2), frames=4, span=40, size=(60, 40), spacing="consecutive")


def test_frames_reference_and_points_share_one_crop():
    element, clip = PosedClips(TALL)[0], TALL.clip(3)
    assert element["frames"].shape == (4, 40, 40, 3)
    tops = [top for top in range(21) if np.array_equal(element["frames"], clip.frames[:, top : top + 40])]
    assert len(tops) == 1
    top = tops[0]
    np.testing.assert_array_equal(element["reference"], clip.reference[top : top + 40])
    before, after = openpose.pack(clip.keypoints), element["poses"]
    kept = after[..., 2] > 0
    np.testing.assert_allclose(after[kept], before[kept] - [0, top, 0], atol=1e-4)
    rows = np.round(before[..., 1] - top)
    inside = (before[..., 2] > 0) & (rows >= 0) & (rows < 40)
    assert kept.any()
    np.testing.assert_array_equal(kept, inside)


def test_crops_differ_between_clips_and_a_centre_crop_is_the_centre():
    frames = np.arange(60, dtype=np.uint8)[None, :, None, None].repeat(40, 2).repeat(3, 3)
    points = np.zeros((1, 1, 3), np.float32)
    assert [crop_square(frames, points, place)[0][0, 0, 0, 0] for place in (0.0, 0.5, 1.0)] == [0, 10, 20]
    wide, _ = crop_square(frames.swapaxes(1, 2), points, 0.5)
    assert wide[0, 0, :, 0].tolist() == list(range(10, 50))
    places = set()
    clips = PosedClips(PuppetClips(seeds=(0, 8), frames=1, span=10, size=(60, 40)))
    for i in range(8):
        whole, part = clips.clips.clip(i).frames, clips[i]["frames"]
        places.add(next(t for t in range(21) if np.array_equal(part, whole[:, t : t + 40])))
    assert len(places) > 4


def test_masks_drop_the_whole_face_and_both_hands_and_nothing_else():
    points = openpose.pack(puppet_clip(5, 3, (64, 64), reference=False).keypoints)
    rng = np.random.default_rng(0)
    np.testing.assert_array_equal(mask_at_random(points, rng, 0.0, 0.0), points)
    both = mask_at_random(points, rng, 1.0, 1.0)
    np.testing.assert_array_equal(both[:, :18], points[:, :18])
    assert not both[:, 18:].any()
    drops = np.array(
        [
            [not m[:, 60:].any(), not m[:, 18:60].any()]
            for m in (mask_at_random(points, rng, 0.2, 0.5) for _ in range(400))
        ]
    )
    face, hands = drops.mean(0)
    assert abs(face - 0.2) < 0.06
    assert abs(hands - 0.5) < 0.08
    # Each by itself: all four combinations occur.
    assert len({tuple(row) for row in drops.tolist()}) == 4


def test_drawings_are_those_of_the_points():
    keypoints = puppet_clip(5, 3, (64, 64), reference=False).keypoints
    points = openpose.pack(keypoints)
    for name in ("body", "hands", "face"):
        np.testing.assert_array_equal(getattr(openpose.unpack(points), name), getattr(keypoints, name))
    drawn = draw_poses(np.stack([points, points]), (64, 64), np.random.default_rng(0))
    np.testing.assert_array_equal(drawn[1], openpose.draw(keypoints, (64, 64)))
