"""The program from words to pictures, on tiny random weights."""

import re

import av
import numpy as np
import pytest

from jaxanim.media.images import read_image, write_png
from jaxanim.media.video import read_video, write_video
from jaxanim.models.tokenizer import build_word_tokenizer
from jaxanim.systems.stable_diffusion.system import save
from sample.generate import main
from tests.systems.test_stable_diffusion import IMAGE, VIDEO, params_of


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """{"image": folder, "video": folder, "plain": folder without ControlNet}"""
    import dataclasses

    folders = {}
    without = dataclasses.replace(IMAGE, controlnet=None)
    for name, config, source in (("image", IMAGE, IMAGE), ("video", VIDEO, VIDEO), ("plain", without, IMAGE)):
        folder = tmp_path_factory.mktemp(name)
        tokenizer = build_word_tokenizer(["red", "bird"], folder / "tokenizer", length=8)
        save(params_of(source), config, tokenizer, folder)
        folders[name] = folder
    return folders


@pytest.fixture
def command(weights, tmp_path):
    """A function from changed options to the arguments; True is a flag, None leaves one out."""

    def build(**changes):
        options = {"weights": weights["image"], "prompt": "red bird", "out": tmp_path / "made" / "out.png"}
        given = {name: value for name, value in (options | changes).items() if value is not None}
        words = []
        for name, value in given.items():
            words += [f"--{name.replace('_', '-')}"] + ([] if value is True else [str(value)])
        return words

    return build


def test_a_picture_of_the_default_size_and_another(command, tmp_path, capsys):
    assert main(command()) == 0
    assert read_image(tmp_path / "made" / "out.png").shape == (32, 32, 3)
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["out.png"]
    assert "32x32 in" in capsys.readouterr().out
    assert main(command(size="48x16", sheet=tmp_path / "sheet.png")) == 0
    assert read_image(tmp_path / "made" / "out.png").shape == (16, 48, 3)
    assert read_image(tmp_path / "sheet.png").shape[1] > 48


def test_same_seed_same_picture_and_other_words_another(command, tmp_path):
    made = {}
    for name, change in (("a", {}), ("b", {}), ("seed", {"seed": 1}), ("negative", {"negative": "bird"})):
        assert main(command(out=tmp_path / f"{name}.png", **change)) == 0
        made[name] = read_image(tmp_path / f"{name}.png")
    np.testing.assert_array_equal(made["a"], made["b"])
    for name in ("seed", "negative"):
        assert (made[name] != made["a"]).any()


def test_a_video_that_plays_and_its_sheet(command, weights, tmp_path):
    out = tmp_path / "v.mp4"
    assert main(command(weights=weights["video"], out=out, frames=5, window=3, overlap=1)) == 0
    with av.open(out) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height, stream.frames, float(stream.average_rate)) == (32, 32, 5, 8)
    assert read_image(tmp_path / "v.png").shape[1] > 5 * 32


def test_control_by_a_picture_or_a_video(command, weights, tmp_path):
    pose = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    write_png(tmp_path / "pose.png", pose)
    write_video(tmp_path / "pose.mp4", np.stack([pose, pose[::-1], pose]))
    for name, change in (("with", {"control": tmp_path / "pose.png"}), ("without", {})):
        assert main(command(out=tmp_path / f"{name}.png", **change)) == 0
    assert (read_image(tmp_path / "with.png") != read_image(tmp_path / "without.png")).any()
    moving = {"weights": weights["video"], "frames": 3, "control": tmp_path / "pose.mp4"}
    assert main(command(out=tmp_path / "v.mp4", **moving)) == 0
    assert len(read_video(tmp_path / "v.mp4")[0]) == 3


@pytest.mark.slow
def test_less_memory_nearly_the_same_picture(command, tmp_path):
    """32x32 latents' pixels, so that tiles of 64 are several."""
    assert main(command(out=tmp_path / "a.png", size="136x72")) == 0
    exact = {"guidance_in_turn": True, "frames_at_once": 1, "vae_tile": 64}
    assert main(command(out=tmp_path / "b.png", size="136x72", **exact)) == 0
    assert main(command(out=tmp_path / "c.png", size="136x72", dtype="float16", **exact)) == 0
    a, b, c = (read_image(tmp_path / f"{name}.png").astype(int) for name in "abc")
    assert np.abs(a - b).max() <= 1
    assert 0 < np.abs(a - c).mean() < 8


# name -> (changed options from (tmp_path, weights), what the sentence has to say)
BAD = {
    "no prompt": (lambda t, w: {"prompt": None}, "required: --prompt"),
    "no weights": (lambda t, w: {"weights": t / "none"}, "weights folder .*none does not exist"),
    "size": (lambda t, w: {"size": "50x64"}, "--size 50x64: .*multiples of 8; the nearest such sizes are"),
    "size in words": (lambda t, w: {"size": "large"}, "'large' is not a size"),
    "frames of a picture": (lambda t, w: {"frames": 4}, "out.png, a picture, and --frames is 4; name a video"),
    "video of images": (lambda t, w: {"out": t / "v.mp4"}, "has no motion modules, so it makes pictures, not v.mp4"),
    "control without": (
        lambda t, w: {"weights": w["plain"], "control": t / "c.png"}, "no network 'controlnet', which --control needs",
    ),
    "no control": (lambda t, w: {"control": t / "c.png"}, "image .*c.png does not exist"),
    "suffix": (lambda t, w: {"out": t / "o.gif"}, r"--out is .*o.gif: the name has to end in \.png or"),
    "sheet over out": (lambda t, w: {"out": t / "o.png", "sheet": t / "o.png"}, "which is --out too"),
    "steps": (lambda t, w: {"steps": 0}, "--steps: '0' is not a whole number"),
    "guidance": (lambda t, w: {"guidance": "nan"}, "--guidance: 'nan' is not a number"),
    "dtype": (lambda t, w: {"dtype": "int8"}, "--dtype: invalid choice: 'int8'"),
    "tile": (lambda t, w: {"vae_tile": 8}, "--vae-tile: '8' is not a whole number of at least 64"),
    "overlap": (lambda t, w: {"window": 4, "overlap": 4}, "--overlap is 4; it has to be less than --window"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_sentence_code_2_and_nothing_written(case, command, weights, tmp_path, capsys):
    change, sentence = BAD[case]
    try:
        code = main(command(**change(tmp_path, weights)))
    except SystemExit as stop:
        code = stop.code
    assert code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("sample.generate: ")
    assert re.search(sentence, err), err
    assert list(tmp_path.iterdir()) == []


def test_help_teaches(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    for word in ("--negative", "--guidance-in-turn", "lighthouse", "seeds give other pictures"):
        assert word in text
