"""Outputs against inputs, as paths and files alone; the programs' own are in tests/sample/test_outputs.py."""

import dataclasses
import os

import pytest

from jaxanim.errors import InputError
from jaxanim.media.files import atomic_path
from jaxanim.media.outputs import check_outputs, paths_in, sheet_beside


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "frames").mkdir()
    (tmp_path / "a.png").write_text("a")
    (tmp_path / "b.mp4").write_text("b")
    (tmp_path / "frames" / "1.png").write_text("1")
    (tmp_path / "linked.png").symlink_to("a.png")
    (tmp_path / "short").symlink_to("frames")
    os.link(tmp_path / "a.png", tmp_path / "hard.png")
    os.link(tmp_path / "frames" / "1.png", tmp_path / "elsewhere.png")
    return tmp_path


CLASHES = [
    ("a.png", "a.png", "which --in .*a.png is too"),
    ("frames/../a.png", "a.png", "is too"),
    ("a.png", "linked.png", "is too"),
    ("linked.png", "a.png", "is too"),
    ("hard.png", "a.png", "is too"),
    ("frames", "frames/1.png", "the folder in which --in .*1.png is"),
    ("short", "frames/1.png", "the folder in which --in .* is"),
    ("frames/new.png", "frames", "a file in the folder that --in .*frames is"),
    ("short/new.png", "frames", "a file in the folder that --in .* is"),
    ("elsewhere.png", "frames", "which is one of the files of --in .*frames"),
    (".", "a.png", "the folder in which --in .* is"),
]


@pytest.mark.parametrize(("write", "read", "sentence"), CLASHES)
def test_what_is_read_is_not_written(folder, write, read, sentence):
    with pytest.raises(InputError, match=rf"^--out is .*{sentence}; name another"):
        check_outputs({"--out": folder / write}, {"--none": None, "--in": folder / read})


@pytest.mark.parametrize(("write", "read"), [
    ("new.mp4", "a.png"), ("b.mp4", "a.png"), ("a.mp4", "a.png"), ("frames/sub/new.png", "frames"), ("A.png", "a.png"),
    ("frames_", "frames/1.png"), ("new/folder", "frames"), ("frames/clip", "frames"), ("a.png", "gone.png"),
])  # fmt: skip
def test_anything_else_may_be(folder, write, read):
    check_outputs({"--out": folder / write, "--other": None}, {"--in": folder / read})


def test_two_outputs_have_two_names(folder):
    with pytest.raises(InputError, match=r"--sheet is .*X.png, which is --out too"):
        check_outputs({"--out": folder / "x.png", "--sheet": folder / "frames" / ".." / "X.png"}, {})


def test_the_sheet_goes_out_of_the_way(folder):
    assert sheet_beside(folder / "b.mp4", {"--in": folder / "a.png"}) == folder / "b.png"
    assert sheet_beside(folder / "a.mp4", {"--in": folder / "a.png"}) == folder / "a_sheet.png"
    assert sheet_beside(folder / "hard.mp4", {"--in": folder / "a.png"}) == folder / "hard_sheet.png"


def test_a_configs_paths_are_those_that_exist(folder):
    @dataclasses.dataclass
    class Inner:
        base: str = str(folder / "frames")
        words: str = "no such thing"
        count: int = 3

    @dataclasses.dataclass
    class Outer:
        task: Inner = dataclasses.field(default_factory=Inner)
        init_from: str | None = None
        empty: str = ""

    assert paths_in(Outer()) == {"task.base": str(folder / "frames")}


def test_a_link_is_written_through_and_stays(folder):
    (folder / "out.png").symlink_to("frames/far.png")
    with atomic_path(folder / "out.png") as path:
        assert path.parent == folder / "frames"
        path.write_text("new")
    assert (folder / "out.png").is_symlink()
    assert (folder / "frames" / "far.png").read_text() == "new"
