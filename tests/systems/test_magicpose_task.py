"""MagicPose's stages trained for a step or two each, end to end, in a world of 32x32 pixels."""

import dataclasses
import json
import shutil

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from jaxanim import systems
from jaxanim.cues.driving import Driving
from jaxanim.data.poses import PosedClips
from jaxanim.data.puppets import PuppetClips
from jaxanim.errors import InputError
from jaxanim.media.images import read_image
from jaxanim.models.shapes import parameter_shapes
from jaxanim.models.unet_config import image_form
from jaxanim.puppets import puppet_clip
from jaxanim.puppets.export import write_clip
from jaxanim.systems.magicpose.task import MagicPoseRecipe
from jaxanim.systems.stable_diffusion.task import TextToImageRecipe
from jaxanim.training.experiment import Experiment
from jaxanim.training.feed import Feed
from jaxanim.training.loop import initial, train
from jaxanim.training.sharding import make_mesh, shard_batch
from jaxanim.training.state import step_function
from jaxanim.weights import fingerprint, load_weights, save_weights
from sample.animate import main as animate
from sample.evaluate import main as evaluate
from tests.systems.planned import assert_planned
from tests.systems.tiny import HELD, random_params
from tests.systems.tiny_pose import FLAT as CONFIG
from train.parts import main as put_parts

SIZE = (32, 32)
FRAMES = PuppetClips(seeds=(0, 4), frames=5, span=50, size=SIZE)
STILLS = PosedClips(PuppetClips(seeds=(0, 4), frames=5, span=50, size=(40, 32)))
CLIPS = PosedClips(PuppetClips(seeds=(10, 4), frames=4, spacing="consecutive", span=50, size=SIZE))
SCHEDULE = {"steps": 2, "batch_size": 8, "sheet_every": 0, "save_every": 0, "threads": 0, "weight_decay": 0.0}
SHEETS = SCHEDULE | {"sheet_every": 2}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Folder with a base that was not trained, for these tests ask what stays as it is."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAXANIM_CACHE", str(folder / "cache"))
        patch.chdir(folder)
        unet = image_form(dataclasses.replace(CONFIG.unet, readers="mid_up"))
        sizes = {"vae": CONFIG.vae, "unet": unet, "text_encoder": CONFIG.text_encoder}
        shapes = {name: parameter_shapes(name, config) for name, config in sizes.items()}
        first, second = random_params(shapes, seed=1), random_params(shapes, seed=2)
        save_weights(folder / "vae", {"vae": (CONFIG.vae, first["vae"])}, system="vae")
        base = TextToImageRecipe(str(folder / "vae"), FRAMES, unet, CONFIG.text_encoder, CONFIG.diffusion).open()
        base.save(first, folder / "base")
        base.save(second | {"vae": first["vae"]}, folder / "other")
        yield folder


@pytest.fixture(scope="module")
def trained(world):
    """The folder with the weights of every stage, each trained from the ones before."""
    before = fingerprint(world / "base")
    schedule, sheets = SCHEDULE | {"hold": HELD}, SHEETS | {"hold": HELD}
    control = train(Experiment("zero", stage(world, 0), **schedule), world / "zero")
    assert control.stopped == "finished"
    train(Experiment("one", stage(world, 1), **sheets), world / "one")
    two = stage(world, 2, start=weights(world, "one"), controlnet=weights(world, "zero"))
    train(Experiment("two", two, **schedule), world / "two")
    three = stage(world, 3, start=weights(world, "two"), clips=CLIPS, targets=1)
    train(Experiment("three", three, **sheets), world / "three")
    assert fingerprint(world / "base") == before
    return world


def weights(folder, name):
    return str(folder / name / "weights")


def stage(folder, number, **changes):
    options = {"base": str(folder / "base"), "model": CONFIG, "clips": STILLS, "targets": 2} | changes
    return MagicPoseRecipe(number, **options)


def networks(folder):
    return {name: params for name, (_, params) in load_weights(folder).items()}


def test_each_stage_changes_what_it_trains_and_nothing_else(trained):
    zero, one, two, three = (networks(weights(trained, name)) for name in ("zero", "one", "two", "three"))
    base = networks(trained / "base")["unet"]
    for parts in (zero, one, two):
        assert set(parts) == {"appearance_model", "controlnet"}
    assert set(three) == {"appearance_model", "controlnet", "motion"}
    # Stage 0 leaves the appearance model a copy of the base, stage 1 the ControlNet without an effect.
    chex.assert_trees_all_equal(zero["appearance_model"]["conv_in"], base["conv_in"])
    assert not np.any(one["controlnet"]["controlnet_mid_block"]["kernel"])
    assert np.any(zero["controlnet"]["controlnet_mid_block"]["kernel"])
    assert not np.array_equal(one["appearance_model"]["conv_in"]["kernel"], base["conv_in"]["kernel"])
    for name, start in (("appearance_model", one), ("controlnet", zero)):
        assert not np.array_equal(two[name]["conv_in"]["kernel"], start[name]["conv_in"]["kernel"])
        chex.assert_trees_all_close(two[name]["conv_in"], start[name]["conv_in"], atol=0.01)
    for name in ("appearance_model", "controlnet"):
        chex.assert_trees_all_equal(three[name], two[name])
    assert np.any(three["motion"]["up_blocks_0"]["motion_modules_0"]["proj_out"]["kernel"])


@pytest.mark.parametrize("name", ["one", "three"])
def test_a_stage_draws_what_it_can_do_without_poses_and_with_them(trained, name):
    sheet = read_image(trained / name / "sheets" / "0000002.png")
    assert sheet.shape[0] >= 12 * 32
    assert sheet.std() > 0


def black(frames):
    return Driving({"openpose": np.zeros((frames, *SIZE, 3), np.uint8)})


def windowed(system, **changes):
    return dataclasses.replace(system.defaults, window=4, overlap=1, **changes)


def test_the_base_is_bit_identical_after_steps_and_can_be_swapped(trained):
    folder, base = weights(trained, "two"), networks(trained / "base")
    system = systems.load("magicpose", folder)
    for name in ("unet", "vae", "text_encoder"):
        chex.assert_trees_all_equal(system.params[name], base[name])
    swapped = systems.load("magicpose", folder, base=trained / "other")
    chex.assert_trees_all_equal(swapped.params["unet"], networks(trained / "other")["unet"])
    chex.assert_trees_all_equal(swapped.params["controlnet"], system.params["controlnet"])
    reference = np.zeros((*SIZE, 3), np.float32)
    videos = [
        part.animate(reference, black(3), key=jax.random.key(0), sampling=windowed(part))
        for part in (system, swapped)
    ]
    chex.assert_tree_all_finite(videos)
    assert float(jnp.abs(videos[0] - videos[1]).max()) > 1e-3


def test_steps_leave_the_frozen_arrays_as_they_are_to_the_bit(world, monkeypatch):
    monkeypatch.setenv("JAXANIM_CACHE", str(world / "cache"))
    experiment = Experiment("steps", stage(world, 2), hold=HELD, **SCHEDULE)
    task = experiment.task.open()
    state, frozen = initial(experiment, task, make_mesh(experiment.mesh))
    before = {path: np.array(leaf) for path, leaf in frozen.items()}
    start = {path: np.array(leaf) for path, leaf in state.params.items()}
    step, batches = step_function(experiment, task, state), task.batches(Feed())
    for i in range(2):
        # Placed as `train` places it, so that stage 2 is compiled once for both tests.
        state, _ = step(state, frozen, shard_batch(batches[i], make_mesh(experiment.mesh)))
    chex.assert_trees_all_equal({path: np.array(leaf) for path, leaf in frozen.items()}, before)
    for path, leaf in flatten_dict({"unet": networks(world / "base")["unet"]}, sep="/").items():
        np.testing.assert_array_equal(frozen[path], leaf)
    assert {path.split("/")[0] for path in state.params} == {"appearance_model", "controlnet"}
    changed = {path.split("/")[0] for path, leaf in state.params.items() if not np.array_equal(leaf, start[path])}
    assert changed == {"appearance_model", "controlnet"}


def test_a_base_that_is_thawed_learns_too_and_is_written_beside_the_parts(world, monkeypatch, tmp_path):
    monkeypatch.setenv("JAXANIM_CACHE", str(world / "cache"))
    # The first layers alone learn, for the compiler's sake.
    first = Experiment(
        "thawed", stage(world, 0), thaw="^(unet/conv_in|text_encoder/.*position_embedding)", hold="^controlnet/(?!conv_in/)",
        **SCHEDULE,
    )  # fmt: skip
    train(first, tmp_path)
    system, before = systems.load("magicpose", tmp_path / "weights"), networks(world / "base")
    after = networks(tmp_path / "weights" / "base")
    for name, tree in after.items():
        chex.assert_trees_all_equal(system.params[name], tree)
    flat = [flatten_dict(trees, sep="/") for trees in (before, after)]
    changed = {path for path in flat[0] if not np.array_equal(flat[0][path], flat[1][path])}
    assert changed == {
        "unet/conv_in/kernel", "unet/conv_in/bias", "text_encoder/text_model/embeddings/position_embedding/embedding",
    }  # fmt: skip


def test_the_programs_animate_and_evaluate(trained, tmp_path, capsys):
    puppet, folder = tmp_path / "puppet", weights(trained, "two")
    write_clip(puppet, puppet_clip(950_001, 4, SIZE))
    options = ["--system", "magicpose", "--reference", str(puppet / "reference.png"), "--weights", folder]
    options += ["--steps", "1", "--guidance", "1", "--window", "4", "--overlap", "0"]
    made = {}
    for name, motion in (("json", "openpose"), ("video", "openpose.mp4")):
        out = tmp_path / f"{name}.mp4"
        assert animate([*options, "--motion", str(puppet / motion), "--out", str(out)]) == 0
        made[name] = read_image(tmp_path / f"{name}.png").astype(int)
    assert np.abs(made["json"] - made["video"]).mean() < 2
    other = [
        "--motion",
        str(puppet / "openpose"),
        "--base",
        str(trained / "other"),
        "--out",
        str(tmp_path / "o.mp4"),
    ]
    assert animate([*options, *other]) == 0
    assert np.abs(read_image(tmp_path / "o.png").astype(int) - made["json"]).mean() > 0.01
    assert animate([*options, "--motion", str(puppet / "densepose.mp4"), "--out", str(tmp_path / "d.mp4")]) == 2
    assert "is not an OpenPose video" in capsys.readouterr().err

    (tmp_path / "eval.py").write_text(
        "from jaxanim.metrics.evaluate import Evaluation, Variant\n"
        f"config = Evaluation('t', 'magicpose', {folder!r}, size=(32, 32), frames=4, steps=1, guidance=1.0,\n"
        "    shape='unusual', options={'window': 4, 'overlap': 0},\n"
        "    variants=(Variant('all'), Variant('without pose', options={'pose': False})))\n"
    )
    command = [str(tmp_path / "eval.py"), "--seeds", "950000:950001", "--out", str(tmp_path / "out"), "--ablations"]
    assert evaluate(command) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].strip().startswith("all (1 of 1)")
    assert lines[2].strip().startswith("without pose (1 of 1)")
    kept = [json.loads((tmp_path / "out" / name / "results.json").read_text()) for name in ("all", "without pose")]
    assert kept[0]["mean"] != kept[1]["mean"]


def test_motion_is_put_into_the_base(trained):
    system = systems.load("magicpose", weights(trained, "three"))
    assert system.config.unet.motion == CONFIG.unet.motion
    video = system.animate(
        np.zeros((*SIZE, 3), np.float32), black(5), key=jax.random.key(0), sampling=windowed(system, guidance=1.0),
    )  # fmt: skip
    chex.assert_shape(video, (5, *SIZE, 3))
    chex.assert_tree_all_finite(video)


def test_bases_that_do_not_fit_or_are_not_there_are_named(trained, tmp_path):
    folder = tmp_path / "weights"
    shutil.copytree(weights(trained, "one"), folder)
    with pytest.raises(InputError, match=r"weights folder .*base does not exist"):
        systems.load("magicpose", folder)
    description = json.loads((folder / "config.json").read_text())
    description["networks"]["appearance_model"]["fields"]["num_attention_heads"] = 4
    (folder / "config.json").write_text(json.dumps(description))
    with pytest.raises(
        InputError, match=r"has a UNet with num_attention_heads 2; the parts in .* were trained on 4"
    ):
        systems.load("magicpose", folder, base=trained / "base")
    description.pop("base")
    (folder / "config.json").write_text(json.dumps(description))
    with pytest.raises(InputError, match="names no base model"):
        systems.load("magicpose", folder)
    with pytest.raises(InputError, match="the weights of magicanimate hold all of its networks"):
        systems.load("magicanimate", folder, base=trained / "base")
    with pytest.raises(InputError, match="of system 'stable_diffusion', not of 'magicpose'"):
        systems.load("magicpose", trained / "base")


def test_parts_of_several_runs_are_put_together_on_a_shared_base(trained, tmp_path, capsys):
    out, base = tmp_path / "apart", str(trained / "base")
    arguments = [str(out), "--base", base, "--appearance", weights(trained, "one")]
    assert put_parts([*arguments, "--controlnet", weights(trained, "zero")]) == 0
    assert "the base that they were trained on" in capsys.readouterr().out
    assert sorted(path.name for path in out.iterdir()) == [
        "appearance_model.safetensors", "config.json", "controlnet.safetensors",
    ]  # fmt: skip
    system = systems.load("magicpose", out)
    chex.assert_trees_all_equal(system.params["unet"], networks(base)["unet"])
    for name, run in (("appearance_model", "one"), ("controlnet", "zero")):
        chex.assert_trees_all_equal(system.params[name], networks(weights(trained, run))[name])
    other = [str(tmp_path / "b"), "--base", str(trained / "other"), "--appearance", weights(trained, "three")]
    assert put_parts(other) == 0
    assert "another base than they were trained on" in capsys.readouterr().out
    assert systems.load("magicpose", tmp_path / "b").config.unet.motion is not None
    assert fingerprint(tmp_path / "b") != fingerprint(out)
    assert put_parts([*arguments, "--motion", weights(trained, "one")]) == 2
    assert "has no motion modules" in capsys.readouterr().err


def test_batches_hold_what_the_stage_learns_from(world, monkeypatch, tmp_path):
    monkeypatch.setenv("JAXANIM_CACHE", str(world / "cache"))
    one = stage(world, 1).open().batches(Feed())[0]
    assert set(one) == {"target", "reference"}
    chex.assert_shape((one["target"], one["reference"]), ((4, 2, 4, 4, 4), (4, 4, 4, 4)))
    assert not any(np.array_equal(t, one["reference"][0]) for t in one["target"][0])
    two = stage(world, 2).open().batches(Feed())[0]
    chex.assert_shape(two["pose"], (4, 2, 32, 32, 3))
    assert two["pose"].dtype == np.uint8
    chex.assert_trees_all_equal(two["target"], one["target"])
    start = stage(world, 1).open()
    start.save(start.init(jax.random.key(0)), tmp_path)
    three = stage(world, 3, start=str(tmp_path), clips=CLIPS).open().batches(Feed())[0]
    chex.assert_shape((three["target"], three["pose"]), ((2, 4, 4, 4, 4), (2, 4, 32, 32, 3)))
    zero = stage(world, 0).open().batches(Feed())[0]
    three_planned = stage(world, 3, start=str(tmp_path), clips=CLIPS).plan(8)
    for planned, batch in ((three_planned, three), *((stage(world, i).plan(8), b) for i, b in enumerate([zero, one, two]))):
        assert_planned(planned, batch)
    chex.assert_shape((zero["target"], zero["pose"], zero["tokens"]), ((8, 1, 4, 4, 4), (8, 1, 32, 32, 3), (8, 8)))


def test_masking_is_as_frequent_as_asked(world, monkeypatch):
    monkeypatch.setenv("JAXANIM_CACHE", str(world / "cache"))

    def white(**masks):
        batches = stage(world, 2, **masks).open().batches(Feed())
        drawn = np.concatenate([batches[i]["pose"].reshape(-1, 32, 32, 3) for i in range(10)])
        return (drawn == 255).all(-1).any((1, 2)).mean()

    # The face alone is drawn in white; some heads are turned away or out of the picture.
    always, never, often = white(mask_face=0.0), white(mask_face=1.0), white(mask_face=0.5)
    assert never == 0
    assert always > 0.5
    assert 0.25 * always < often < 0.75 * always


def test_impossible_tasks_are_named(world):
    with pytest.raises(InputError, match="stage is 4"):
        stage(world, 4)
    with pytest.raises(InputError, match="targets is 5"):
        stage(world, 1, targets=5)
    with pytest.raises(InputError, match="stage 3 needs `start`"):
        stage(world, 3, clips=CLIPS)
    with pytest.raises(InputError, match="spacing 'consecutive'"):
        stage(world, 3, start="two")
    experiment = Experiment("one", stage(world, 1), hold="resnet5")
    with pytest.raises(InputError, match=r"hold is 'resnet5', which is in no parameter path"):
        initial(experiment, experiment.task.open(), make_mesh())
    with pytest.raises(InputError, match=r"mask_face is 2\.0: it is a probability"):
        stage(world, 2, mask_face=2.0)
    wide = dataclasses.replace(CONFIG.unet, num_attention_heads=4)
    with pytest.raises(InputError, match="num_attention_heads 2; the parts in the config were trained on 4"):
        stage(world, 1, model=dataclasses.replace(CONFIG, unet=wide)).open()
