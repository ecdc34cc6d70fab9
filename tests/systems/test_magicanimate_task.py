"""Base model, stage 1 and stage 2 trained for a step or two each, end to end, in a world of 32x32 pixels."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from jaxanim import systems
from jaxanim.cues.driving import Driving
from jaxanim.data.puppets import PuppetClips
from jaxanim.errors import InputError
from jaxanim.media.images import read_image
from jaxanim.models.motion import split_motion
from jaxanim.models.shapes import parameter_shapes
from jaxanim.systems.magicanimate.config import image_form
from jaxanim.systems.magicanimate.task import MagicAnimateTask
from jaxanim.training.experiment import Experiment
from jaxanim.training.loop import train
from jaxanim.training.partition import partition, without
from jaxanim.training.pixel_weights import pixel_weights
from jaxanim.training.tasks.text_to_image import TextToImageTask
from jaxanim.weights import load_weights, save_weights
from tests.systems.tiny import FLAT as CONFIG
from tests.systems.tiny import HELD, random_params

SIZE = (32, 32)
STILLS = PuppetClips(seeds=(0, 4), frames=5, span=50, size=SIZE)
CLIPS = PuppetClips(seeds=(10, 4), frames=4, spacing="consecutive", span=50, size=SIZE)
SCHEDULE = {"steps": 2, "batch_size": 8, "sheet_every": 0, "save_every": 0, "threads": 0}
SHEETS = SCHEDULE | {"sheet_every": 2}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Folder with the weights of every stage, each trained from the one before."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAXANIM_CACHE", str(folder / "cache"))
        patch.chdir(folder)
        vae = random_params(parameter_shapes("vae", CONFIG.vae))
        save_weights(folder / "vae", {"vae": (CONFIG.vae, vae)}, system="vae")
        base = TextToImageTask(
            str(folder / "vae"), STILLS, image_form(CONFIG.unet), CONFIG.text_encoder, CONFIG.diffusion,
            trainable=without(("^unet/",), HELD),
        )  # fmt: skip
        train(Experiment("base", base, **SHEETS), folder / "base")
        one = stage(folder, 1, folder / "base" / "weights", hold=HELD)
        train(Experiment("one", one, **SHEETS), folder / "one")
        two = stage(folder, 2, folder / "one" / "weights", tau1=0.0, tau2=0.0, hold=HELD)
        train(Experiment("two", two, **SHEETS), folder / "two")
        yield folder


def stage(folder, number, start, **changes):
    return MagicAnimateTask(
        number, str(start), str(folder / "vae"), CONFIG, videos=STILLS if number == 1 else CLIPS, images=STILLS,
        **{"tau1": 0.5, "targets": 4 if number == 1 else 2} | changes,
    )  # fmt: skip


def networks(folder):
    return {name: params for name, (_, params) in load_weights(folder).items()}


def test_each_stage_changes_what_it_trains_and_nothing_else(trained):
    base, one, two = (networks(trained / name / "weights") for name in ("base", "one", "two"))
    chex.assert_trees_all_equal(one["unet"], base["unet"])
    assert not jnp.array_equal(one["appearance_encoder"]["conv_in"]["kernel"], base["unet"]["conv_in"]["kernel"])
    for name in ("appearance_encoder", "controlnet", "vae", "text_encoder"):
        chex.assert_trees_all_equal(two[name], one[name])
    modules = two["unet"]["up_blocks_0"].pop("motion_modules_0")
    assert jnp.any(modules["proj_out"]["kernel"] != 0)
    chex.assert_trees_all_equal(two["unet"]["mid_block"], one["unet"]["mid_block"])


@pytest.mark.parametrize(("name", "rows"), [("base", 1), ("one", 9), ("two", 9)])
def test_each_stage_draws_what_it_can_do(trained, name, rows):
    sheet = read_image(trained / name / "sheets" / "0000002.png")
    assert sheet.shape[0] >= 32 * rows
    assert sheet.std() > 0


def test_either_stage_trains_whole_weights_further(trained, monkeypatch, tmp_path):
    monkeypatch.setenv("JAXANIM_CACHE", str(trained / "cache"))
    start = trained / "two" / "weights"
    first, second = stage(trained, 1, start), stage(trained, 2, start)
    for task in (first, second):
        chex.assert_trees_all_equal(
            {name: tree for name, tree in task.init(jax.random.key(1)).items() if name != "empty_prompt"},
            networks(start),
        )
    # The first layers alone learn, for the compiler's sake.
    few = dataclasses.replace(first, hold="^(?!(appearance_encoder|controlnet)/conv_in/).*$")
    train(Experiment("further", few, **SCHEDULE), tmp_path)
    before, after = systems.load("magicanimate", start), systems.load("magicanimate", tmp_path / "weights")
    assert after.config == before.config
    chex.assert_trees_all_equal(after.params["unet"], before.params["unet"])
    assert not jnp.array_equal(
        *(system.params["appearance_encoder"]["conv_in"]["kernel"] for system in (before, after))
    )


def test_other_temporal_layers_than_the_start_has_are_fresh(trained):
    motion = dataclasses.replace(CONFIG.unet.motion, layers_per_block=2)
    model = dataclasses.replace(CONFIG, unet=dataclasses.replace(CONFIG.unet, motion=motion))
    task = dataclasses.replace(stage(trained, 2, trained / "two" / "weights"), model=model)
    modules = split_motion(task.init(jax.random.key(1))["unet"])[1]
    assert not jnp.any(modules["up_blocks_0"]["motion_modules_0"]["proj_out"]["kernel"])


def test_what_is_held_does_not_learn(trained, monkeypatch):
    monkeypatch.chdir(trained)
    task = stage(trained, 1, trained / "one" / "weights", hold="cond_embedding|/down_blocks_0/")
    params = task.init(jax.random.key(0))
    everything, some = (
        partition(params, t.trainable)[0].keys() for t in (dataclasses.replace(task, hold=None), task)
    )
    held = everything - some
    assert {path.split("/")[1] for path in held} == {"controlnet_cond_embedding", "down_blocks_0"}
    assert not any("cond_embedding" in path or "/down_blocks_0/" in path for path in some)


def test_what_is_thawed_learns_too(trained, monkeypatch):
    monkeypatch.chdir(trained)
    task = stage(trained, 1, trained / "two" / "weights", hold="cond_embedding", thaw="^unet/(?!.*motion_modules)")
    params = task.init(jax.random.key(0))
    before, after = (partition(params, t.trainable)[0].keys() for t in (dataclasses.replace(task, thaw=None), task))
    image, temporal = split_motion(params["unet"])
    assert temporal
    assert before < after
    assert after - before == {f"unet/{path}" for path in flatten_dict(image, sep="/")}
    assert not any("cond_embedding" in path for path in after)


def test_a_misspelt_hold_is_named(trained):
    with pytest.raises(InputError, match=r"hold is 'cond_embeding', which is in no parameter path"):
        stage(trained, 1, trained / "one" / "weights", hold="cond_embeding").init(jax.random.key(0))
    with pytest.raises(InputError, match=r"hold is '\(', which is no regular expression"):
        stage(trained, 1, trained / "one" / "weights", hold="(")


def test_batches_are_of_the_kind_that_the_thresholds_draw(trained, monkeypatch):
    monkeypatch.setenv("JAXANIM_CACHE", str(trained / "cache"))
    start = trained / "one" / "weights"

    def frames(**changes):
        batches = stage(trained, 2, start, **changes).batches(0, 8, 0, 1)
        return [batches[i] for i in range(8)]

    for batch in frames(tau1=1.0, tau2=1.0):
        chex.assert_shape(batch["target"], (8, 1, 4, 4, 4))
        np.testing.assert_array_equal(batch["target"][:, 0], batch["reference"])
    for batch in frames(tau1=0.0, tau2=1.0):
        chex.assert_shape(batch["target"], (4, 2, 4, 4, 4))
        assert not any(np.array_equal(t, batch["reference"][0]) for t in batch["target"][0])
    for batch in frames(tau1=0.0, tau2=0.0):
        chex.assert_shape((batch["target"], batch["parts"]), ((2, 4, 4, 4, 4), (2, 4, 32, 32)))
    kinds = {batch["target"].shape for batch in frames(tau1=0.3, tau2=0.6)}
    assert len(kinds) > 1


def test_hosts_share_the_kind_and_not_the_contents(trained, monkeypatch):
    monkeypatch.setenv("JAXANIM_CACHE", str(trained / "cache"))
    task = stage(trained, 1, trained / "base" / "weights")
    first, second = task.batches(0, 8, 0, 2), task.batches(0, 8, 1, 2)
    for step in range(6):
        chex.assert_equal_shape([first[step]["target"], second[step]["target"]])
    assert any(not np.array_equal(first[i]["target"], second[i]["target"]) for i in range(6))


def test_a_channel_that_the_decoder_ignores_counts_for_nothing(trained, tmp_path, monkeypatch):
    monkeypatch.setenv("JAXANIM_CACHE", str(trained / "cache"))
    config, params = load_weights(trained / "vae")["vae"]
    params["post_quant_conv"]["kernel"] = params["post_quant_conv"]["kernel"].copy()
    params["post_quant_conv"]["kernel"][:, :, 1] = 0
    save_weights(tmp_path, {"vae": (config, params)}, system="vae")
    weights = pixel_weights(str(tmp_path), STILLS)
    assert weights[1] == 0
    assert min(weights[0], *weights[2:]) > 0
    assert np.mean(weights) == pytest.approx(1)
    task = dataclasses.replace(stage(trained, 1, trained / "base" / "weights"), vae=str(tmp_path))
    batch, key = jax.tree.map(jnp.asarray, task.batches(0, 8, 0, 1)[0]), jax.random.key(0)
    params = task.init(key)
    either = [dataclasses.replace(task, weigh_pixels=on) for on in (False, True)]
    losses = np.array(jax.jit(lambda *arguments: [t.loss(*arguments)[0] for t in either])(params, batch, key))
    assert np.isfinite(losses).all()
    assert losses[0] != losses[1]


def test_the_trained_system_loads_and_animates(trained):
    system = systems.load("magicanimate", trained / "two" / "weights")
    video = system.animate(
        np.zeros((*SIZE, 3), np.float32), Driving({"densepose": np.zeros((5, *SIZE, 3), np.uint8)}),
        key=jax.random.key(0), sampling=dataclasses.replace(system.defaults, window=4, overlap=1),
    )  # fmt: skip
    chex.assert_shape(video, (5, *SIZE, 3))
    chex.assert_tree_all_finite(video)


def test_weights_of_another_system_and_unknown_systems_are_refused(trained):
    with pytest.raises(InputError, match="stable_diffusion"):
        systems.load("magicanimate", trained / "base" / "weights")
    with pytest.raises(InputError, match=r"'magicdance'.*magicanimate"):
        systems.load("magicdance", trained / "two" / "weights")


def test_more_targets_than_a_clip_has_other_frames_are_named(trained):
    with pytest.raises(InputError, match="targets is 5"):
        stage(trained, 1, trained / "base" / "weights", targets=5)
