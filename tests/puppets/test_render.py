"""Rendered clips: labels agree with the picture and with each other, whatever the kind, size and camera."""

import chex
import cv2
import numpy as np
import pytest

from jaxanim.cues import densepose
from jaxanim.errors import InputError
from jaxanim.puppets import KINDS, Motion, make_character, make_motion, puppet_clip, render


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_renders_with_consistent_labels(kind):
    clip = puppet_clip(950_003, 3, (72, 96), kind)
    chex.assert_shape(clip.frames, (3, 72, 96, 3))
    chex.assert_shape(clip.reference, (72, 96, 3))
    np.testing.assert_array_equal(clip.mask > 0, clip.parts > 0)
    np.testing.assert_array_equal(densepose.part_ids(clip.densepose), clip.parts)
    assert 0.04 < (clip.mask > 0).mean() < 0.6
    assert clip.parts.max() <= 24
    assert clip.points.shape[1] == len(clip.skeleton.points)
    listed = sorted(edge for segment in clip.skeleton.segments.values() for edge in segment)
    assert listed == list(range(len(clip.skeleton.edges)))


@pytest.mark.parametrize("kind", KINDS)
def test_what_lies_outside_the_mask_is_the_background_alone(kind):
    one, other = (make_character(seed, kind) for seed in (1, 2))
    motion = make_motion(5, 2, kind)
    first, second = (render(character, motion, (64, 64), background=9) for character in (one, other))
    near = cv2.dilate((first.mask | second.mask)[0], np.ones((5, 5), np.uint8)) > 0  # tips finer than a pixel
    np.testing.assert_array_equal(first.frames[0][~near], second.frames[0][~near])
    inside = cv2.erode(first.mask[0], np.ones((3, 3), np.uint8)) > 0
    assert np.abs(first.frames[0][inside].astype(int) - second.frames[0][inside]).mean() > 8


def test_rendering_is_deterministic_and_moments_do_not_depend_on_their_neighbours():
    whole = puppet_clip(11, 30, (64, 64))
    some = puppet_clip(11, 30, (64, 64), frame_indices=[17, 0, 4])
    np.testing.assert_array_equal(whole.frames[[17, 0, 4]], some.frames)
    np.testing.assert_array_equal(whole.parts[[17, 0, 4]], some.parts)
    np.testing.assert_array_equal(whole.keypoints.face[[17, 0, 4]], some.keypoints.face)


@pytest.mark.parametrize("kind", KINDS)
def test_a_shorter_motion_is_a_prefix_of_a_longer_one(kind):
    short, long = make_motion(21, 7, kind), make_motion(21, 30, kind)
    for name, values in short.channels.items():
        np.testing.assert_allclose(values, long[name][:7], atol=1e-9)


def test_the_reference_is_another_moment_of_the_same_identity_and_place():
    clip = puppet_clip(3, 20, (64, 64))
    assert (clip.reference != clip.frames[0]).any()
    still = (clip.mask[0] == 0) & (clip.reference_clip.mask[0] == 0)
    still = cv2.erode(still.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    np.testing.assert_array_equal(clip.reference[still], clip.frames[0][still])


def test_different_seeds_differ_and_any_identity_performs_any_motion():
    motion = make_motion("wave", 4, seed=2)
    clips = [render(make_character(seed), motion, (64, 64)) for seed in range(4)]
    for a in range(4):
        for b in range(a):
            assert (clips[a].frames != clips[b].frames).any()
            # The same gesture: who performs it changes bone lengths, not directions.
            forearm = [c.points[:, 3, :2] - c.points[:, 2, :2] for c in (clips[a], clips[b])]
            unit = [v / np.linalg.norm(v, axis=-1, keepdims=True) for v in forearm]
            np.testing.assert_allclose(unit[0], unit[1], atol=1e-4)


@pytest.mark.parametrize("camera", ["pan", "zoom", "orbit"])
def test_a_camera_moves_character_and_background_together(camera):
    still = puppet_clip(8, 25, (96, 96), frame_indices=[0, 24])
    moved = puppet_clip(8, 25, (96, 96), frame_indices=[0, 24], camera=camera)
    for k in range(2):
        x, y, zoom = moved.camera[k]
        # unit length 96 px; the frame's middle shows world (0, 0.44) in a still clip
        matrix = np.array([[zoom, 0, 47.5 - zoom * (47.5 + 96 * x)], [0, zoom, 47.5 - zoom * (47.5 - 96 * y)]])
        points = still.points[k, :, :2] @ matrix[:, :2].T + matrix[:, 2]
        np.testing.assert_allclose(points, moved.points[k, :, :2], atol=1e-3)
        warped = cv2.warpAffine(still.frames[k], matrix, (96, 96))
        inside = cv2.warpAffine(np.ones((96, 96), np.uint8), matrix, (96, 96)) > 0
        # the whole picture follows: the still frame warped by the camera is nearly the camera's frame
        error = np.abs(warped.astype(float) - moved.frames[k])[inside].mean()
        assert error < 0.4 * np.abs(still.frames[k].astype(float) - moved.frames[k])[inside].mean() or error < 4
        np.testing.assert_array_equal(warped[inside].shape, moved.frames[k][inside].shape)


def test_an_explicit_camera_path_and_a_size_that_is_not_square():
    path = np.tile([0.1, 0.0, 1.25], (3, 1))
    clip = render(make_character(1), make_motion(1, 3), (80, 64), camera=path)
    np.testing.assert_allclose(clip.camera, path)
    assert clip.frames.shape == (3, 80, 64, 3)


def test_labels_can_be_left_out():
    clip = puppet_clip(2, 2, (64, 64), labels=False)
    assert not clip.densepose.any()
    assert not clip.keypoints.hands.any()
    assert clip.mask.any()


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: make_character(1, "centaur"), "centaur"),
        (lambda: make_character(-1), "-1"),
        (lambda: make_motion("fly", 4), "fly"),
        (lambda: make_motion(1, 0), "frames"),
        (lambda: render(make_character(1), make_motion(1, 2, "bird")), "bird"),
        (lambda: render(make_character(1), make_motion(1, 2), (8, 64)), "64x8"),
        (lambda: render(make_character(1), make_motion(1, 2), frame_indices=[2]), "frame_indices"),
        (lambda: render(make_character(1), make_motion(1, 2), camera="crane"), "crane"),
        (lambda: render(make_character(1), make_motion(1, 2), camera=np.ones((3, 3))), "camera"),
        (lambda: puppet_clip(1, 5, motion=make_motion(1, 3)), "frames"),
        (lambda: puppet_clip(1, 5, frame_indices=[9]), "frame_indices"),
    ],
)
def test_bad_input_is_named(call, word):
    with pytest.raises(InputError, match=word):
        call()


def test_motions_are_of_one_class():
    assert isinstance(make_motion(1, 2, "snake"), Motion)
