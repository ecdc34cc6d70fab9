"""PoseAnything's stages: what each learns from, what each trains, and the loss against a literal one."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxanim.cues.skeleton_drawing import draw_segments, segment_masks
from jaxanim.data.skeletons import SkeletonClips, WithSkeletons, graph_of
from jaxanim.diffusion.flow import Flow
from jaxanim.errors import InputError
from jaxanim.models.sentencepiece import tokenize
from jaxanim.models.wan.video import to_latents
from jaxanim.puppets import KINDS, puppet_clip
from jaxanim.systems import load
from jaxanim.systems.poseanything import parts
from jaxanim.systems.poseanything.losses import loss
from jaxanim.systems.poseanything.network import velocity
from jaxanim.systems.poseanything.sparse import draw_kept
from jaxanim.systems.poseanything.system import save
from jaxanim.systems.poseanything.task import PoseAnythingRecipe, with_poses
from jaxanim.training.experiment import Experiment
from jaxanim.training.feed import Feed
from jaxanim.training.loop import initial
from jaxanim.training.partition import combine, partition
from jaxanim.training.sharding import make_mesh, shard_batch
from jaxanim.training.state import step_function
from jaxanim.training.tasks.video_vae import VideoVAETask
from jaxanim.weights import load_weights, save_weights
from tests.systems.planned import assert_planned
from tests.systems.tiny_poseanything import CONFIG, TOKENIZER, injected, tiny

CLIPS = SkeletonClips(seeds=(0, 7), frames=5, span=20, size=(32, 32))
HUMANS = dataclasses.replace(CLIPS, kinds=("human",), seeds=(0, 3))


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Weights of the autoencoder, and of the whole system as a stage leaves them."""
    root = tmp_path_factory.mktemp("weights")
    save_weights(root / "vae", {"vae": (CONFIG.vae, tiny().params["vae"])}, system="vae", dtype=jnp.float32)
    save(tiny().params, CONFIG, TOKENIZER, root / "stage2")
    return root


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("JAXANIM_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


def recipe(folders, stage=2, **changes):
    start = str(folders / "stage2") if stage == 3 else None
    fields = {"stage": stage, "vae": str(folders / "vae"), "model": CONFIG, "clips": CLIPS, "start": start}
    return PoseAnythingRecipe(**fields | changes)


def test_puppets_come_in_all_kinds_with_their_skeletons():
    for index in range(7):
        element = CLIPS[index]
        kind = KINDS[index % 7]
        assert KINDS[int(element["kind"])] == kind
        graph = graph_of(element["points"], element["kind"])
        start = int(np.random.default_rng([index, 5, 20]).integers(16))
        clip = puppet_clip(
            index, 20, (32, 32), kind, reference=False, camera="still", frame_indices=start + np.arange(5)
        )
        assert graph.skeleton == clip.skeleton
        np.testing.assert_array_equal(graph.points, clip.points)
        np.testing.assert_array_equal(element["frames"], clip.frames)


def test_the_loss_is_rectified_flow_without_the_clean_first_frame():
    config, params = tiny()
    rng = np.random.default_rng(0)
    batch = {
        "latents": rng.normal(size=(2, 3, 8, 8, 4)).astype(np.float32),
        "poses": rng.integers(0, 256, (2, 5, 32, 32, 3)).astype(np.uint8),
        "text": rng.normal(size=(2, 16, 8)).astype(np.float32),
        "parts": rng.random((2, 2, 3, 4, 4)) < 0.5,
    }
    key = jax.random.key(3)
    key_t, key_noise = jax.random.split(key)
    t = np.asarray(Flow(shift=5.0).draw(key_t, 2))
    eps = np.asarray(jax.random.normal(key_noise, (2, 2, 8, 8, 4)))
    z0 = batch["latents"]
    x = z0.copy()
    for b in range(2):
        s = t[b] / 1000
        x[b, 1:] = (1 - s) * z0[b, 1:] + s * eps[b]
    z_p = to_latents(params["vae"], config.vae, jnp.asarray(batch["poses"] / 127.5 - 1, jnp.float32))
    text = jnp.asarray(batch["text"])
    run = jax.jit(velocity, static_argnums=1)
    v = run(params, config, jnp.asarray(x), jnp.asarray(t), text, z_p, jnp.asarray(batch["parts"]))
    expected = np.mean((np.asarray(v)[:, 1:] - (eps - z0[:, 1:])) ** 2)
    got = jax.jit(loss, static_argnums=1)(params, config, jax.tree.map(jnp.asarray, batch), key)
    np.testing.assert_allclose(got, expected, rtol=1e-4)


@pytest.mark.parametrize("form", ["released", "exclusive"])
def test_batches_hold_drawn_poses_some_left_out_and_in_stage_3_parts(folders, form):
    model = dataclasses.replace(CONFIG, rules=dataclasses.replace(CONFIG.rules, part_form=form))
    task = recipe(folders, 3, model=model, drop_pose=0.2).open()
    batch = task.batches(Feed(seed=0, batch_size=9))[4]
    assert_planned(task.recipe.plan(9), batch)
    rng = np.random.default_rng([0, 4, 0])
    for n, index in enumerate(rng.integers(7, size=9)):
        clip = CLIPS[int(index)]
        graph, kept = graph_of(clip["points"], clip["kind"]), draw_kept(rng, 5) & (rng.random() >= 0.2)
        poses = draw_segments(graph, (32, 32))
        poses[~kept] = 0
        np.testing.assert_array_equal(batch["poses"][n], poses)
        drawn = segment_masks(graph, (32, 32))
        segments = parts.merge_segments(drawn, CONFIG.rules.most_parts, CONFIG.rules.fewest_pixels)
        masks = parts.part_masks(segments, clip["mask"] > 0)
        masks[~kept] = 0
        # Frames 0, 1 and 2, 3 and 4; a token is 8 x 8 pixels.
        tokens = masks.reshape(5, -1, 4, 8, 4, 8).mean((3, 5))
        shares = np.stack([tokens[0], (tokens[1] + tokens[2]) / 2, (tokens[3] + tokens[4]) / 2])
        if form == "released":
            expected = np.zeros((CONFIG.rules.most_parts, 3, 4, 4), bool)
            expected[: shares.shape[1]] = (shares > 0).swapaxes(0, 1)
        else:
            ids = parts.exclusive_ids(shares)
            expected = np.where(np.isin(ids, ids[0]), ids, parts.NO_PART)
        np.testing.assert_array_equal(batch["parts"][n], expected)
        tokens, words = tokenize(TOKENIZER, [clip["prompt"].item().decode()], CONFIG.rules.prompt_length)
        np.testing.assert_array_equal(batch["tokens"][n], tokens[0])
        np.testing.assert_array_equal(batch["words"][n], words[0])
    assert batch["latents"].shape == (9, 3, 8, 8, 4)
    assert 0 < batch["poses"].any((2, 3, 4)).mean() < 1


def test_stage_2_has_no_parts_and_every_pose_may_be_left_out(folders):
    dropped = recipe(folders, 2, drop_pose=1.0).open().batches(Feed(seed=0, batch_size=2))[0]
    assert not dropped["poses"].any()
    assert "parts" not in dropped


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_each_stage_trains_what_the_paper_says(folders, stage):
    begun = {} if stage == 1 else {"start": str(folders / "stage2")}
    task = recipe(folders, stage, clips=HUMANS if stage == 1 else CLIPS, **begun).open()
    params = task.init(jax.random.key(0))
    trained, frozen = map(set, partition(params, task.trainable))
    part = {path for path in trained | frozen if "cross_attn_instance" in path or "norm4" in path}
    assert part
    transformer = {path for path in trained | frozen if path.startswith("transformer/")}
    assert trained == (part if stage == 3 else transformer - part)
    # Fresh, the part module adds nothing.
    assert np.asarray(params["transformer"]["blocks"]["cross_attn_instance"]["to_out_0"]["kernel"]).any() == (
        stage > 1
    )


def test_stage_2_begins_with_a_base_that_has_no_pose_channels(folders, tmp_path):
    base = dataclasses.replace(CONFIG.transformer, in_channels=4, part_attention=False)
    params = tiny().params["transformer"]
    blocks = {name: tree for name, tree in params["blocks"].items() if name not in ("cross_attn_instance", "norm4")}
    kernel = params["patch_embedding"]["kernel"][..., :4, :]
    held = params | {"blocks": blocks, "patch_embedding": params["patch_embedding"] | {"kernel": kernel}}
    save_weights(tmp_path / "base", {"transformer": (base, held)}, system="wan", dtype=jnp.float32)
    widened = recipe(folders, 2, start=str(tmp_path / "base")).open().init(jax.random.key(0))["transformer"]
    np.testing.assert_array_equal(widened["patch_embedding"]["kernel"][..., :4, :], kernel)
    assert not np.asarray(widened["patch_embedding"]["kernel"][..., 4:, :]).any()
    narrow = dataclasses.replace(CONFIG, transformer=dataclasses.replace(CONFIG.transformer, ffn_dim=8))
    with pytest.raises(InputError, match="another transformer than the model describes"):
        with_poses(held, narrow, jax.random.key(0))


def test_training_moves_what_it_trains_and_its_weights_load(folders, tmp_path):
    task = recipe(folders, 3).open()
    experiment = Experiment("tiny", task.recipe, batch_size=2, learning_rate=1e-2)
    mesh = make_mesh(experiment.mesh)
    state, frozen = initial(experiment, task, mesh)
    before = jax.tree.map(np.asarray, combine(state.params, frozen))
    step, batches = step_function(experiment, task, state), task.batches(Feed(seed=0, batch_size=2))
    state, metrics = step(state, frozen, shard_batch(batches[0], mesh))
    assert np.isfinite(float(metrics["loss"]))
    after = combine(state.params, frozen)
    moved = jax.tree.map(lambda a, b: bool((np.asarray(a) != b).any()), after, before)
    blocks = moved["transformer"]["blocks"]
    assert blocks["cross_attn_instance"]["to_v"]["kernel"]
    assert not blocks["attn1"]["to_q"]["kernel"]
    task.save(after, tmp_path / "weights")
    system = load("poseanything", tmp_path / "weights")
    assert system.grid.at_most(8) == 7
    kept = system.params["transformer"]["blocks"]["cross_attn_instance"]["to_v"]["kernel"]
    np.testing.assert_allclose(
        kept, after["transformer"]["blocks"]["cross_attn_instance"]["to_v"]["kernel"], rtol=2e-3
    )


def test_the_autoencoder_learns_puppets_and_skeletons(tmp_path):
    clips = WithSkeletons(CLIPS, share=0.5)
    assert len(clips) == 14
    for index in range(7):
        np.testing.assert_array_equal(clips[index]["frames"], CLIPS[index]["frames"])
        graph = graph_of(CLIPS[index]["points"], CLIPS[index]["kind"])
        np.testing.assert_array_equal(clips[7 + index]["frames"], draw_segments(graph, (32, 32)))
    task = VideoVAETask(CONFIG.vae, clips, dataclasses.replace(CLIPS, seeds=(900_000, 2)), frames=3, crop=16)
    with pytest.raises(InputError, match="has 4 of its clip's 5 frames: it should have 2 n"):
        dataclasses.replace(task, frames=4)
    with pytest.raises(InputError, match="crop is 64: give a multiple of 4, 32 at most"):
        dataclasses.replace(task, crop=64)
    params = tiny().params["vae"]
    batch = task.batches(Feed(seed=0, batch_size=4))[0]
    assert batch["pixels"].shape == (4, 3, 16, 16, 3)
    value, metrics = jax.jit(task.loss)(params, jax.tree.map(jnp.asarray, batch), jax.random.key(0))
    assert np.isfinite(value)
    assert float(metrics["psnr"]) > 0
    task.save(params, tmp_path / "vae")
    config, held = load_weights(tmp_path / "vae")["vae"]
    chex.assert_trees_all_close(
        dataclasses.replace(task, start=str(tmp_path / "vae")).init(jax.random.key(0)), held
    )
    latents = np.concatenate(
        [
            to_latents(held, config, jnp.asarray(task.held_out[n]["frames"][:3][None] / 127.5 - 1, jnp.float32))
            for n in range(2)
        ]
    )
    np.testing.assert_allclose(latents.mean((0, 1, 2, 3)), 0, atol=0.02)
    np.testing.assert_allclose(latents.std((0, 1, 2, 3)), 1, atol=0.02)


@pytest.mark.parametrize(
    ("stage", "changes", "message"),
    [
        (4, {}, "stage is 4"),
        (1, {}, "stage 1 learns from humans alone"),
        (3, {"start": None}, "stage 3 needs `start`"),
        (3, {"model": injected("mlp")}, "a model with part_attention"),
        (2, {"drop_pose": 1.5}, "drop_pose is 1.5"),
        (
            2,
            {"clips": dataclasses.replace(CLIPS, frames=6)},
            "clips have 6 frames: give 1 more than a multiple of 2",
        ),
        (2, {"parts": "none"}, "parts is 'none'"),
    ],
)
def test_recipes_that_cannot_be_are_refused(folders, stage, changes, message):
    with pytest.raises(InputError, match=message):
        recipe(folders, stage, **changes)
