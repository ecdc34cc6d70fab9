"""DirectAnimator learns from videos in folders, and from pseudo driving videos beside them."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from jaxanim.cues import beside
from jaxanim.cues.driving import Labels
from jaxanim.errors import InputError
from jaxanim.media.images import resize_and_crop
from jaxanim.media.video import read_video, write_video
from jaxanim.puppets import make_character, puppet_clip
from jaxanim.puppets.export import write_clip
from jaxanim.systems.directanimator.cues import cue_triplet
from jaxanim.systems.directanimator.folder_pairs import FolderPairs
from jaxanim.systems.directanimator.losses import Same2X
from jaxanim.systems.directanimator.pairs import FIELDS, Pairs
from jaxanim.systems.directanimator.task import DirectAnimatorRecipe
from jaxanim.training.feed import Feed
from tests.systems.planned import assert_planned
from tests.systems.test_directanimator_program import write_world
from tests.systems.test_directanimator_training import CONFIG, CUES, step

FINE = {"crf": 0, "pixel_format": "yuv444p"}
LENGTH = 12


def write_pseudo(folder, seed, size, frames=LENGTH):
    """Another puppet in the motion of one, with what lies beside a pseudo driving video."""
    clip = puppet_clip(seed, frames, size, character=make_character(seed + 7), reference=False)
    folder.mkdir(parents=True)
    write_video(folder / "video.mp4", clip.frames, **FINE)
    beside.write_masks(folder / "mask.mp4", clip.mask, clip.fps)
    beside.write_boxes(folder / "faces.json", clip.face_box, size)
    return clip


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Videos to learn from, two of another form than the third, and one to test with; weights of stage 1."""
    root = tmp_path_factory.mktemp("folders")
    write_world(root)
    for place, seed, size in (("train/a", 11, (32, 32)), ("train/b", 12, (32, 32)), ("train/c", 13, (32, 64))):
        write_clip(root / "own" / place, puppet_clip(seed, LENGTH, size))
    write_clip(root / "own" / "test" / "d", puppet_clip(14, LENGTH, (32, 32)))
    write_pseudo(root / "own" / "train" / "a" / "pseudo" / "one", 11, (32, 32))
    write_pseudo(root / "own" / "train" / "a" / "pseudo" / "two", 11, (32, 32), frames=10)
    write_pseudo(root / "own" / "train" / "a" / "dropped" / "three", 11, (32, 32))
    write_pseudo(root / "own" / "train" / "c" / "pseudo" / "one", 13, (32, 64))
    write_pseudo(root / "own" / "test" / "d" / "pseudo" / "one", 14, (32, 32))
    return root


@pytest.fixture
def pairs(world, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the cache
    return FolderPairs(str(world / "own"), pseudo=True, buckets=((9, 32, 32), (9, 32, 64)), cues=CUES)


def test_an_element_is_a_video_and_another_person_in_its_motion(world, pairs):
    assert isinstance(pairs, Pairs)
    square, wide = pairs.shapes()
    assert (len(square), len(wide)) == (2, 1)  # of a both, but not what was dropped; b has none
    assert (pairs.frames, pairs.size) == (9, (32, 64))
    pair = square[0]
    assert {name: value.shape for name, value in pair.items()} == {
        "frames": (9, 32, 32, 3), "reference": (32, 32, 3),
        **{f"{prefix}{name}": (9, 32, 32, 3)[: 4 if name in ("pose", "face") else 3]
           for prefix in ("", "pseudo_") for name in FIELDS},
    }  # fmt: skip
    # Which frames, by the pictures themselves.
    folder = world / "own" / "train" / "a"
    video = read_video(folder / "truth.mp4")[0]
    start = next(k for k in range(LENGTH) if np.array_equal(video[k], pair["frames"][0]))
    at = slice(start, start + 9)
    np.testing.assert_array_equal(pair["frames"], video[at])
    where = [k for k in range(LENGTH) if np.array_equal(video[k], pair["reference"])]
    assert where
    assert not set(where) & set(range(start, start + 9))
    masks = read_video(folder / "mask.mp4")[0][at, ..., 0]
    boxes = np.array(json.loads((folder / "skeleton.json").read_text())["face_box"], np.float32)[at]
    same = cue_triplet(Labels({"video": video[at]}, masks=masks, face_boxes=boxes), Labels(), (32, 32), CUES)
    for name in FIELDS:
        np.testing.assert_array_equal(pair[name], getattr(same, name), err_msg=name)
    # Out of place (App. A.2), the location cue is not.
    still = dataclasses.replace(pairs, scale=1.0, shift=0.0).shapes()[0][0]
    other = read_video(folder / "pseudo" / "one" / "video.mp4")[0][at]
    held = json.loads((folder / "pseudo" / "one" / "faces.json").read_text())["face_box"]
    their_masks = read_video(folder / "pseudo" / "one" / "mask.mp4")[0][at, ..., 0]
    theirs = Labels({"video": other}, masks=their_masks, face_boxes=np.array(held, np.float32)[at])
    unmoved = cue_triplet(theirs, Labels(), (32, 32), CUES)
    np.testing.assert_array_equal(still["pseudo_pose"], unmoved.pose)
    np.testing.assert_array_equal(still["pseudo_face"], unmoved.face)
    assert (pair["pseudo_pose"] != still["pseudo_pose"]).any()
    for one in (pair, still):
        np.testing.assert_array_equal(one["pseudo_body_mask"], one["body_mask"])
    assert wide[0]["frames"].shape == (9, 32, 64, 3)


def test_videos_alone_are_for_the_first_stage(pairs):
    alone = dataclasses.replace(pairs, pseudo=False, buckets=((9, 16, 16),), clips=2)
    (only,) = alone.shapes()
    assert len(only) == 6
    assert {name for name in only[5] if "pseudo" in name} == set()
    assert (only[4]["frames"] != only[5]["frames"]).any()
    video = read_video(only.takes[0].video)[0]
    small = resize_and_crop(video, (16, 16))
    assert any(np.array_equal(only[0]["frames"], small[k : k + 9]) for k in range(4))


def test_both_stages_learn_from_folders(world, pairs):
    start = str(world / "weights")
    recipe = DirectAnimatorRecipe(2, CONFIG, pairs, start=start, same2x=Same2X(depth=2))
    task = recipe.open()
    first, again = (task.batches(Feed(batch_size=2)) for _ in range(2))
    batches = [first[k] for k in range(6)]
    shapes = [batch["latents"].shape for batch in batches]
    assert set(shapes) == {(2, 3, 4, 4, 4), (2, 3, 4, 8, 4)}  # of one size each, both come up
    jax.tree.map(np.testing.assert_array_equal, batches[1], again[1])
    largest = dataclasses.replace(recipe, pairs=dataclasses.replace(pairs, buckets=((9, 32, 64),)))
    assert_planned(largest.plan(2), batches[shapes.index((2, 3, 4, 8, 4))])
    _, logs = step(task, task.init(jax.random.key(0)))
    assert set(logs) == {"denoising", "alignment"}
    assert [one["image"].shape[0] for one in task.held_out(1)] == [1]
    with pytest.raises(InputError, match="batch_size is 2: fewer pairs of each size"):
        task.held_out(2)
    assert task.sheet(task.init(jax.random.key(0)), jax.random.key(1)).ndim == 3


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"buckets": ((8, 32, 32),)}, r"buckets is \(\(8, 32, 32\),\): .*8 n \+ 1"),
        ({"buckets": ()}, "buckets is"),
        ({"clips": 0}, "clips is 0"),
        ({"scale": 0.5}, "scale is 0.5"),
        ({"cues": dataclasses.replace(CUES, pose="skeleton")}, "no skeleton maps"),
    ],
)
def test_impossible_pairs_are_refused(fields, message):
    with pytest.raises(InputError, match=message):
        FolderPairs("anywhere", **fields)


def test_what_is_missing_is_named(pairs, world, tmp_path, capsys):
    with pytest.raises(InputError, match="folder nowhere has no train videos"):
        FolderPairs("nowhere").shapes()
    with pytest.raises(InputError, match="has no video of 18 frames or more: give a shorter bucket"):
        dataclasses.replace(pairs, buckets=((17, 32, 32),)).shapes()
    assert "3 of 3 videos" in capsys.readouterr().err
    bare = tmp_path / "bare" / "a"
    bare.mkdir(parents=True)
    write_video(bare / "video.mp4", np.zeros((10, 32, 32, 3), np.uint8), **FINE)
    alone = FolderPairs(str(bare.parent))
    with pytest.raises(InputError, match=r"video folder .*a has no faces.json: run `python -m train.pseudo"):
        alone.shapes()
    beside.write_boxes(bare / "faces.json", np.zeros((10, 4), np.float32), (32, 32))
    with pytest.raises(InputError, match=r"has no mask.mp4"):
        alone.shapes()
    beside.write_masks(bare / "mask.mp4", np.zeros((10, 32, 32), np.uint8), 25)
    with pytest.raises(InputError, match=r"has no pseudo driving videos: run .*, with --references"):
        dataclasses.replace(alone, pseudo=True).shapes()
    with pytest.raises(InputError, match="has no folder test"):
        alone.held_out(2)
    short = dataclasses.replace(alone, buckets=((9, 32, 32),)).shapes()[0]
    with pytest.raises(InputError, match=r"video.mp4, frames . to .: the driving video has no foreground"):
        short[0]
