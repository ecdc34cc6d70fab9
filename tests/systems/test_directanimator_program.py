"""`--system directanimator` from end to end on weights that were not trained."""

import json

import jax
import numpy as np
import pytest
from PIL import Image

from jaxanim.media.images import write_png
from jaxanim.media.video import read_video, write_video
from jaxanim.models.shapes import parameter_shapes
from jaxanim.puppets import puppet_clip
from jaxanim.puppets.export import write_clip
from jaxanim.systems.base import Sampling
from jaxanim.systems.directanimator.system import Config, save
from sample.animate import main as animate
from tests.systems.test_directanimator_training import CONFIG, VAE

FINE = {"crf": 0, "pixel_format": "yuv444p"}


def write_world(root, guidance=1.0):
    """Weights, and a puppet's folder with masks and boxes beside the video, and a bare one without."""
    defaults = Sampling(size=(32, 32), steps=1, guidance=guidance, window=9, overlap=0)
    config = Config(CONFIG.transformer, VAE, CONFIG.cues, defaults=defaults)
    rng = np.random.default_rng(0)
    params = {
        name: jax.tree.map(
            lambda leaf: rng.normal(0, 0.2, leaf.shape).astype(np.float32), parameter_shapes(name, part)
        )
        for name, part in (("transformer", config.transformer), ("vae", config.vae))
    }
    save(params, config, root / "weights")
    clip = puppet_clip(950_001, 10, (32, 32))
    write_clip(root / "puppet", clip)
    (root / "bare").mkdir()
    write_video(root / "bare" / "motion.mp4", clip.frames, **FINE)
    write_png(root / "bare" / "reference.png", clip.reference)
    return root


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return write_world(tmp_path_factory.mktemp("program"))


@pytest.fixture
def run(world, tmp_path, monkeypatch):
    """(motion, further arguments) -> (exit code, the video made or None)."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "none"))
    monkeypatch.setenv("RTMLIB_CACHE_DIR", str(tmp_path / "none"))
    monkeypatch.delenv("JAXANIM_MODELS", raising=False)

    def call(motion, *more, reference=world / "puppet" / "reference.png"):
        out = tmp_path / "out.mp4"
        out.unlink(missing_ok=True)
        words = ["--system", "directanimator", "--weights", world / "weights", "--reference", reference]
        code = animate([str(word) for word in (*words, "--motion", motion, "--out", out, *more)])
        assert out.exists() == (code == 0)
        return code, read_video(out)[0] if code == 0 else None

    return call


def test_an_ordinary_video_with_what_lies_beside_it(world, run, capsys):
    code, video = run(world / "puppet" / "truth.mp4")
    told = capsys.readouterr()
    assert code == 0
    assert video.shape == (9, 32, 32, 3)  # of 10 frames, the most that 8 n + 1 allows
    assert "left out" not in told.err
    assert "stays where the driver is" not in told.err
    # The masks and the boxes beside the video are those that can be named.
    puppet = world / "puppet"
    named = ["--motion-mask", puppet / "mask.mp4", "--motion-faces", puppet / "skeleton.json"]
    assert np.array_equal(video, run(world / "bare" / "motion.mp4", *named)[1])


def test_without_a_face_it_goes_on_and_says_so(world, run, tmp_path, capsys):
    held = json.loads((world / "puppet" / "skeleton.json").read_text())
    (tmp_path / "faces.json").write_text(json.dumps(held | {"face_box": [[0, 0, 0, 0]] * 10}))
    code, _ = run(world / "puppet" / "truth.mp4", "--motion-faces", tmp_path / "faces.json")
    assert code == 0
    assert "the driving video shows no face: the face cue is left out" in capsys.readouterr().err
    mask = ["--motion-mask", world / "puppet" / "mask.mp4"]
    assert run(world / "bare" / "motion.mp4", *mask, reference=world / "bare" / "reference.png")[0] == 0
    told = capsys.readouterr().err
    assert "no face is looked for: " in told
    assert "yunet" in told
    assert "nothing tells where the reference's person is" in told


def test_one_frame_is_a_video_of_one(world, run):
    code, video = run(world / "puppet" / "truth.mp4", "--frames", "1")
    assert code == 0
    assert video.shape == (1, 32, 32, 3)


def test_transparent_frames_lie_over_black(world, run, tmp_path):
    clip = puppet_clip(950_001, 9, (32, 32))
    for folder in ("clear", "black"):
        (tmp_path / folder).mkdir()
    for i, (frame, mask) in enumerate(zip(clip.frames, clip.mask, strict=True)):
        Image.fromarray(np.dstack([frame, mask])).save(tmp_path / "clear" / f"{i}.png")
        Image.fromarray(frame * (mask[..., None] > 0)).save(tmp_path / "black" / f"{i}.png")
    named = ["--motion-mask", world / "puppet" / "mask.mp4", "--motion-faces", world / "puppet" / "skeleton.json"]
    clear, black = (run(tmp_path / folder, *named)[1] for folder in ("clear", "black"))
    np.testing.assert_array_equal(clear, black)


def test_bad_videos_are_one_sentence(world, run, tmp_path, capsys):
    puppet = world / "puppet"
    black, short = tmp_path / "black.mp4", tmp_path / "short.mp4"
    write_video(black, np.zeros((10, 32, 32, 3), np.uint8), **FINE)
    write_video(short, np.zeros((4, 32, 32, 3), np.uint8), **FINE)
    (tmp_path / "bad.json").write_text("{}")
    frames = tmp_path / "frames"
    frames.mkdir()
    for i, frame in enumerate(read_video(puppet / "truth.mp4")[0][:9]):
        write_png(frames / f"{i}.png", frame)
    content = (frames / "8.png").read_bytes()
    (frames / "8.png").write_bytes(content[: len(content) // 2])
    cases = [
        (puppet / "truth.mp4", ["--motion-mask", black], "no foreground in any frame"),
        (puppet / "truth.mp4", ["--motion-mask", short], "short.mp4 has 4 frames, but the motion has 9"),
        (puppet / "truth.mp4", ["--motion-faces", tmp_path / "bad.json"], "bad.json has no size and face_box of 9"),
        (puppet / "truth.mp4", ["--frames", "5"], "--frames is 5: this system makes 8 n + 1 frames"),
        (world / "bare" / "motion.mp4", [], "in which somebody has to be found, but"),
        (frames, ["--motion-mask", puppet / "mask.mp4"], "8.png"),
    ]
    for motion, more, message in cases:
        assert run(motion, *more)[0] == 2
        told = capsys.readouterr().err.strip()
        assert message in told.splitlines()[-1]
