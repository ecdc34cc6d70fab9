"""The puppet world as a source: what elements hold, and that they are what the puppets render."""

import numpy as np
import pytest

from jaxanim.data.puppets import PuppetClips
from jaxanim.errors import InputError
from jaxanim.puppets import puppet_clip


def test_consecutive_frames_are_a_stretch_of_the_seeds_motion():
    source = PuppetClips(seeds=(40, 3), frames=4, spacing="consecutive", span=30, size=(32, 24))
    element = source[1]
    assert len(source) == 3
    assert element["frames"].shape == (4, 32, 24, 3)
    assert element["parts"].shape == (4, 32, 24)
    whole = puppet_clip(41, 30, (32, 24))
    starts = [i for i in range(27) if np.array_equal(whole.frames[i : i + 4], element["frames"])]
    assert starts
    assert element["prompt"].item().decode() == whole.prompt
    assert not any(np.array_equal(element["reference"], frame) for frame in element["frames"][:1])


def test_spread_frames_differ_more_and_are_the_same_every_time():
    source = PuppetClips(seeds=(7, 1), frames=4, span=60, size=(32, 32))
    again = PuppetClips(seeds=(7, 1), frames=4, span=60, size=(32, 32))
    assert all(np.array_equal(source[0][name], again[0][name]) for name in ("frames", "parts"))
    near = PuppetClips(seeds=(7, 1), frames=4, spacing="consecutive", span=60, size=(32, 32))

    def change(frames):
        return np.abs(np.diff(frames.astype(float), axis=0)).mean()

    assert change(source[0]["frames"]) > change(near[0]["frames"])
    assert "reference" not in source[0]


@pytest.mark.parametrize(
    ("fields", "message"),
    [({"spacing": "random"}, "spacing is 'random'"), ({"frames": 9, "span": 8}, "frames is 9")],
)
def test_impossible_clips_are_named(fields, message):
    with pytest.raises(InputError, match=message):
        PuppetClips(**fields)
