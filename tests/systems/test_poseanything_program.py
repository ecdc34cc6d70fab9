"""`--system poseanything` from end to end on weights that were not trained, and puppets as its cases."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxanim.errors import InputError
from jaxanim.media.video import read_video
from jaxanim.metrics.evaluate import Evaluation
from jaxanim.metrics.puppet_cases import puppet_case
from jaxanim.models.prompt_file import load_prompts
from jaxanim.puppets import KINDS, puppet_clip
from jaxanim.puppets.export import write_clip
from jaxanim.systems.base import entry, load
from jaxanim.systems.poseanything.__main__ import main as put_together
from jaxanim.systems.poseanything.animate import Options
from jaxanim.systems.poseanything.parts import dilations
from jaxanim.systems.poseanything.system import motion_from, save
from jaxanim.weights import save_weights
from sample.animate import main as animate
from tests.systems.tiny_poseanything import CONFIG, TOKENIZER, tiny


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return write_world(tmp_path_factory.mktemp("program"))


def write_world(root):
    """Weights, and a puppet's folder."""
    save(
        tiny().params,
        dataclasses.replace(CONFIG, defaults=dataclasses.replace(CONFIG.defaults, steps=2)),
        TOKENIZER,
        root / "weights",
    )
    write_clip(root / "puppet", puppet_clip(950_001, 6, (32, 32), "quadruped"))
    return root


def command(world, out, *more):
    puppet = world / "puppet"
    files = ["--reference", puppet / "reference.png", "--motion", puppet / "skeleton.json", "--out", out]
    said = ["--prompt", "a dog walks", "--weights", world / "weights"]
    return [str(word) for word in ("--system", "poseanything", *files, *said, *more)]


def test_a_skeleton_a_prompt_and_a_camera_make_a_video(world, tmp_path, capsys):
    out = tmp_path / "a.mp4"
    assert animate(command(world, out, "--camera", "pan-left 0.5", "--pose-share", "0.5")) == 0
    assert "5 frames of 32x32" in capsys.readouterr().out  # of 6, the most that 2 n + 1 allows
    assert read_video(out)[0].shape == (5, 32, 32, 3)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--camera", "fly-left 0.5"], "camera is 'fly-left 0.5', of which 'fly-left 0.5' is not understood"),
        (["--frames", "6"], "--frames is 6: this system makes 2 n + 1 frames, such as 5 or 7"),
        (["--pose-share", "0"], "share of poses is 0"),
        (["--parts", "some"], "parts"),
    ],
)
def test_bad_input_is_one_sentence(world, tmp_path, capsys, more, message):
    try:
        code = animate(command(world, tmp_path / "b.mp4", *more))
    except SystemExit as stop:
        code = stop.code
    assert code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "b.mp4").exists()


def _thirteen(held):
    held["points"] = [str(k) for k in range(14)]
    held["edges"] = [[0, k + 1] for k in range(13)]
    held["segments"] = {f"leg {k}": [k] for k in range(13)}
    held["frames"] = [[[k, k] for k in range(14)] for _ in held["frames"]]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda held: held["edges"].append([0, 99]), "is [0, 99]; it should join two of the points 0 to"),
        (lambda held: held["frames"][2].__setitem__(0, [float("nan"), 3.0]), "frame 2: point 'nose' is [nan, 3.0]"),
        (_thirteen, "has 13 segments; up to 12 can be told apart"),
        (lambda held: held["frames"].__setitem__(1, [[1, 2]]), "frame 1 is neither null nor a list of"),
    ],
)
def test_skeletons_that_are_none_are_refused_before_any_work(world, tmp_path, capsys, monkeypatch, spoil, message):
    monkeypatch.setattr("jaxanim.systems.poseanything.system.animate", None)
    path = world / "puppet" / "skeleton.json"
    held = json.loads(path.read_text())
    held["points"][0] = "nose"
    spoil(held)
    (tmp_path / "spoilt.json").write_text(json.dumps(held))
    assert animate(command(world, tmp_path / "b.mp4", "--motion", tmp_path / "spoilt.json")) == 2
    error = capsys.readouterr().err
    assert message in error, error
    assert error.count("\n") == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["spoilt.json"]


def test_weights_of_another_system_are_refused(world, tmp_path, capsys):
    save_weights(tmp_path / "other", {"vae": (CONFIG.vae, tiny().params["vae"])}, system="vae")
    assert animate(command(world, tmp_path / "b.mp4", "--weights", tmp_path / "other")) == 2
    error = capsys.readouterr().err
    assert "poseanything" in error, error
    assert not (tmp_path / "b.mp4").exists()


def test_cases_begin_with_their_reference_and_take_every_kind():
    needs = entry("poseanything").needs
    for seed in range(950_000, 950_000 + len(KINDS)):
        case = puppet_case(seed, frames=5, size=(32, 32), kind="any", needs=needs)
        np.testing.assert_array_equal(case.reference, case.truth[0])
        np.testing.assert_array_equal(case.driving.still.masks[0], case.mask[0])
        assert case.driving.graph.skeleton == puppet_clip(seed, 2, (16, 16), KINDS[seed % 7]).skeleton


def test_the_motion_is_drawn_dilated_and_left_out_as_options_say():
    case = puppet_case(950_002, frames=5, size=(64, 64), kind="quadruped", needs=entry("poseanything").needs)
    whole = motion_from(case.driving, CONFIG, (64, 64), Options())
    assert whole.masks.shape[1] <= CONFIG.rules.most_parts
    # Eq. 7: the parts of the first frame cover the subject's mask.
    assert not (whole.masks[0].max(0) == 0)[case.mask[0] > 127].any()
    sparse = motion_from(case.driving, CONFIG, (64, 64), Options(pose_share=0.4, dilation=1))
    np.testing.assert_array_equal(sparse.poses.any((1, 2, 3)), [True, False, False, False, True])
    np.testing.assert_array_equal(sparse.masks.any((1, 2, 3)), [True, False, False, False, True])
    assert sparse.masks[0].sum() < whole.masks[0].sum()
    assert dilations(np.zeros((4, 4), np.uint8), case.mask[0, :4, :4] > 300) == 0
    assert motion_from(case.driving, CONFIG, (64, 64), Options(parts="none")).masks is None
    assert whole.camera is None
    panned = dataclasses.replace(case.driving, camera="pan-left 0.5")
    assert motion_from(panned, CONFIG, (64, 64), Options()).camera.shape == (5, 64, 64, 3)


def test_the_evaluations_of_the_papers_tables_can_be_read():
    from jaxanim.config_file import load_config
    from jaxanim.systems.base import choose

    for table in (3, 4, 5, 6):
        config = load_config(f"configs/poseanything_table{table}.py", Evaluation)
        assert config.variants
        for variant in config.variants:
            choose(entry("poseanything"), CONFIG.defaults, {**config.options, **variant.options})


def test_camera_control_is_measured(world, monkeypatch, capsys):
    from tests.bench import camera_control

    monkeypatch.setattr(
        "sys.argv",
        ["bench", "--weights", str(world / "weights"), "--seeds", "950000:950001", "--cameras", "pan-left 0.3"],
    )
    camera_control.main()
    report = json.loads(capsys.readouterr().out)["cameras"]
    assert set(report) == {"still", "pan-left 0.3"}
    assert all(np.isfinite(value) for row in report.values() for value in row.values())


def test_a_converted_release_is_put_together_and_prompts_are_embedded_once(tmp_path, capsys):
    released = dataclasses.replace(CONFIG.transformer, num_layers=28)
    deep = dict(tiny().params["transformer"])
    deep["blocks"] = jax.tree.map(lambda leaf: jnp.concatenate([leaf] * 14), deep["blocks"])
    parts = {
        "transformer": ("wan_transformer", released, deep),
        "vae": ("wan_vae", CONFIG.vae, tiny().params["vae"]),
        "text-encoder": ("t5_encoder", CONFIG.text_encoder, tiny().params["text_encoder"]),
    }
    words = []
    for name, (network, config, params) in parts.items():
        save_weights(tmp_path / name, {network: (config, params)}, system=network)
        words += [f"--{name}", str(tmp_path / name)]
    TOKENIZER.save(str(tmp_path / "text-encoder" / "tokenizer.json"))
    out = ["--out", str(tmp_path / "out")]
    assert put_together([*words, "--prompt", "a dog walks", *out]) == 0
    system = load("poseanything", tmp_path / "out")
    assert (system.config.rules.match_block, system.config.rules.part_form) == (27, "released")
    np.testing.assert_array_equal(
        system.params["transformer"]["proj_out"]["kernel"], np.asarray(deep["proj_out"]["kernel"], np.float16)
    )
    case = puppet_case(950_000, frames=3, size=(32, 32), needs=entry("poseanything").needs)
    driving = dataclasses.replace(case.driving, prompt="a cat sleeps", camera=None)
    with pytest.raises(InputError, match="holds no embedding of the prompt 'a cat sleeps'"):
        system.animate(np.zeros((32, 32, 3), np.float32), driving, key=jax.random.key(0))
    assert put_together([*words[:2], *out]) == 2
    assert "--transformer and --vae go together" in capsys.readouterr().err
    assert put_together(["--prompt", "a", *out]) == 2
    assert put_together([*words[4:], "--prompt", "a cat sleeps", *out]) == 0
    assert load_prompts(tmp_path / "out" / "prompts.safetensors", ["a cat sleeps", ""], 512).shape == (2, 512, 8)


def test_converted_parts_of_other_models_are_refused(tmp_path, capsys):
    """Wan2.2 itself, whose transformer has no pose; an autoencoder where the transformer should be."""
    plain = dataclasses.replace(CONFIG.transformer, in_channels=4, part_attention=False)
    save_weights(tmp_path / "wan", {"wan_transformer": (plain, {"x": jnp.zeros(1)})}, system="wan_transformer")
    save_weights(tmp_path / "vae", {"wan_vae": (CONFIG.vae, {"x": jnp.zeros(1)})}, system="wan_vae")
    for transformer, message in (
        ("wan", "transformer takes 4 channels and gives 4: with latents of 4 and poses injected by 'channels'"),
        ("vae", "holds no transformer; it holds wan_vae"),
    ):
        folders = ["--transformer", tmp_path / transformer, "--vae", tmp_path / "vae", "--out", tmp_path / "out"]
        assert put_together(list(map(str, folders))) == 2
        assert message in capsys.readouterr().err
        assert not (tmp_path / "out").exists()
