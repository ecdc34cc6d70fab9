"""DirectAnimator's two stages from the puppets to weights that animate: one step of each."""

import dataclasses
from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxanim import systems
from jaxanim.config_file import load_config
from jaxanim.data.puppets import PuppetClips
from jaxanim.errors import InputError
from jaxanim.models.cogvideox.chunks import to_latents
from jaxanim.models.cogvideox.config import CogVideoXConfig
from jaxanim.models.cogvideox.image_to_video import image_latent
from jaxanim.models.cogvideox.vae import CogVideoXVAEConfig
from jaxanim.models.shapes import fresh_params, parameter_shapes
from jaxanim.puppets import puppet_clip
from jaxanim.puppets.driving import driving_of
from jaxanim.systems.base import Sampling
from jaxanim.systems.directanimator.animate import encode_cue
from jaxanim.systems.directanimator.config import DirectAnimatorConfig
from jaxanim.systems.directanimator.cues import CueOptions
from jaxanim.systems.directanimator.losses import Same2X
from jaxanim.systems.directanimator.network import CueTransformerConfig
from jaxanim.systems.directanimator.pairs import PairClips, PairCues, PuppetPairs
from jaxanim.systems.directanimator.task import DirectAnimatorRecipe
from jaxanim.training.experiment import Experiment
from jaxanim.training.feed import Feed
from jaxanim.training.partition import combine, partition
from jaxanim.training.tasks.video_vae import VideoVAETask
from jaxanim.weights import save_weights
from tests.systems.planned import assert_planned

CONFIGS = Path(__file__).parents[2] / "configs"
CUES = CueOptions(grid=4, cut_off=8.0)
BASE = CogVideoXConfig(
    num_attention_heads=2, attention_head_dim=16, in_channels=8, out_channels=4, time_embed_dim=12, ofs_embed_dim=12,
    text_embed_dim=10, num_layers=3,
)  # fmt: skip
VAE = CogVideoXVAEConfig(latent_channels=4, block_out_channels=(8, 8, 8, 8), layers_per_block=1, norm_num_groups=4)
CONFIG = DirectAnimatorConfig(
    transformer=CueTransformerConfig(BASE, cue_channels=5),
    vae=VAE,
    cues=CUES,
    defaults=Sampling(size=(32, 32), steps=2, guidance=2.0, window=9, overlap=0),
)
PAIRS = PuppetPairs(seeds=(0, 2), frames=9, span=20, size=(32, 32), cues=CUES)


@pytest.fixture(scope="module")
def folders(tmp_path_factory, monkeypatch_module):
    """A random autoencoder, and stage 1's weights after one step with it."""
    folder = tmp_path_factory.mktemp("directanimator")
    monkeypatch_module.chdir(folder)  # the cache of rendered pairs
    save_weights(folder / "vae", {"vae": (VAE, fresh_params("vae", VAE, jax.random.key(0)))}, system="vae")
    recipe = DirectAnimatorRecipe(1, CONFIG, PAIRS, vae=str(folder / "vae"))
    task = recipe.open()
    params = task.init(jax.random.key(1))
    params, logs = step(task, params)
    assert set(logs) == {"denoising"}
    task.save(params, folder / "stage1")
    return folder, params


@pytest.fixture(scope="module")
def monkeypatch_module():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


def step(task, params):
    """One step of gradient descent on one batch, large enough to be seen in float16."""
    batch = jax.tree.map(jnp.asarray, task.batches(Feed(batch_size=2))[0])
    learns, frozen = partition(params, task.trainable)

    @jax.jit
    def update(learns, frozen):
        def loss(learns):
            return task.loss(combine(learns, frozen), batch, jax.random.key(2))

        (value, logs), slope = jax.value_and_grad(loss, has_aux=True)(learns)
        return jax.tree.map(lambda p, g: p - 0.05 * g / (1e-6 + jnp.abs(g).max()), learns, slope), (value, logs)

    moved, (value, logs) = update(learns, frozen)
    assert np.isfinite(value)
    after = combine(moved, frozen)
    changed = jax.tree.map(lambda a, b: bool(jnp.any(a != b)), params, after)
    assert any(jax.tree.leaves(changed["transformer"]["transformer"]["fusion_blocks"]))
    assert not any(jax.tree.leaves({name: tree for name, tree in changed.items() if name != "transformer"}))
    return after, logs


def test_pairs_show_one_motion_by_two_identities():
    pair = PAIRS[0]
    assert {name: value.shape for name, value in pair.items() if "pseudo" not in name} == {
        "frames": (9, 32, 32, 3), "reference": (32, 32, 3), "pose": (9, 32, 32, 3), "face": (9, 32, 32, 3),
        "body_mask": (9, 32, 32), "face_mask": (9, 32, 32),
    }  # fmt: skip
    np.testing.assert_array_equal(pair["pseudo_body_mask"], pair["body_mask"])
    assert (pair["pseudo_pose"] != pair["pose"]).any()
    own, other = PAIRS.clips(0)
    assert (own.frames != other.frames).any()
    # The same motion: shoulders and hips move together, but for the bodies' measures.
    seen = (own.keypoints.body[:, 0, [2, 5], 2] > 0).all() and (other.keypoints.body[:, 0, [2, 5], 2] > 0).all()
    if seen:
        np.testing.assert_allclose(own.keypoints.body[:, 0, [2, 5]], other.keypoints.body[:, 0, [2, 5]], atol=6)
    np.testing.assert_array_equal(PAIRS[0]["pseudo_pose"], pair["pseudo_pose"])
    with pytest.raises(InputError, match="frames is 6: it must be 8 n"):
        PuppetPairs(frames=6)


def test_batches_are_what_the_autoencoder_makes_of_pairs(folders):
    folder, params = folders
    task = DirectAnimatorRecipe(1, CONFIG, PAIRS, vae=str(folder / "vae")).open()
    batch = task.batches(Feed(batch_size=1))[0]
    assert_planned(task.recipe.plan(1), batch)
    direct = [encoded_directly(params["vae"], PAIRS[i]) for i in range(2)]
    same = min(direct, key=lambda one: np.abs(one["latents"] - batch["latents"][0]).max())
    assert set(same) == set(batch)
    for name, value in batch.items():
        np.testing.assert_allclose(value[0], same[name], atol=3e-3 * np.abs(same[name]).max(), err_msg=name)
    held_out = task.held_out(2)
    assert [jax.tree.map(np.shape, one) for one in held_out] == [
        {name: (2, *value.shape[1:]) for name, value in batch.items()}
    ]
    assert np.abs(held_out[0]["latents"][0] - same["latents"]).max() > 0.01


def encoded_directly(vae, pair):
    """What a pair is to the transformer, one picture after another."""

    def cue(pictures, mask):
        video = jnp.asarray(pair[pictures][None])
        return encode_cue({"vae": vae}, CONFIG, video, jnp.asarray(pair[mask][None]), 0)[0]

    masks = {"pose": "body_mask", "face": "face_mask"}
    cues = {p + name: cue(p + name, p + mask) for p in ("", "pseudo_") for name, mask in masks.items()}
    frames, reference = (jnp.asarray(pair[name] / 127.5 - 1, jnp.float32) for name in ("frames", "reference"))
    latents = to_latents(vae, VAE, frames[None])[0]
    return cues | {"latents": latents, "image": image_latent(vae, VAE, reference[None, None], None)[0]}


def test_clips_are_rendered_once_for_all_sorts_of_cues():
    first, other = PAIRS, dataclasses.replace(PAIRS, cues=dataclasses.replace(CUES, pose="skeleton"), faulty=1.0)
    clips = PairClips.of(first)
    assert clips == PairClips.of(other)
    element = clips[1]
    for pairs in (first, other):
        chex.assert_trees_all_equal(PairCues(pairs, {1: element})[1], pairs[1])
    shown, drawn = first.shown(1, element), other.shown(1, element)
    np.testing.assert_array_equal(drawn["pose"], element["openpose"])
    np.testing.assert_array_equal(shown["face"], drawn["face"])
    # The other identity plays backwards, the location cue does not.
    backwards = other.shown(1, element | {name: element[name][::-1] for name in element if "driver_" in name})
    forwards = dataclasses.replace(other, faulty=0.0).shown(1, element)
    np.testing.assert_array_equal(backwards["pseudo_pose"], forwards["pseudo_pose"])
    assert (drawn["pseudo_pose"] != forwards["pseudo_pose"]).any()
    np.testing.assert_array_equal(drawn["pseudo_body_mask"], shown["body_mask"])


def test_the_first_stage_begins_with_a_base(folders):
    folder, _ = folders
    base = fresh_params("transformer", BASE, jax.random.key(7))
    save_weights(folder / "base", {"cogvideox": (BASE, base)}, system="cogvideox", dtype=jnp.float32)
    recipe = DirectAnimatorRecipe(1, CONFIG, PAIRS, vae=str(folder / "vae"), base=str(folder / "base"))
    params = recipe.open().init(jax.random.key(8))["transformer"]
    chex.assert_trees_all_equal({name: params["transformer"][name] for name in base}, base)
    chex.assert_trees_all_equal_shapes(params, parameter_shapes("transformer", CONFIG.transformer))
    with pytest.raises(InputError, match="holds vae; it should hold a CogVideoXConfig's"):
        dataclasses.replace(recipe, base=str(folder / "vae")).open()


def test_the_second_stage_learns_with_the_first_as_its_teacher(folders):
    folder, params = folders
    recipe = DirectAnimatorRecipe(2, CONFIG, PAIRS, start=str(folder / "stage1"), same2x=Same2X(depth=2))
    task = recipe.open()
    start = task.init(jax.random.key(3))
    chex.assert_trees_all_close(start["transformer"], params["transformer"], atol=2e-3)
    chex.assert_trees_all_equal(start["teacher"], start["transformer"])
    after, logs = step(task, start)
    assert set(logs) == {"denoising", "alignment"}
    assert -1 <= logs["alignment"] < 0
    chex.assert_trees_all_equal(after["teacher"], start["teacher"])
    other = dataclasses.replace(PAIRS, cues=dataclasses.replace(CUES, face=False))
    with pytest.raises(InputError, match=r"pairs have CueOptions\(.*face=False.*learnt from"):
        dataclasses.replace(recipe, pairs=other).open()
    anew = dataclasses.replace(recipe, afresh=True).open().init(jax.random.key(3))
    chex.assert_trees_all_equal(anew["teacher"], start["teacher"])
    chex.assert_trees_all_equal(
        anew["transformer"], fresh_params("transformer", CONFIG.transformer, jax.random.key(3))
    )
    plain = dataclasses.replace(recipe, same2x=None).open()
    assert set(plain.init(jax.random.key(3))) == {"transformer", "vae"}


def test_weights_animate_by_an_ordinary_video(folders):
    folder, _ = folders
    system = systems.load("directanimator", folder / "stage1")
    assert system.grid.side == 16
    assert system.grid.at_most(16) == 9
    clip = puppet_clip(950_000, 9, (32, 32))
    reference = clip.reference.astype(np.float32) / 127.5 - 1
    driving = driving_of(clip)

    told = []

    def animate(driving, **options):
        given = {"options": system.entry.module.Options(**options), "report": lambda *at: told.append(at)}
        return np.asarray(system.animate(reference, driving, key=jax.random.key(0), **given))

    video = animate(driving)
    assert video.shape == (9, 32, 32, 3)
    steps = system.defaults.steps
    assert [at[:2] for at in told] == [(k + 1, steps) for k in range(steps)]
    assert {at[2].shape for at in told} == {(3, 4, 4, 3)}  # of its latents
    assert np.isfinite(video).all()
    np.testing.assert_array_equal(video, animate(driving))
    assert (video != animate(driving, face=False, location=False)).any()
    still = dataclasses.replace(driving, pictures={"video": np.flip(clip.frames, 0)}, masks=np.flip(clip.mask, 0))
    assert (video != animate(still)).any()
    with pytest.raises(InputError, match="without masks of the person"):
        animate(dataclasses.replace(driving, masks=None))
    with pytest.raises(InputError, match="motion has 17 frames: these weights make up to 9"):
        animate(driving_of(puppet_clip(950_000, 17, (32, 32))))


def test_the_puppet_world_s_configs_fit_each_other():
    autoencoder, first, second = (
        load_config(CONFIGS / f"directanimator_{name}.py", Experiment).task for name in ("vae", "stage1", "stage2")
    )
    model = first.model
    assert model == second.model
    assert autoencoder.model == model.vae
    assert model.transformer.transformer.in_channels == 2 * model.vae.latent_channels
    assert model.transformer.cue_channels == model.vae.latent_channels + 1
    assert first.pairs.cues == model.cues
    assert second.same2x.depth < model.transformer.transformer.num_layers
    frames = model.defaults.window
    assert frames == first.pairs.frames == autoencoder.clips.frames
    size = sum(leaf.size for leaf in jax.tree.leaves(parameter_shapes("transformer", model.transformer)))
    assert size < 20_000_000  # 40 MB in float16


@pytest.mark.slow
def test_a_step_of_the_autoencoder(folders):
    clips = PuppetClips(seeds=(0, 2), frames=9, spacing="consecutive", span=20, size=(32, 32))
    task = VideoVAETask(VAE, clips, clips, crop=16)
    params = task.open().init(jax.random.key(0))
    batch = jax.tree.map(jnp.asarray, task.batches(Feed(batch_size=2))[0])
    assert batch["pixels"].shape == (2, 9, 16, 16, 3)
    loss = jax.jit(jax.value_and_grad(lambda p: task.loss(p, batch, jax.random.key(1)), has_aux=True))
    (value, logs), slope = loss(params)
    assert np.isfinite(value)
    assert set(logs) == {"psnr", "latent_std", "kl"}
    assert all(bool(jnp.any(leaf)) for leaf in jax.tree.leaves(slope["decoder"]["conv_out"]))
    assert all(bool(jnp.any(leaf)) for leaf in jax.tree.leaves(slope["encoder"]["conv_in"]))
    learnt = dataclasses.replace(task, start=str(folders[0] / "vae")).init(jax.random.key(0))
    chex.assert_trees_all_equal_shapes(learnt, params)
    with pytest.raises(InputError, match="has 6 of its clip's 6 frames: it should have 8 n"):
        VideoVAETask(VAE, dataclasses.replace(clips, frames=6), clips)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"stage": 3, "vae": "x"}, "stage is 3"),
        ({"stage": 2, "vae": "x"}, "stage 2 `start` alone"),
        ({"stage": 2, "start": "x", "base": "x"}, "stage 2 `start` alone"),
        ({"stage": 1, "vae": "x", "drop_cues": 1.0}, "drop_cues is 1.0"),
    ],
)
def test_impossible_recipes_are_refused(fields, message):
    with pytest.raises(InputError, match=message):
        DirectAnimatorRecipe(model=CONFIG, pairs=PAIRS, **fields)
