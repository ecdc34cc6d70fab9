"""Folders of videos as a source: puppets written by their program, read back as a user's data."""

import numpy as np
import pytest

from jaxanim.data.folders import FolderClips, nearest
from jaxanim.errors import InputError
from jaxanim.media.images import resize_and_crop
from jaxanim.puppets import puppet_clip
from jaxanim.puppets.export import write_clip


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    root = tmp_path_factory.mktemp("dataset")
    for seed in (3, 4):
        write_clip(root / f"puppet{seed}", puppet_clip(seed, 12, (64, 64)))
    return root


def test_elements_are_frames_of_the_videos_with_their_parts(dataset):
    source = FolderClips(str(dataset), frames=5, clips=2, size=(64, 64))
    assert len(source) == 4
    truth = puppet_clip(4, 12, (64, 64))
    element = source[3]
    for frame, parts in zip(element["frames"], element["parts"], strict=True):
        errors = np.abs(truth.frames.astype(int) - frame).mean((1, 2, 3))
        moment = errors.argmin()
        assert errors[moment] < 4
        assert np.mean(truth.parts[moment] == parts) > 0.98
    assert element["prompt"].item().decode() == truth.prompt


def test_consecutive_clips_have_a_reference_from_another_moment(dataset):
    element = FolderClips(str(dataset), frames=4, spacing="consecutive", size=(32, 32))[0]
    assert element["frames"].shape == (4, 32, 32, 3)
    assert element["reference"].shape == (32, 32, 3)
    assert not any(np.array_equal(element["reference"], frame) for frame in element["frames"])


def test_label_maps_are_cut_as_pictures_are():
    ids = np.zeros((1, 40, 64), np.uint8)
    ids[:, 10:30, 22:42] = 7
    picture = resize_and_crop(np.repeat(ids[..., None] * 30, 3, -1), (20, 20))[0, ..., 0]
    assert np.mean((picture > 105) == (nearest(ids, (20, 20))[0] == 7)) > 0.95


def test_new_files_make_a_new_source(dataset):
    before = FolderClips(str(dataset), frames=4)
    (dataset / "puppet3" / "prompt.txt").write_text("a longer description than before\n")
    assert FolderClips(str(dataset), frames=4) != before


def test_folders_that_cannot_be_used(dataset, tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        FolderClips(str(tmp_path / "none"))
    with pytest.raises(InputError, match="has no videos"):
        FolderClips(str(tmp_path))
    with pytest.raises(InputError, match="has 12 frames; 40 are needed"):
        FolderClips(str(dataset), frames=40)[0]
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "video.mp4").write_bytes(b"x")
    with pytest.raises(InputError, match=r"has no densepose\.mp4"):
        FolderClips(str(tmp_path))
