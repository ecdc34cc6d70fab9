import json
import re
import shutil

import av
import chex
import numpy as np
import pytest

from jaxanim.media.images import read_image, write_png
from jaxanim.media.video import read_video, write_video
from sample.animate import main
from tests.sample.conftest import write_openpose


@pytest.fixture
def command(puppet, tiny, tmp_path):
    """A function from changed options (None removes one) to the arguments; OUT is in a folder of its own."""

    def build(**changes):
        options = {
            "reference": puppet / "reference.png",
            "motion": puppet / "densepose.mp4",
            "out": tmp_path / "made" / "out.mp4",
            "weights": tiny[0],
        } | changes
        given = {name: value for name, value in options.items() if value is not None}
        return [text for name, value in given.items() for text in (f"--{name.replace('_', '-')}", str(value))]

    return build


def test_writes_a_video_that_plays_and_a_sheet(command, tiny, tmp_path):
    assert main(command()) == 0
    with av.open(tmp_path / "made" / "out.mp4") as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.pix_fmt == "yuv420p"
        assert (stream.width, stream.height, stream.frames) == (48, 64, 10)
        assert float(stream.average_rate) == 25
    assert sorted(path.name for path in (tmp_path / "made").iterdir()) == ["out.mp4", "out.png"]
    assert tiny[1] == [{"steps": 3, "guidance": 2.0, "shape": (10, 64, 48, 3)}]


def test_truth_prints_the_promised_json_last(command, puppet, capsys):
    assert main(command(truth=puppet / "truth.mp4", seed=3)) == 0
    line = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert {
        "system",
        "frames",
        "seconds",
        "psnr",
        "ssim",
        "psnr_subject",
        "psnr_static",
        "psnr_subject_static",
    } <= set(line)
    assert line["system"] == "magicanimate"
    assert line["frames"] == 10
    assert (line["size"], line["steps"], line["guidance"], line["seed"]) == ("48x64", 3, 2.0, 3)
    assert 5 < line["psnr_subject"] < line["psnr"] < 40
    assert line["temporal_error"] > line["temporal_error_static"]


def test_metrics_are_those_of_the_pixels(command, puppet, tiny, capsys):
    """With weights that show the reference alone and next to no noise, the result is the static baseline."""
    from jaxanim.weights import load_weights, save_weights

    config, _ = load_weights(tiny[0])["mix"]
    save_weights(tiny[0], {"mix": (config, {"share": np.zeros(4, np.float32)})}, system="magicanimate")
    assert main(command(truth=puppet / "truth.mp4")) == 0
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert line["psnr"] == pytest.approx(line["psnr_static"], abs=1.5)
    truth, _ = read_video(puppet / "truth.mp4")
    error = truth.astype(float) - read_image(puppet / "reference.png").astype(float)
    expected = np.mean([10 * np.log10(255**2 / (frame**2).mean()) for frame in error])
    assert line["psnr_static"] == pytest.approx(expected, abs=1e-3)


def test_without_a_mask_the_subjects_metrics_are_null_and_it_says_so(command, puppet, tmp_path, capsys):
    shutil.copy(puppet / "truth.mp4", tmp_path / "truth.mp4")
    assert main(command(truth=tmp_path / "truth.mp4")) == 0
    *_, note, line = capsys.readouterr().out.splitlines()
    assert "mask" in note
    assert json.loads(line)["psnr_subject"] is None
    assert main(command(truth=tmp_path / "truth.mp4", mask=puppet / "mask.mp4")) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["psnr_subject"] > 5


@pytest.mark.parametrize("form", ["images", "openpose"])
def test_folders_are_read_and_fps_is_kept(command, puppet, tiny, tmp_path, form):
    assert main(command(motion=puppet / form, frames=6, fps=10)) == 0
    assert tiny[1][0]["shape"] == (6, 64, 48, 3)
    assert read_video(tmp_path / "made" / "out.mp4")[1] == 10
    # Neither kind of folder says its speed: then it is the system's.
    assert main(command(motion=puppet / form, frames=6, out=tmp_path / "b.mp4")) == 0
    assert read_video(tmp_path / "b.mp4")[1] == 12


def test_same_seed_same_frames_and_another_seed_others(command, tmp_path):
    """Compared on the lossless sheet: the H.264 encoder itself does not always repeat itself to the bit."""
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert main(command(seed=seed, columns=10, out=tmp_path / f"{name}.mp4")) == 0
    a, b, c = (read_image(tmp_path / f"{name}.png") for name in "abc")
    chex.assert_trees_all_equal(a, b)
    assert (a != c).any()


def test_options_reach_the_system_and_the_size_is_kept(command, tiny, tmp_path):
    assert main(command(size="64x40", steps=2, guidance=1, window=6, overlap=2, windows_at_once=1, frames=7)) == 0
    expected = {
        "steps": 2,
        "guidance": 1.0,
        "shape": (7, 40, 64, 3),
        "window": 6,
        "overlap": 2,
        "windows_at_once": 1,
    }
    assert tiny[1] == [expected]
    frames, _ = read_video(tmp_path / "made" / "out.mp4")
    chex.assert_shape(frames, (7, 40, 64, 3))


def test_a_large_reference_is_animated_at_the_size_trained_for(command, tiny, tmp_path):
    write_png(tmp_path / "large.png", np.full((300, 200, 3), 90, np.uint8))
    assert main(command(reference=tmp_path / "large.png")) == 0
    assert tiny[1][0]["shape"] == (10, 80, 56, 3)


def test_sheet_has_a_row_for_each_video(command, puppet, tmp_path):
    assert main(command(truth=puppet / "truth.mp4", sheet=tmp_path / "sheet.png", columns=5)) == 0
    sheet = read_image(tmp_path / "sheet.png")
    assert sheet.shape[0] > 4 * 64
    assert 5 * 48 < sheet.shape[1] < 6 * 48 + 100


def blank(path, value=(68, 1, 84)):
    write_video(path, np.broadcast_to(np.array(value, np.uint8), (10, 64, 48, 3)))
    return path


def corrupt(path):
    path.write_bytes(b"\x00\x01 not a picture" * 50)
    return path


def cut(source, path):
    path.write_bytes(source.read_bytes()[: source.stat().st_size // 3])
    return path


def folder_with(path, **files):
    path.mkdir()
    for name, text in files.items():
        (path / name.replace("_dot_", ".")).write_text(text)
    return path


def spoiled(weights, path, change):
    shutil.copytree(weights, path)
    change(path)
    return path


def another_system(folder):
    description = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(description | {"system": "magicpose"}))


def ordinary_video(path):
    write_video(path, np.random.default_rng(0).integers(0, 256, (10, 64, 48, 3), dtype=np.uint8))
    return path


def nobody(path):
    write_openpose(path, np.zeros((10, 0, 18, 3)))
    return path


def unseen(path):
    write_openpose(path, np.zeros((10, 1, 18, 3)))
    return path


# name -> (changed options from (tmp_path, puppet, weights), what the sentence has to say)
BAD = {
    "no reference": (lambda t, p, w: {"reference": t / "none.png"}, "image .*none.png does not exist"),
    "corrupt reference": (lambda t, p, w: {"reference": corrupt(t / "r.png")}, "r.png cannot be read"),
    "cut reference": (lambda t, p, w: {"reference": cut(p / "reference.png", t / "r.png")}, "r.png cannot be read"),
    "video as reference": (lambda t, p, w: {"reference": p / "truth.mp4"}, "truth.mp4 cannot be read"),
    "no motion": (lambda t, p, w: {"motion": t / "none.mp4"}, "motion .*none.mp4 does not exist"),
    "corrupt motion": (lambda t, p, w: {"motion": corrupt(t / "m.mp4")}, "m.mp4 cannot be read"),
    "cut motion": (lambda t, p, w: {"motion": cut(p / "densepose.mp4", t / "m.mp4")}, "m.mp4 cannot be read"),
    "empty folder": (lambda t, p, w: {"motion": folder_with(t / "m")}, "holds no images and no OpenPose"),
    "other JSON": (lambda t, p, w: {"motion": folder_with(t / "m", a_dot_json="{}")}, "not an OpenPose JSON"),
    "nobody in video": (lambda t, p, w: {"motion": blank(t / "m.mp4")}, "no person in it: all of its 10 frames"),
    "black video": (lambda t, p, w: {"motion": blank(t / "m.mp4", (0, 0, 0))}, "no person in it"),
    "nobody in JSON": (lambda t, p, w: {"motion": nobody(t / "m")}, "no person in any of its 10 frames"),
    "unseen in JSON": (lambda t, p, w: {"motion": unseen(t / "m")}, "no person in it"),
    "ordinary video": (lambda t, p, w: {"motion": ordinary_video(t / "m.mp4")}, "not a DensePose video.*purple"),
    "size": (lambda t, p, w: {"size": "50x64"}, "multiples of 8; the nearest such sizes are 48x64 and 56x64"),
    "size in words": (lambda t, p, w: {"size": "large"}, "--size: 'large' is not a size such as"),
    "size of nothing": (lambda t, p, w: {"size": "0x64"}, "--size: '0x64' is not a size"),
    "too many frames": (lambda t, p, w: {"frames": 11}, "--frames is 11, but --motion .* has only 10 frames"),
    "frames of JSON": (lambda t, p, w: {"frames": 11, "motion": p / "openpose"}, "has only 10 frames"),
    "no frames": (lambda t, p, w: {"frames": 0}, "--frames: '0' is not a whole number of at least 1"),
    "no weights": (lambda t, p, w: {"weights": t / "none"}, "weights folder .*none does not exist"),
    "weights of another system": (
        lambda t, p, w: {"weights": spoiled(w, t / "w", another_system)}, "of system 'magicpose', not of 'magicanimate'",
    ),
    "truncated weights": (
        lambda t, p, w: {"weights": spoiled(w, t / "w", lambda f: cut(w / "mix.safetensors", f / "mix.safetensors"))},
        "mix.safetensors is cut short or damaged",
    ),
    "missing weights": (
        lambda t, p, w: {"weights": spoiled(w, t / "w", lambda f: (f / "mix.safetensors").unlink())}, "is missing",
    ),
    "unknown system": (lambda t, p, w: {"system": "mystery"}, "--system: invalid choice: 'mystery'"),
    "steps": (lambda t, p, w: {"steps": 0}, "--steps: '0' is not a whole number of at least 1 and at most 1000"),
    "steps in words": (lambda t, p, w: {"steps": "many"}, "--steps: 'many' is not a whole number"),
    "guidance": (lambda t, p, w: {"guidance": "nan"}, "--guidance: 'nan' is not a number of at least 0"),
    "seed": (lambda t, p, w: {"seed": -1}, "--seed: '-1' is not a whole number of at least 0"),
    "fps": (lambda t, p, w: {"fps": 0}, "--fps: '0' is not a number above 0"),
    "overlap": (lambda t, p, w: {"overlap": 4}, "--overlap is 4; it has to be less than --window, which is 4"),
    "unknown option": (lambda t, p, w: {"colour": "red"}, "unrecognized arguments: --colour red"),
    "no out": (lambda t, p, w: {"out": None}, "required: --out"),
    "out is no video": (lambda t, p, w: {"out": t / "made" / "out.txt"}, r"has to end in \.mp4 or"),
    "out is a folder": (lambda t, p, w: {"out": folder_with(t / "d.mp4")}, "d.mp4, which is a folder"),
    "out below a file": (lambda t, p, w: {"out": p / "truth.mp4" / "out.mp4"}, "nothing can be written in .*truth.mp4"),
    "sheet": (lambda t, p, w: {"sheet": t / "made" / "s.gif"}, r"--sheet is .*s.gif: the name has to end in \.png"),
    "no truth": (lambda t, p, w: {"truth": t / "none.mp4"}, "none.mp4 does not exist"),
    "corrupt truth": (lambda t, p, w: {"truth": corrupt(t / "t.mp4")}, "t.mp4 cannot be read"),
    "mask alone": (lambda t, p, w: {"mask": p / "mask.mp4"}, "--mask .* serves only with --truth"),
    "no mask": (lambda t, p, w: {"truth": p / "truth.mp4", "mask": t / "none.mp4"}, "none.mp4 does not exist"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_sentence_code_2_and_nothing_written(case, command, puppet, tiny, tmp_path, capsys):
    change, sentence = BAD[case]
    arguments = command(**change(tmp_path, puppet, tiny[0]))
    before = {path for folder in (tmp_path, puppet) for path in folder.rglob("*")}
    try:
        code = main(arguments)
    except SystemExit as stop:
        code = stop.code
    assert code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("sample.animate: ")
    assert re.search(sentence, err), err
    assert {path for folder in (tmp_path, puppet) for path in folder.rglob("*")} == before
    assert tiny[1] == []


def test_truth_shorter_than_the_video_is_refused(command, puppet, tmp_path, capsys):
    write_video(tmp_path / "short.mp4", read_video(puppet / "truth.mp4")[0][:6])
    assert main(command(truth=tmp_path / "short.mp4", frames=8)) == 2
    assert "--truth" in capsys.readouterr().err
