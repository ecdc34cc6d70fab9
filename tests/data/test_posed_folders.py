"""A user's own videos with keypoints, in the form that the puppet program writes them."""

import numpy as np
import pytest

from jaxanim.cues import openpose
from jaxanim.data.posed_folders import PosedFolders
from jaxanim.errors import InputError
from jaxanim.puppets import puppet_clip
from jaxanim.puppets.export import write_clip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("videos")
    for seed in (3, 4):
        write_clip(root / str(seed), puppet_clip(seed, 12, (60, 40)))
    return root


def test_frames_points_and_reference_share_a_crop_and_a_size(folder):
    source = PosedFolders(str(folder), frames=4, clips=2, spacing="consecutive", side=80)
    assert len(source) == 4
    element, clip = source[2], puppet_clip(4, 12, (60, 40))
    assert element["frames"].shape == (4, 80, 80, 3)
    assert element["poses"].shape == (4, 128, 3)
    assert element["reference"].shape == (80, 80, 3)
    assert element["prompt"].item().decode() == clip.prompt
    # Doubled and moved by one offset: every seen body point agrees with the clip's own.
    whole = openpose.pack(clip.keypoints)
    matches = []
    for first in range(9):
        for top in range(21):
            there = whole[first : first + 4] - np.array([0, top, 0])
            kept = element["poses"][..., 2] > 0
            moved = 2 * (there[..., :2] + 0.5) - 0.5
            if np.abs(moved - element["poses"][..., :2])[kept].max() < 0.02:
                matches.append((first, top))
    assert len(matches) == 1
    first, top = matches[0]
    small = element["frames"].reshape(4, 40, 2, 40, 2, 3).mean((2, 4))
    assert np.abs(small - clip.frames[first : first + 4, top : top + 40]).mean() < 4


def test_spread_frames_and_crops_differ_from_clip_to_clip(folder):
    source = PosedFolders(str(folder), frames=4, clips=3, side=40)
    assert "reference" not in source[0]
    assert not np.array_equal(source[0]["frames"], source[1]["frames"])
    np.testing.assert_array_equal(source[1]["poses"], PosedFolders(str(folder), 4, 3, side=40)[1]["poses"])


def test_what_is_wrong_with_a_folder_is_named(folder, tmp_path):
    with pytest.raises(InputError, match="which does not exist"):
        PosedFolders(str(tmp_path / "none"))
    with pytest.raises(InputError, match="has no videos"):
        PosedFolders(str(tmp_path))
    with pytest.raises(InputError, match="13 are needed"):
        PosedFolders(str(folder), frames=12, spacing="consecutive")[0]
    write_clip(tmp_path / "a", puppet_clip(3, 6, (32, 32)))
    next((tmp_path / "a" / "openpose").iterdir()).unlink()
    with pytest.raises(InputError, match=r"openpose has 5 JSON files, its video 6 frames"):
        PosedFolders(str(tmp_path), frames=2)[0]
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "video.mp4").write_bytes(b"")
    with pytest.raises(InputError, match="b has no folder openpose"):
        PosedFolders(str(tmp_path))
