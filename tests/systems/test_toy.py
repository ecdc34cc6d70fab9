"""A system in one folder, with no edit elsewhere: driven by a prompt and a skeleton graph, it is found, explained by
--help, animates, and is measured on a puppet."""

import json
import sys
import textwrap

import jax
import numpy as np
import pytest

from jaxanim import systems
from jaxanim.cues.driving import Driving
from jaxanim.errors import InputError
from jaxanim.media.images import read_image
from jaxanim.puppets import puppet_clip
from jaxanim.puppets.export import write_clip
from jaxanim.stored import CONFIG_CLASSES
from jaxanim.weights import save_weights
from sample.animate import main as animate
from sample.evaluate import main as evaluate

PACKAGE = """
    from jaxanim.cues.driving import GRAPH, Needs
    from jaxanim.systems.base import Entry

    SYSTEM = Entry("toy", "Toy", needs=Needs(cues=(GRAPH,), required=("prompt",), optional=("camera",)))
"""
MODULE = '''
    import dataclasses
    from typing import Literal

    import jax.numpy as jnp

    from jaxanim.cues import skeleton_drawing
    from jaxanim.systems.base import Grid, Sampling, System, unit
    from jaxanim.systems.toy import SYSTEM
    from jaxanim.weights import load_settings, load_weights
    from jaxanim.stored import register_config

    @register_config
    @dataclasses.dataclass(frozen=True)
    class Config:
        shade: float = 0.5
        defaults: Sampling = Sampling()

    @dataclasses.dataclass(frozen=True)
    class Options:
        """Knobs.

        Attributes:
          blend: how the drawing meets the
            reference.
          bold: draw it at all.
        """

        blend: Literal["over", "mean"] = "over"
        bold: bool = True

    def run(params, config, reference, driving, *, key, sampling, options, memory, report=None):
        drawn = skeleton_drawing.draw(driving.graph.points, driving.graph.skeleton.edges, reference.shape[:2])
        drawn = unit(drawn) * options.bold * len(driving.prompt) / 100
        if report is not None:
            report(1, 1, None)
        still = jnp.broadcast_to(reference, drawn.shape)
        return jnp.maximum(still, 2 * drawn - 1) if options.blend == "over" else (still + 2 * drawn - 1) / 2

    def load(weights, **options):
        (config, params), = load_weights(weights, system="toy", **options).values()
        return System(SYSTEM, config, params, Grid(16, frames=(4, 1)), run)
'''


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """The weights of the toy, whose folder lies beside the other systems' for as long as the test runs."""
    folder = tmp_path / "systems" / "toy"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(textwrap.dedent(PACKAGE))
    (folder / "system.py").write_text(textwrap.dedent(MODULE))
    monkeypatch.setattr(systems, "__path__", [*systems.__path__, str(folder.parent)])
    entry = systems.entry("toy")
    config = entry.module.Config(defaults=systems.Sampling(size=(64, 64), steps=1, guidance=1.0))
    save_weights(tmp_path / "weights", {"net": (config, {"one": np.ones(1, np.float32)})}, system="toy")
    yield tmp_path / "weights"
    for name in [name for name in sys.modules if name.startswith("jaxanim.systems.toy")]:
        del sys.modules[name]
    del CONFIG_CLASSES["Config"]


def test_it_is_found_beside_the_others(toy):
    assert {"toy", "magicanimate", "magicpose"} <= set(systems.names())
    assert systems.load("toy", toy).grid.at_most(12) == 9


def test_help_explains_its_knobs_and_what_has_to_be_said(toy, capsys):
    for name, there in (("toy", True), ("magicanimate", False)):
        with pytest.raises(SystemExit) as stop:
            animate(["--system", name, "--help"])
        assert stop.value.code == 0
        text = " ".join(capsys.readouterr().out.split())
        for words in (
            "--prompt PROMPT",
            "--camera",
            "--blend {over,mean} how the drawing meets the reference.",
            "--no-bold",
        ):
            assert (words in text) == there, (name, words)
        assert ("--no-average" in text) != there


def test_it_animates_by_a_prompt_and_a_graph(toy, tmp_path, capsys):
    clip = puppet_clip(950_001, 11, (64, 64), "quadruped")
    write_clip(tmp_path / "puppet", clip)
    command = ["--system", "toy", "--weights", str(toy), "--reference", str(tmp_path / "puppet" / "reference.png")]
    command += ["--motion", str(tmp_path / "puppet" / "skeleton.json"), "--columns", "9"]
    made = {}
    for name, more in (("a", []), ("bare", ["--no-bold"]), ("mean", ["--blend", "mean"])):
        out = tmp_path / f"{name}.mp4"
        assert animate([*command, "--prompt", clip.prompt, "--out", str(out), *more]) == 0
        assert "9 frames of 64x64" in capsys.readouterr().out  # of 11, the most that 4 n + 1 allows
        made[name] = read_image(out.with_suffix(".png"))
    assert (made["a"] != made["bare"]).any()
    assert (made["a"] != made["mean"]).any()
    last = ["--out", str(tmp_path / "b.mp4")]
    assert animate([*command, "--prompt", "a", "--frames", "8", *last]) == 2
    assert "--frames is 8: this system makes 4 n + 1 frames, such as 5 or 9" in capsys.readouterr().err
    write_clip(tmp_path / "human", puppet_clip(950_001, 5, (64, 64)))
    command[command.index("--motion") + 1] = str(tmp_path / "human" / "openpose")
    assert animate([*command, "--prompt", "a", *last]) == 2
    assert "is no skeleton graph" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        animate([*command, *last])
    assert "required: --prompt" in capsys.readouterr().err


def test_it_is_measured_on_a_puppet(toy, tmp_path, capsys):
    (tmp_path / "eval.py").write_text(
        "from jaxanim.metrics.evaluate import Evaluation, Variant\n"
        f"config = Evaluation('toy', 'toy', {str(toy)!r}, size=(64, 64), frames=5, kind='fish',\n"
        "    variants=(Variant('all'), Variant('bare', options={'bold': False})))\n"
    )
    command = [str(tmp_path / "eval.py"), "--seeds", "950000:950001", "--out", str(tmp_path / "out")]
    assert evaluate(command) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["cases"] == 1
    assert evaluate([*command, "--ablations"]) == 0
    kept = [json.loads((tmp_path / "out" / name / "results.json").read_text()) for name in ("all", "bare")]
    bare = kept[1]["mean"]  # the reference, repeated
    assert bare["psnr"] == pytest.approx(bare["psnr_static"], abs=0.01)
    assert kept[0]["mean"]["psnr"] != bare["psnr"]


def test_a_motion_without_what_it_needs_is_refused(toy):
    system = systems.load("toy", toy)
    with pytest.raises(InputError, match="driving has no skeleton graph and no prompt, which Toy needs"):
        system.animate(np.zeros((64, 64, 3), np.float32), Driving(), key=jax.random.key(0))
