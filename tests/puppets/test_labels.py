"""Keypoints lie in their parts, confidences tell what is seen, and paint order is occlusion order."""

import numpy as np
import pytest

from jaxanim.puppets import KINDS, make_character, make_motion, puppet_clip, render
from jaxanim.puppets.kinds import kind_of
from jaxanim.puppets.motion import Motion

_OWN = {  # OpenPose body point -> DensePose parts on either side of it
    "elbow_r": {16, 18, 20, 22}, "elbow_l": {15, 17, 19, 21}, "knee_r": {7, 9, 11, 13}, "knee_l": {8, 10, 12, 14},
    "wrist_r": {20, 22, 3}, "wrist_l": {19, 21, 4}, "ankle_r": {11, 13, 6}, "ankle_l": {12, 14, 5}, "nose": {23, 24},
}  # fmt: skip


def _part_at(parts, point):
    return parts[round(float(point[1])), round(float(point[0]))]


@pytest.mark.parametrize("seed", [950_000, 950_007, 950_021])
def test_seen_body_points_lie_in_their_own_parts(seed):
    clip = puppet_clip(seed, 40, (96, 96), frame_indices=range(0, 40, 8))
    seen = 0
    for f in range(5):
        for name, own in _OWN.items():
            point = clip.points[f, clip.skeleton.points.index(name)]
            if point[2] == 1:
                seen += 1
                assert _part_at(clip.parts[f], point) in own
            elif point[2] == 0.5:
                assert _part_at(clip.parts[f], point) not in own
    assert seen > 20


def test_hand_and_face_points_lie_in_hands_and_faces():
    motion = make_motion("wave", 10, seed=4)
    clip = render(make_character(4), motion, (256, 256), frame_indices=[0, 9])
    for f in range(2):
        for side, part in ((0, 4), (1, 3)):
            fingers = clip.keypoints.hands[f, side, 1:]
            ids = [_part_at(clip.parts[f], p) for p in fingers if p[2] == 1]
            assert set(ids) <= {part}
        face = clip.keypoints.face[f, 0]
        assert (face[:, 2] == 1).sum() > 40
        x0, y0, x1, y1 = clip.face_box[f]
        inside = (face[:, 0] > x0 - 1) & (face[:, 0] < x1 + 1) & (face[:, 1] > y0 - 1) & (face[:, 1] < y1 + 1)
        assert inside.all()


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "human"])
def test_most_points_of_other_kinds_are_on_the_character(kind):
    clip = puppet_clip(31, 20, (128, 128), kind, frame_indices=range(0, 20, 4))
    in_frame = clip.points[..., 2] > 0
    on_body = [
        clip.mask[f, round(float(y)), round(float(x))] > 0
        for f in range(5)
        for (x, y, c) in clip.points[f]
        if c > 0
    ]
    assert in_frame.mean() > 0.8
    assert np.mean(on_body) > 0.85


def test_confidence_is_zero_out_of_the_frame_and_behind_the_head():
    path = np.tile([0.0, 0.35, 2.2], (1, 1))  # the feet are below the picture
    clip = render(make_character(5), make_motion("idle", 1, seed=5), (96, 96), camera=path)
    ankles = clip.points[0, [10, 13]]
    assert (ankles[:, 1] > 95).all()
    assert (ankles[:, 2] == 0).all()
    away = _with(make_motion("idle", 1, seed=5), head_turn=np.array([[np.pi, 0.0, 0.0]]))
    clip = render(make_character(5), away, (96, 96))
    assert clip.points[0, 0, 2] == 0  # nose
    assert (clip.keypoints.face[0, 0, 27:36, 2] == 0).all()


def _with(motion, **channels):
    return Motion(motion.kind, motion.name, motion.fps, {**motion.channels, **channels})


def _arm_to(motion, side, forward):
    """The forearm laid across the belly, before or behind it."""
    across = np.array([1.0 if side == "r" else -1.0, 0.0, 0.3 * forward])
    across = (across / np.linalg.norm(across))[None]
    down = np.array([[0.0, -0.95, 0.31 * forward]])
    return _with(
        motion, **{f"bone_upper_arm_{side}": down, f"bone_forearm_{side}": across, f"bone_hand_{side}": across}
    )


def test_an_arm_before_the_body_hides_it_and_one_behind_is_hidden():
    character = make_character(12)
    idle = make_motion("idle", 1, seed=3)
    idle = _with(idle, **{
        "bone_shoulders": np.array([[1.0, 0, 0]]), "bone_hips": np.array([[1.0, 0, 0]]), "bone_spine": np.array([[0, 1.0, 0]]),
    })  # fmt: skip
    before = render(character, _arm_to(idle, "r", 1.0), (128, 128))
    behind = render(character, _arm_to(idle, "r", -1.0), (128, 128))
    forearm = [np.isin(clip.parts[0], (20, 22)) for clip in (before, behind)]
    torso = [np.isin(clip.parts[0], (1, 2)) for clip in (before, behind)]
    assert forearm[0].sum() > 2 * forearm[1].sum()
    assert (forearm[0] & torso[1]).sum() > 50
    wrist = before.skeleton.points.index("wrist_r")
    assert before.points[0, wrist, 2] == 1
    assert behind.points[0, wrist, 2] == 0.5


def test_turning_round_exchanges_the_arms_and_shows_the_back():
    character = make_character(12)
    idle = make_motion("idle", 1, seed=3)
    half = {name: v * np.array([-1.0, 1.0, -1.0]) for name, v in idle.channels.items() if name.startswith("bone_")}
    turned = _with(idle, head_turn=idle["head_turn"] + np.array([[np.pi, 0, 0]]), **half)
    front, back = render(character, idle, (128, 128)), render(character, turned, (128, 128))
    shoulders = [clip.points[0, [2, 5], 0] for clip in (front, back)]
    assert shoulders[0][0] < shoulders[0][1]
    assert shoulders[1][0] > shoulders[1][1]
    count = [np.bincount(clip.parts.ravel(), minlength=25) for clip in (front, back)]
    assert count[0][2] > 5 * count[0][1]
    assert count[1][1] > 5 * count[1][2]
    assert min(count[1][11:13]) > 5 * max(1, max(count[0][11:13]))


@pytest.mark.parametrize("kind", KINDS)
def test_every_style_moves_smoothly(kind):
    """No point jumps: the second difference of its path at 25 frames a second stays small."""
    character = make_character(6, kind)
    for style in kind_of(kind).styles:
        motion = make_motion(style, 50, kind, seed=6)
        points = kind_of(kind).build(character, motion).points
        step = np.linalg.norm(np.diff(points, axis=0), axis=-1)
        jerk = np.linalg.norm(np.diff(points, n=2, axis=0), axis=-1)
        assert step.max() < 0.17, (style, step.max())
        assert jerk.max() < 0.09, (style, jerk.max())
        assert step.max() > 0.001, style


def test_the_face_blinks_and_the_mouth_opens():
    base = make_motion("idle", 1, seed=1)
    calm, open_, shut = base["face"].copy(), base["face"].copy(), base["face"].copy()
    calm[:, 0], calm[:, 3] = 0, 0
    shut[:, 0], open_[:, 3], open_[:, 0] = 1, 1, 0
    clips = [render(make_character(1), _with(base, face=face), (128, 128)) for face in (calm, shut, open_)]
    eye = [np.ptp(clip.keypoints.face[0, 0, 36:42, 1]) for clip in clips]
    mouth = [np.ptp(clip.keypoints.face[0, 0, 60:68, 1]) for clip in clips]
    assert eye[1] < 0.3 * eye[0]
    assert mouth[2] > mouth[0] + 2
    assert (clips[0].frames != clips[1].frames).any()
    assert (clips[0].frames != clips[2].frames).any()
