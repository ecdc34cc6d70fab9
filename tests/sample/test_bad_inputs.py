"""Bad inputs, made from kinds times programs times options: each is one sentence and exit code 2, nothing is written,
and nothing was traced for it."""

import contextlib
import itertools
import json
from types import SimpleNamespace

import av
import jax
import numpy as np
import pytest
from PIL import Image

import sample.generate
from jaxanim.convert.__main__ import main as convert
from jaxanim.media.images import write_png
from jaxanim.media.video import write_video
from jaxanim.puppets import __main__ as puppets_program
from jaxanim.systems.base import Grid, Sampling
from sample.animate import main as animate
from sample.evaluate import main as evaluate
from sample.generate import main as generate
from train.parts import main as parts
from train.run import main as train

TOY = "tests/training/toy.py"


def puppets(arguments):
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.argv", ["puppets", *arguments])
            puppets_program.main()
    except SystemExit as stop:
        return stop.code
    return 0


NAMES = {animate: "animate", generate: "generate", evaluate: "evaluate", convert: "convert", puppets: "puppets",
         parts: "parts", train: "train"}  # fmt: skip


def text(path, content="no such thing, but long enough to be looked into\n" * 20):
    path.write_text(content)
    return path


def cut(source, path, share=0.4):
    content = source.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


def empty(path):
    path.touch()
    return path


def folder(path, **files):
    path.mkdir()
    for name, content in files.items():
        (path / name.replace("_", ".")).write_text(content)
    return path


def floats(path):
    Image.fromarray(np.array([[0, np.nan]], np.float32)).save(path)
    return path


def sound(path):
    with av.open(path, "w") as container:
        stream = container.add_stream("pcm_s16le", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def mixed(path, puppet):
    folder(path, a_json='{"people": []}')
    write_png(path / "b.png", np.zeros((4, 4, 3), np.uint8))
    return path


def sizes(path, puppet):
    write_png(path / "a.png", np.zeros((4, 4, 3), np.uint8))
    write_png(path / "b.png", np.zeros((4, 6, 3), np.uint8))
    return path


# kind -> what makes it at (a path without suffix, the puppet's folder)
PICTURES = {
    "missing": lambda path, puppet: path.with_suffix(".png"),
    "empty": lambda path, puppet: empty(path.with_suffix(".png")),
    "text": lambda path, puppet: text(path.with_suffix(".jpg")),
    "page": lambda path, puppet: text(path.with_suffix(".webp"), "<!doctype html><title>404</title>"),
    "cut": lambda path, puppet: cut(puppet / "reference.png", path.with_suffix(".png")),
    "folder": lambda path, puppet: folder(path),
    "video": lambda path, puppet: cut(puppet / "truth.mp4", path.with_suffix(".png"), 1.0),
    "no levels": lambda path, puppet: floats(path.with_suffix(".tiff")),
    "other bytes": lambda path, puppet: text(path.with_suffix(".gif"), "GIF89a" + "\x01" * 40),
}
VIDEOS = {
    "missing": lambda path, puppet: path.with_suffix(".mp4"),
    "empty": lambda path, puppet: empty(path.with_suffix(".mp4")),
    "text": lambda path, puppet: text(path.with_suffix(".mp4")),
    "page": lambda path, puppet: text(path.with_suffix(".mp4"), "<!doctype html><title>404</title>" * 50),
    "cut": lambda path, puppet: cut(puppet / "densepose.mp4", path.with_suffix(".mp4")),
    "header alone": lambda path, puppet: cut(puppet / "densepose.mp4", path.with_suffix(".mp4"), 0.02),
    "sound": lambda path, puppet: sound(path.with_suffix(".mkv")),
}
MOTIONS = {
    "no files": lambda path, puppet: folder(path),
    "other files": lambda path, puppet: folder(path, readme_txt="hello"),
    "hidden files": lambda path, puppet: folder(path, _hidden_png="x"),
    "both kinds": mixed,
    "two sizes": sizes,
    "background": lambda path, puppet: (
        write_video(path.with_suffix(".mp4"), np.full((3, 64, 48, 3), (68, 1, 84), np.uint8))
        or path.with_suffix(".mp4")
    ),
    "another cue": lambda path, puppet: puppet / "truth.mp4",
}
PERSON = {"pose_keypoints_2d": [20.0, 30.0, 1.0] * 18}
CONTENTS = {
    "no JSON": "{broken", "nothing": "", "number": "3", "null": "null", "word": '"people"', "list of numbers": "[1, 2]",
    "no people": "{}", "people is a number": '{"people": 3}', "people of numbers": '{"people": [1, 2]}',
    "people by name": '{"people": {"a": {}}}', "nobody": '{"people": []}', "nobody in a list": '[{"people": []}]',
    "no body": json.dumps({"people": [{"face_keypoints_2d": [1.0] * 210}]}),
    "no field": '{"people": [{"id": 4}]}',
    "unseen": json.dumps({"people": [{"pose_keypoints_2d": [0.0] * 54}]}),
    "unlikely": json.dumps({"people": [{"pose_keypoints_2d": [20.0, 30.0, 0.01] * 18}]}),
    "all NaN": json.dumps({"people": [{"pose_keypoints_2d": [float("nan")] * 54}]}),
    "19 points": json.dumps({"people": [{"pose_keypoints_2d": [1.0] * 57}]}),
    "55 numbers": json.dumps({"people": [{"pose_keypoints_2d": [1.0] * 55}]}),
    "words": json.dumps({"people": [{"pose_keypoints_2d": ["left", "right"]}]}),
    "ragged": json.dumps({"people": [{"pose_keypoints_2d": [[1, 2, 3], [1]]}]}),
    "four in a row": json.dumps({"people": [{"pose_keypoints_2d": [[1, 2, 3, 4]] * 18}]}),
    "20 of a hand": json.dumps({"people": [PERSON | {"hand_left_keypoints_2d": [1.0] * 60}]}),
    "50 of a face": json.dumps({"people": [PERSON | {"face_keypoints_2d": [1.0] * 150}]}),
    "canvas in words": json.dumps({"people": [PERSON], "canvas_width": "wide", "canvas_height": 4}),
    "canvas below 1": json.dumps({"people": [PERSON], "canvas_width": 0.5, "canvas_height": 4}),
}  # fmt: skip
WEIGHTS = {
    "missing": lambda path, puppet: path,
    "file": lambda path, puppet: text(path),
    "empty": lambda path, puppet: folder(path),
    "no JSON": lambda path, puppet: folder(path, config_json="{"),
    "list": lambda path, puppet: folder(path, config_json="[]"),
    "other format": lambda path, puppet: folder(path, config_json='{"format": 99}'),
    "other system": lambda path, puppet: folder(path, config_json='{"format": 1, "system": "x", "networks": {}}'),
    "no networks": lambda path, puppet: folder(path, config_json='{"format": 1, "system": "magicanimate"}'),
    "diffusers' config": lambda path, puppet: folder(path, config_json='{"_class_name": "UNet2DConditionModel"}'),
}
CHECKPOINTS = {
    "missing": lambda path, puppet: path,
    "empty": lambda path, puppet: empty(path.with_suffix(".safetensors")),
    "text": lambda path, puppet: text(path.with_suffix(".ckpt")),
    "page": lambda path, puppet: text(path.with_suffix(".safetensors"), "<!doctype html>" * 9),
    "no weights": lambda path, puppet: folder(path),
    "our own": lambda path, puppet: folder(path, config_json='{"format": 1}'),
    "broken config": lambda path, puppet: folder(path, config_json="{", model_safetensors="x"),
    "two files": lambda path, puppet: folder(path, a_ckpt="x", b_ckpt="x"),
}
WORDS = ("many", "", "nan", "-3", "1e99")
INTEGERS = ("1.5",)
REALS = ("inf", "1,5", "1e9")
SIZES = ("64", "axb", "0x64", "-8x64", "8.5x8")


def files(program, option, kinds, more=()):
    for kind, make in kinds.items():
        name = " ".join([option, kind, *(f"with {more_option}" for more_option, _ in more)])
        yield program, name, lambda tmp, puppet, make=make: {option: make(tmp / "bad", puppet)} | dict(more)


def values(program, option, words, more=()):
    for word in words:
        yield program, f"{option}={word}", lambda tmp, puppet, word=word: {option: word} | dict(more)


def keypoints(program):
    for kind, content in CONTENTS.items():
        yield (
            program,
            f"--motion {kind}",
            lambda tmp, puppet, content=content: {"--motion": folder(tmp / "bad", a_json=content)},
        )


def here(program, kind, **options):
    """Options by name; {tmp} and {puppet} in their values stand for the folders."""

    def change(tmp, puppet):
        (tmp / "file").write_text("a file")
        return {f"--{k.replace('_', '-')}": v and v.format(tmp=tmp, puppet=puppet) for k, v in options.items()}

    return program, kind, change


CASES = [
    *files(animate, "--reference", PICTURES), *files(generate, "--control", PICTURES),
    *files(animate, "--motion", VIDEOS | MOTIONS), *files(animate, "--truth", VIDEOS),
    *files(animate, "--mask", VIDEOS, [("--truth", "truth")]),
    *files(generate, "--control", {kind: make for kind, make in VIDEOS.items() if kind != "sound"}, [("--out", "video")]),
    *keypoints(animate), *keypoints(puppets),
    *files(animate, "--weights", WEIGHTS), *files(parts, "--appearance", WEIGHTS), *files(parts, "--base", WEIGHTS),
    *files(convert, "SRC", CHECKPOINTS), *files(convert, "--vae", CHECKPOINTS), *files(convert, "--base", CHECKPOINTS),
    *itertools.chain.from_iterable(
        values(program, option, words)
        for program, options in {
            animate: ("frames", "seed", "steps", "window", "overlap", "columns", "windows-at-once", "vae-tile"),
            generate: ("frames", "seed", "steps", "columns"), evaluate: ("frames",), puppets: ("frames", "seed"),
        }.items() for option, words in ((f"--{name}", WORDS + INTEGERS) for name in options)
    ),
    *values(animate, "--guidance", WORDS + REALS), *values(animate, "--fps", (*WORDS, *REALS, "0")),
    *values(generate, "--guidance", WORDS + REALS), *values(generate, "--control-scale", WORDS + REALS),
    *values(generate, "--fps", (*WORDS, *REALS, "0")), *values(evaluate, "--limit-minutes", ("many", "nan", "-1", "inf")),
    *values(animate, "--size", SIZES), *values(animate, "--pose-size", SIZES), *values(generate, "--size", SIZES),
    *values(puppets, "--size", (*SIZES, "8x8", "99999x64")),
    *values(evaluate, "--seeds", ("5", "5:5", "9:3", "a:b", "-1:3", "1:2:3")),
    *values(animate, "--system", ("mystery", "", "Magicanimate")), *values(puppets, "--camera", ("crane", "")),
    *values(puppets, "--character", ("centaur", "")), *values(convert, "--dtype", ("float8", "int8", "")),
    *values(animate, "--dtype", ("float64", "int8")),
    here(animate, "out suffix", out="{tmp}/a.gif"), here(animate, "out without suffix", out="{tmp}/a"),
    here(animate, "out below a file", out="{tmp}/file/a.mp4"), here(animate, "out a folder", out="{puppet}"),
    here(animate, "out the motion", out="{puppet}/densepose.mp4"), here(animate, "sheet suffix", sheet="{tmp}/a.jpg"),
    here(animate, "sheet the reference", sheet="{puppet}/reference.png"), here(animate, "no out", out=None),
    here(animate, "no reference", reference=None), here(animate, "no motion", motion=None),
    here(animate, "unknown option", colour="red"), here(animate, "mask alone", mask="{puppet}/mask.mp4"),
    here(animate, "too many frames", frames="11"), here(animate, "size not of the grid", size="50x64"),
    here(animate, "overlap of a window", overlap="4", window="4"),
    here(generate, "out suffix", out="{tmp}/a.webp"), here(generate, "out below a file", out="{tmp}/file/a.png"),
    here(generate, "frames of a picture", frames="3"), here(generate, "no prompt", prompt=None),
    here(generate, "out the control", control="{puppet}/reference.png", out="{puppet}/reference.png"),
    here(generate, "sheet is out", sheet="{tmp}/out.png"),
    here(evaluate, "motions missing", motions="{tmp}/none"), here(evaluate, "motions a file", motions="{tmp}/file"),
    here(evaluate, "motions empty", motions="{tmp}"), here(evaluate, "only the unknown", ablations="", only="x"),
    here(puppets, "out a file", out="{tmp}/file"), here(puppets, "out with other files", out="{puppet}"),
    here(puppets, "motion missing", motion="{tmp}/none"), here(puppets, "motion of a video", motion="{puppet}/truth.mp4"),
    here(convert, "tokenizer without files", tokenizer="{tmp}"),
    *[(train, kind, lambda tmp, puppet, arguments=arguments: {"": arguments}) for kind, arguments in {
        "no config": ["none.py"], "no Python": ["README.md"], "no experiment": ["jaxanim/errors.py"],
        "unknown field": [TOY, "step=1"], "words": [TOY, "steps=many"], "no value": [TOY, "steps"],
        "below": [TOY, "steps=0"], "infinite": [TOY, "learning_rate=-1"], "nothing inside": [TOY, "steps.a=1"],
        "unknown choice": [TOY, "schedule=wavy"], "nothing to resume": [TOY, "--resume"],
        "no other run": [TOY, "init_from=nowhere"], "host alone": [TOY, "--process", "1"],
    }.items()],
]  # fmt: skip


def arguments_of(program, changes, tmp, puppet, tiny, config):
    """The arguments of a call that would do, with changes made; None takes an option away."""
    if program is train:
        return [*changes[""], "--workdir", str(tmp / "run")]
    usual = {
        animate: {"--reference": puppet / "reference.png", "--motion": puppet / "densepose.mp4", "--weights": tiny,
                  "--out": tmp / "out.mp4"},
        generate: {"--weights": "stub", "--prompt": "a bird", "--out": tmp / "out.png"},
        evaluate: {"": config, "--seeds": "950000:950001", "--out": tmp / "out"},
        puppets: {"--seed": "3", "--size": "64x64", "--out": tmp / "out"},
        convert: {"SRC": tmp / "none.safetensors", "DST": tmp / "out"},
        parts: {"OUT": tmp / "out", "--base": tiny, "--appearance": tiny},
    }[program] | changes  # fmt: skip
    if usual.get("--truth") == "truth":
        usual["--truth"] = puppet / "truth.mp4"
    if usual["--out" if "--out" in usual else next(iter(usual))] == "video":
        usual["--out"] = tmp / "out.mp4"
    flat = []
    for name, value in usual.items():
        if value is not None:
            flat += (
                [str(value)]
                if not name.startswith("--")
                else [f"{name}={value}"]
                if value != "" or name != "--ablations"
                else [name]
            )
    return flat


@pytest.fixture(scope="module")
def traced():
    """What jax has traced so far, as a list that grows."""
    seen = []

    def listen(event, *_, **__):
        if "trace" in event or "compile" in event:
            seen.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    return seen


@pytest.fixture
def stub(monkeypatch):
    """A system of words that is never called, in place of generate's."""
    unet = SimpleNamespace(motion="modules")
    config = SimpleNamespace(unet=unet, controlnet="there")
    system = SimpleNamespace(defaults=Sampling(size=(64, 64), window=4, overlap=1), config=config, grid=Grid(8))
    monkeypatch.setattr(sample.generate, "generator", lambda *arguments, **options: system)


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp("config") / "tiny_eval.py"
    path.write_text(
        "from jaxanim.metrics.evaluate import Evaluation\n"
        'config = Evaluation("tiny", "magicanimate", "no weights", (64, 48), 4)\n'
    )
    return path


def tree(*folders):
    return {
        path: path.is_file() and (path.stat().st_size, path.stat().st_mtime_ns)
        for root in folders
        for path in root.rglob("*")
    }


@pytest.mark.parametrize(("program", "change"), [
    pytest.param(program, change, id=f"{NAMES[program]} {kind}") for program, kind, change in CASES
])  # fmt: skip
def test_one_sentence_code_2_nothing_written_nothing_traced(
    program, change, tmp_path, puppet, tiny, stub, config, traced, capsys
):
    arguments = arguments_of(program, change(tmp_path, puppet), tmp_path, puppet, tiny[0], config)
    before, count = tree(tmp_path, puppet), len(traced)
    code = None
    with contextlib.suppress(SystemExit):
        try:
            code = program(arguments)
        except SystemExit as stop:
            code = stop.code
    out, err = capsys.readouterr()
    assert code == 2, (out, err)
    assert out == ""
    assert err.count("\n") == 1, err
    assert err.partition(": ")[2].strip()
    assert tree(tmp_path, puppet) == before
    assert tiny[1] == []
    assert len(traced) == count


def test_there_are_200():
    assert len(CASES) >= 200
    assert len({(NAMES[program], kind) for program, kind, _ in CASES}) == len(CASES)
    assert {program for program, *_ in CASES} == set(NAMES)
