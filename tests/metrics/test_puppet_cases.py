"""Cases of the puppet world: the cue of the system, true faces, and bodies that no training has seen."""

import numpy as np
import pytest

from jaxanim.cues import openpose
from jaxanim.cues.driving import DENSEPOSE, OPENPOSE, VIDEO, Needs
from jaxanim.errors import InputError
from jaxanim.metrics.evaluate import score
from jaxanim.metrics.puppet_cases import SHAPES, puppet_case, reshaped
from jaxanim.puppets import make_character, puppet_clip

SIZE = (64, 64)


def test_the_driving_pictures_are_the_cue_s():
    clip = puppet_clip(950_001, 4, SIZE)
    dense, pose = (puppet_case(950_001, frames=4, size=SIZE, needs=Needs((cue,))) for cue in (DENSEPOSE, OPENPOSE))
    np.testing.assert_array_equal(dense.shown, clip.densepose)
    np.testing.assert_array_equal(pose.shown, openpose.draw(clip.keypoints, SIZE))
    for case in (dense, pose):
        np.testing.assert_array_equal(case.truth, clip.frames)
        np.testing.assert_array_equal(case.face, clip.keypoints.face[:, 0])
    with pytest.raises(InputError, match="no human keypoints to draw"):
        puppet_case(950_001, frames=2, size=SIZE, needs=Needs((OPENPOSE,)), kind="fish")


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_lie_beyond_everything_that_is_drawn_for_training(shape):
    usual = [make_character(seed).body for seed in range(400)]
    for seed in (950_000, 950_001, 950_002):
        body = reshaped(make_character(seed), shape).body
        beyond = [
            name
            for name in SHAPES[shape]
            if not min(getattr(b, name) for b in usual)
            <= getattr(body, name)
            <= max(getattr(b, name) for b in usual)
        ]
        assert beyond, f"{shape} of {seed} is like a training body"
    case = puppet_case(950_000, frames=2, size=SIZE, shape=shape)
    plain = puppet_case(950_000, frames=2, size=SIZE)
    assert (case.truth != plain.truth).any(-1).mean() > 0.01
    assert (case.reference != plain.reference).any()
    assert case.mask.any()


def test_unusual_is_one_of_them_and_unknown_shapes_are_named():
    shapes = {repr(reshaped(make_character(seed), "unusual").body) for seed in range(20)}
    assert len(shapes) == 20
    person = make_character(3)
    assert reshaped(person, None) is person
    assert any(reshaped(person, "unusual").body == reshaped(person, shape).body for shape in SHAPES)
    with pytest.raises(InputError, match="shape is 'round' for a human"):
        reshaped(person, "round")
    with pytest.raises(InputError, match="shape is 'stout' for a fish"):
        reshaped(make_character(3, "fish"), "stout")


def test_another_identity_drives_the_same_motion():
    own = puppet_case(950_001, frames=3, size=SIZE, needs=Needs((VIDEO,)))
    probe = puppet_case(950_001, frames=3, size=SIZE, needs=Needs((VIDEO,)), driver=970_001)
    np.testing.assert_array_equal(probe.truth, own.truth)
    np.testing.assert_array_equal(probe.reference, own.reference)
    np.testing.assert_array_equal(probe.driver, probe.shown)
    np.testing.assert_array_equal(probe.driving.pictures["video"], probe.driver)
    np.testing.assert_array_equal(probe.driving.still.masks, own.driving.still.masks)
    assert (probe.driver != own.truth).any(-1)[own.mask > 0].mean() > 0.5
    assert own.driver is None

    def copied(reference, driving):
        return driving.pictures["video"] / np.float32(127.5) - 1

    def known(reference, driving):
        return own.truth / np.float32(127.5) - 1

    copy, truth = (score(animate, probe)[0] for animate in (copied, known))
    assert copy["psnr_subject_driver"] is None  # infinite
    assert copy["psnr_subject"] < 25
    assert truth["psnr_subject"] is None
    assert truth["psnr_subject_driver"] == copy["psnr_subject"]
    assert truth["plc"] == 0 < truth["plc_static"]


def test_a_motion_can_be_named():
    turned = puppet_case(950_001, frames=3, size=SIZE, motion="turn")
    np.testing.assert_array_equal(turned.truth, puppet_clip(950_001, 3, SIZE, motion="turn").frames)
