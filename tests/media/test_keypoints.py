"""Keypoint files of every kind that people have, each against the plain one that shows the same."""

import json

import numpy as np
import pytest

from jaxanim.errors import InputError
from jaxanim.media.files import in_order
from jaxanim.media.keypoints import PARTS, in_pixels, read_people

FIELDS = {"pose": (18, 18), "hand_left": (21, 21), "hand_right": (21, 21), "face": (70, 68)}
# A standing body, feet down, in the order of the 18.
BODY = [(50, 20), (50, 35), (40, 35), (35, 50), (32, 65), (60, 35), (65, 50), (68, 65), (44, 65), (43, 85), (42, 105),
        (56, 65), (57, 85), (58, 105), (47, 17), (53, 17), (43, 19), (57, 19)]  # fmt: skip


def person(move=0.0, **changes):
    """OpenPose's fields of a person, `move` to the right: {name without ending: [points, 3]}."""
    rng = np.random.default_rng(0)
    points = {"pose": np.array(BODY, float)} | {
        name: rng.uniform(20, 60, (count, 2)) for name, (count, _) in FIELDS.items() if name != "pose"
    }
    full = {name: np.column_stack([xy + [move, 0], np.ones(len(xy))]).round(3) for name, xy in points.items()}
    return full | changes


def flat(people):
    return [{f"{name}_keypoints_2d": np.ravel(points).tolist() for name, points in one.items()} for one in people]


def write(folder, frames, **more):
    folder.mkdir()
    for i, people in enumerate(frames):
        (folder / f"{i}.json").write_text(json.dumps({"version": 1.3, "people": flat(people), **more}))
    return folder


def same(a, b, atol=1e-3):
    assert a.fields.keys() == b.fields.keys()
    for name, values in a.fields.items():
        np.testing.assert_allclose(values, b.fields[name], atol=atol)


@pytest.fixture
def frames():
    return [[person(move)] for move in range(12)]


@pytest.fixture
def plain(frames, tmp_path):
    return read_people(write(tmp_path / "plain", frames))


def test_the_plain_kind_is_what_was_written(frames, plain):
    assert plain.canvas is None
    for name, (_, count) in FIELDS.items():
        values = plain.fields[f"{name}_keypoints_2d"]
        assert values.shape == (12, 1, count, 3)
        # The files 0.json to 11.json are in number order.
        np.testing.assert_allclose(values[:, 0], [people[0][name][:count] for people in frames], atol=1e-3)


def test_number_order_with_leading_zeros_or_without(tmp_path):
    names = ["b1.json", "a10.json", "a9.json", "a_2", "a_10", "a_1x3", "a_1x20", "007", "08", "9"]
    ordered = ["007", "08", "9", "a9.json", "a10.json", "a_1x3", "a_1x20", "a_2", "a_10", "b1.json"]
    assert [path.name for path in in_order(tmp_path / name for name in names)] == ordered


def test_parts_of_the_picture(frames, plain, tmp_path):
    def divided(one):
        return {name: points / [200, 100, 1] for name, points in one.items()}

    parts = read_people(write(tmp_path / "parts", [[divided(one) for one in people] for people in frames]))
    assert parts.canvas == PARTS
    pixels = in_pixels(parts.fields, parts.canvas, (100, 200))
    np.testing.assert_allclose(pixels["pose_keypoints_2d"], plain.fields["pose_keypoints_2d"], atol=1e-3)
    folder = write(
        tmp_path / "c", [[divided(one) for one in people] for people in frames], canvas_width=200, canvas_height=100
    )
    said = read_people(folder)
    assert said.canvas == (100, 200)
    same(said, plain)


def test_the_canvas_is_honoured_and_one_for_all(frames, plain, tmp_path):
    folder = write(tmp_path / "canvas", frames, canvas_width=200, canvas_height=100)
    assert read_people(folder).canvas == (100, 200)
    same(read_people(folder), plain)
    twice = {name: points * [2, 2, 1] for name, points in frames[11][0].items()}
    content = {"people": flat([twice]), "canvas_width": 400, "canvas_height": 200}
    (folder / "11.json").write_text(json.dumps(content))
    same(read_people(folder), plain)


@pytest.mark.parametrize("word", [float("nan"), float("inf"), None])
def test_what_is_no_number_is_missing(frames, plain, tmp_path, word):
    texts = flat(frames[3])
    texts[0]["pose_keypoints_2d"][12:15] = [word, word, 1.0]
    folder = write(tmp_path / "nan", frames)
    (folder / "3.json").write_text(json.dumps({"people": texts}))
    read = read_people(folder)
    assert not read.fields["pose_keypoints_2d"][3, 0, 4].any()
    plain.fields["pose_keypoints_2d"][3, 0, 4] = 0
    same(read, plain)


def test_pairs_are_confident(frames, plain, tmp_path):
    pairs = [[{name: points[:, :2].copy() for name, points in one.items()} for one in people] for people in frames]
    pairs[2][0]["pose"][4] = 0
    read = read_people(write(tmp_path / "pairs", pairs))
    plain.fields["pose_keypoints_2d"][2, 0, 4] = 0
    same(read, plain)


def test_points_in_rows_are_points(frames, plain, tmp_path):
    folder = write(tmp_path / "rows", frames)
    rows = {f"{name}_keypoints_2d": points.tolist() for name, points in frames[0][0].items()}
    (folder / "0.json").write_text(json.dumps({"people": [rows]}))
    same(read_people(folder), plain)


def test_other_numbers_of_points(frames, plain, tmp_path):
    body = frames[0][0]["pose"]
    order = [0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18]
    body_25 = np.full((25, 3), 7.0)
    body_25[order] = body
    # COCO's own order: nose, eyes, ears, shoulders, elbows, wrists, hips, knees, ankles, the left one first.
    coco = body[[0, 15, 14, 17, 16, 5, 2, 6, 3, 7, 4, 11, 8, 12, 9, 13, 10]]
    cut = body[:17]
    for kind, points in {"25": body_25, "coco": coco, "cut": cut}.items():
        read = read_people(write(tmp_path / kind, [[person(pose=points)]])).fields["pose_keypoints_2d"][0, 0]
        want = body.copy()
        want[17] = 0 if kind == "cut" else want[17]
        np.testing.assert_allclose(read, want, atol=1e-3, err_msg=kind)
    face = frames[0][0]["face"]
    for count in (56, 68, 70):
        read = read_people(write(tmp_path / f"face {count}", [[person(face=face[:count])]]))
        got = read.fields["face_keypoints_2d"][0, 0]
        np.testing.assert_allclose(got[: min(count, 68)], face[: min(count, 68)], atol=1e-3)
        assert not got[count:].any()


def test_counts_may_differ_from_frame_to_frame(frames, plain, tmp_path):
    frames[4][0]["face"] = frames[4][0]["face"][:68]
    del frames[5][0]["face"]
    read = read_people(write(tmp_path / "mixed", frames))
    plain.fields["face_keypoints_2d"][5] = 0
    same(read, plain)


def test_all_frames_in_one_file_alone_or_in_a_folder(frames, plain, tmp_path):
    listed = [{"version": 1.3, "people": flat(people)} for people in frames]
    (tmp_path / "one").mkdir()
    path = tmp_path / "one" / "all.json"
    for content in (listed, [flat(people) for people in frames]):
        path.write_text("\ufeff" + json.dumps(content), encoding="utf-8")
        same(read_people(path), plain)
        same(read_people(path.parent), plain)
        assert read_people(path, 5).fields["pose_keypoints_2d"].shape == (5, 1, 18, 3)


def test_a_list_of_people_is_a_frame(tmp_path):
    two = [person(), person(30)]
    (tmp_path / "a.json").write_text(json.dumps(flat(two)))
    same(read_people(tmp_path / "a.json"), read_people(write(tmp_path / "b", [two])))


@pytest.mark.parametrize(("field", "values", "sentence"), [
    ("pose", [1.0] * 57, "pose_keypoints_2d has 19 points; it should have 17 or 18 or 25 points"),
    ("pose", [1.0] * 55, "pose_keypoints_2d has 55 numbers; it should have 17"),
    ("pose", [[1.0, 2, 1]] * 12, "pose_keypoints_2d has 12 points"),
    ("pose", [[1.0, 2, 1, 4]] * 18, r"pose_keypoints_2d has the form \[18, 4\]"),
    ("pose", ["left", "right"], "pose_keypoints_2d holds no numbers"),
    ("pose", [[1, 2, 3], [1]], "pose_keypoints_2d holds no numbers"),
    ("pose", {"a": 1}, "pose_keypoints_2d holds no numbers"),
    ("hand_left", [1.0] * 60, "hand_left_keypoints_2d has 20 points; it should have 21 points"),
    ("face", [1.0] * 150, "face_keypoints_2d has 50 points; it should have 56 or 68 or 70 points"),
])  # fmt: skip
def test_other_forms_are_refused_by_name_and_number(tmp_path, field, values, sentence):
    content = flat([person()])
    content[0][f"{field}_keypoints_2d"] = values
    (tmp_path / "a.json").write_text(json.dumps({"people": content}))
    with pytest.raises(InputError, match=rf"^pose .*a\.json.*{sentence}"):
        read_people(tmp_path)


@pytest.mark.parametrize("text", ["[]", "{}", "3", "null", '"a"', "[1, 2]", '{"people": 3}', '{"people": [1]}', "[[[1]]]",
                                  '{"people": {"a": 1}}', '{"people": [], "canvas_width": "wide", "canvas_height": 3}', "{"])  # fmt: skip
def test_other_json_is_refused(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(InputError, match=r"is not an OpenPose JSON|has no person"):
        read_people(tmp_path)
