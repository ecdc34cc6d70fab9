"""Captured motion: directions are kept, lengths are the character's, gaps are filled, bad folders are named."""

import json

import numpy as np
import pytest

from jaxanim.cues import openpose
from jaxanim.errors import InputError
from jaxanim.puppets import human, make_character, make_motion, motion_from_openpose, render

_LIMBS = ((2, 3), (3, 4), (5, 6), (6, 7), (8, 9), (9, 10), (11, 12), (12, 13))


def _points(character, motion):
    """Body points in pixels of a picture 512 high, without painting it."""
    return human.build(character, motion).points * np.array([512, -512]) + np.array([255.5, 480])


def _write(folder, xy, drop=()):
    body = np.concatenate([xy, np.ones((*xy.shape[:2], 1))], -1).astype(np.float32)
    for frame, point in drop:
        body[frame, point] = 0
    hands, face = np.zeros((len(body), 2, 21, 3), np.float32), np.zeros((len(body), 1, 68, 3), np.float32)
    folder.mkdir()
    openpose.write(folder, openpose.Keypoints(body[:, None], hands, face))
    return folder


def _capture(frames=40, style="wave"):
    """A 'capture': another puppet's own points."""
    return _points(make_character(3), make_motion(style, frames, seed=3))


def test_limbs_point_as_captured_and_are_as_long_as_the_characters(tmp_path):
    captured, character = _capture(), make_character(950_002)
    fitted = _points(character, motion_from_openpose(_write(tmp_path / "c", captured), character))
    for a, b in _LIMBS:
        want, got = (p[:, b] - p[:, a] for p in (captured, fitted))
        cosine = np.sum(want * got, -1) / (np.linalg.norm(want, axis=-1) * np.linalg.norm(got, axis=-1))
        long = np.linalg.norm(want, axis=-1) > 0.6 * np.linalg.norm(want, axis=-1).max()
        assert np.degrees(np.arccos(np.clip(cosine[long], -1, 1))).max() < 14
    arm = np.linalg.norm(fitted[:, 3] - fitted[:, 2], axis=-1) / (512 * character.body.height)
    assert 0.9 * character.body.upper_arm < arm.max() < 1.02 * character.body.upper_arm


def test_foreshortening_is_kept(tmp_path):
    captured, character = _capture(), make_character(950_004)
    share = np.interp(np.arange(40), [0, 10, 20, 39], [1, 1, 0.3, 0.9])
    captured[:, 4] = captured[:, 3] + share[:, None] * np.array([70.0, 0.0])  # a level forearm turns to the viewer
    fitted = _points(character, motion_from_openpose(_write(tmp_path / "c", captured), character))
    length = (fitted[:, 4, 0] - fitted[:, 3, 0]) / (512 * character.body.height * character.body.forearm)
    assert np.corrcoef(length, share)[0, 1] > 0.99
    assert np.abs(length / length.max() - share).max() < 0.06


def test_a_missing_wrist_is_filled_smoothly(tmp_path):
    captured, character = _capture(), make_character(1)
    whole, holes = (
        _points(character, motion_from_openpose(_write(tmp_path / name, captured, drop), character))
        for name, drop in (("whole", []), ("holes", [(f, 4) for f in range(10, 15)]))
    )
    step = [np.linalg.norm(np.diff(p[:, 4], axis=0), axis=-1).max() for p in (whole, holes)]
    assert step[1] < 1.5 * step[0]
    assert np.abs(whole[:, 4] - holes[:, 4]).max() < 60
    np.testing.assert_allclose(whole[22:, 4], holes[22:, 4], atol=0.5)


def test_points_never_seen_are_stood_in_for(tmp_path):
    never = [(f, p) for f in range(8) for p in (9, 10, 12, 13, 14, 15, 16, 17)]
    character = make_character(1)
    motion = motion_from_openpose(_write(tmp_path / "c", _capture(8), never), character)
    fitted = _points(character, motion)
    assert np.isfinite(fitted).all()
    assert (fitted[:, 10, 1] > fitted[:, 8, 1] + 60).all()
    assert render(character, motion, (64, 64), frame_indices=[0]).mask.any()


def test_25_point_bodies_are_read(tmp_path):
    body = np.pad(_capture(3), ((0, 0), (0, 0), (0, 1)), constant_values=1.0)
    _write(tmp_path / "c", body[..., :2])
    folder = tmp_path / "b25"
    folder.mkdir()
    for k, points in enumerate(body):
        wide = np.insert(points, 8, (points[8] + points[11]) / 2, axis=0)
        wide = np.concatenate([wide, np.zeros((6, 3))])
        person = {"pose_keypoints_2d": [round(float(v), 3) for v in wide.ravel()]}
        (folder / f"{k:03d}.json").write_text(json.dumps({"people": [person]}))
    np.testing.assert_allclose(openpose.read(folder).body, openpose.read(tmp_path / "c").body, atol=2e-3)


@pytest.mark.parametrize(
    ("files", "word"),
    [
        ({}, "no OpenPose JSON"),
        ({"a.json": "{"}, "a.json"),
        ({"a.json": '{"people": []}'}, "no person"),
        ({"a.json": json.dumps({"people": [{"pose_keypoints_2d": [0.0] * 54}]})}, "no person in it"),
        (
            {"a.json": json.dumps({"people": [{"pose_keypoints_2d": [40.0, 50.0, 1.0] * 2 + [0.0] * 48}]})},
            "neither",
        ),
    ],
)
def test_bad_folders_are_named(tmp_path, files, word):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=word):
        motion_from_openpose(tmp_path, make_character(1))


def test_only_humans_perform_captured_motion(tmp_path):
    with pytest.raises(InputError, match="fish"):
        motion_from_openpose(tmp_path, make_character(1, "fish"))
