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
from jaxanim.models.unet_config import image_form
from jaxanim.systems.magicanimate.task import MagicAnimateRecipe
from jaxanim.systems.stable_diffusion.task import TextToImageRecipe
from jaxanim.training.experiment import Experiment
from jaxanim.training.feed import Feed
from jaxanim.training.finishing.pixel_weights import pixel_weights
from jaxanim.training.loop import train
from jaxanim.training.objective import Objective
from jaxanim.training.partition import partition
from jaxanim.weights import load_weights, save_weights
from tests.systems.planned import assert_planned
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
        train(Experiment("base", base(folder), hold=f"{HELD}|^text_encoder/", **SHEETS), folder / "base")
        one = stage(folder, 1, folder / "base" / "weights")
        train(Experiment("one", one, hold=HELD, **SHEETS), folder / "one")
        two = stage(folder, 2, folder / "one" / "weights", tau1=0.0, tau2=0.0)
        train(Experiment("two", two, hold=HELD, **SHEETS), folder / "two")
        yield folder


def base(folder, **changes):
    return TextToImageRecipe(
        str(folder / "vae"), STILLS, image_form(CONFIG.unet), CONFIG.text_encoder, CONFIG.diffusion, **changes
    )


def stage(folder, number, start, **changes):
    return MagicAnimateRecipe(
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
            {name: tree for name, tree in task.open().init(jax.random.key(1)).items() if name != "empty_prompt"},
            networks(start),
        )
    # The same layers learn as did in stage 1, so that it is the same program.
    train(Experiment("further", first, hold=HELD, **SCHEDULE), tmp_path)
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
    modules = split_motion(task.open().init(jax.random.key(1))["unet"])[1]
    assert not jnp.any(modules["up_blocks_0"]["motion_modules_0"]["proj_out"]["kernel"])


def learning(task, params, **changes):
    """The paths of what learns."""
    return partition(params, task.trainable, **changes)[0].keys()


def test_what_is_held_does_not_learn(trained):
    task = stage(trained, 1, trained / "one" / "weights").open()
    params = task.init(jax.random.key(0))
    everything = learning(task, params)
    some = learning(task, params, hold="cond_embedding|/down_blocks_0/")
    held = everything - some
    assert {path.split("/")[1] for path in held} == {"controlnet_cond_embedding", "down_blocks_0"}
    assert not any("cond_embedding" in path or "/down_blocks_0/" in path for path in some)


def test_what_is_thawed_learns_too(trained):
    task = stage(trained, 1, trained / "two" / "weights").open()
    params = task.init(jax.random.key(0))
    before = learning(task, params, hold="cond_embedding")
    after = learning(task, params, hold="cond_embedding", thaw="^unet/(?!.*motion_modules)")
    image, temporal = split_motion(params["unet"])
    assert temporal
    assert before < after
    assert after - before == {f"unet/{path}" for path in flatten_dict(image, sep="/")}
    assert not any("cond_embedding" in path for path in after)


def test_a_misspelt_hold_is_named_before_any_data_is_made(trained, tmp_path, monkeypatch):
    monkeypatch.setenv("JAXANIM_CACHE", str(tmp_path / "cache"))
    one = stage(trained, 1, trained / "one" / "weights")
    with pytest.raises(InputError, match=r"hold is 'cond_embeding', which is in no parameter path"):
        train(Experiment("one", one, hold="cond_embeding", **SCHEDULE), tmp_path / "run")
    with pytest.raises(InputError, match=r"hold is '\(', which is no regular expression"):
        Experiment("one", one, hold="(", **SCHEDULE)
    assert not (tmp_path / "cache").exists()


def test_the_base_is_trained_further_from_its_weights(trained):
    start = trained / "base" / "weights"
    task = base(trained, start=str(start)).open()
    params = task.init(jax.random.key(5))
    chex.assert_trees_all_equal(params, networks(start))
    fresh = base(trained).open().init(jax.random.key(5))
    assert not jnp.array_equal(*(tree["unet"]["conv_in"]["kernel"] for tree in (params, fresh)))
    other = dataclasses.replace(image_form(CONFIG.unet), block_out_channels=(16,))
    with pytest.raises(InputError, match="has shape"):
        dataclasses.replace(base(trained, start=str(start)), unet=other).open()


def test_batches_are_of_the_kind_that_the_thresholds_draw(trained, monkeypatch):
    monkeypatch.setenv("JAXANIM_CACHE", str(trained / "cache"))
    start = trained / "one" / "weights"

    def frames(**changes):
        batches = stage(trained, 2, start, **changes).open().batches(Feed())
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
    task = stage(trained, 1, trained / "base" / "weights").open()
    first, second = (task.batches(Feed(part=part, parts=2)) for part in (0, 1))
    for step in range(6):
        chex.assert_equal_shape([first[step]["target"], second[step]["target"]])
    assert any(not np.array_equal(first[i]["target"], second[i]["target"]) for i in range(6))


def test_a_channel_that_the_decoder_ignores_counts_for_nothing(trained, tmp_path, monkeypatch):
    monkeypatch.setenv("JAXANIM_CACHE", str(trained / "cache"))
    config, params = load_weights(trained / "vae")["vae"]
    params["post_quant_conv"]["kernel"] = params["post_quant_conv"]["kernel"].copy()
    params["post_quant_conv"]["kernel"][:, :, 1] = 0
    save_weights(tmp_path, {"vae": (config, params)}, system="vae")
    weights = pixel_weights(config, jax.tree.map(jnp.asarray, params), STILLS)
    assert weights[1] == 0
    assert min(weights[0], *weights[2:]) > 0
    assert np.mean(weights) == pytest.approx(1)
    task = dataclasses.replace(stage(trained, 1, trained / "base" / "weights"), vae=str(tmp_path))
    objectives = [Objective(weigh_pixels=on) for on in (False, True)]
    either = [dataclasses.replace(task, objective=objective).open() for objective in objectives]
    assert either[1].objective.channel_weights == weights
    batch, key = jax.tree.map(jnp.asarray, either[0].batches(Feed())[0]), jax.random.key(0)
    params = either[0].init(key)
    assert_planned(task.plan(8), params=params)
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
