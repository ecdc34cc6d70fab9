"""The decoder's training: its data against the sampler, what learns, what is written."""

import dataclasses
import json

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxanim import systems
from jaxanim.cues.densepose import colored
from jaxanim.cues.driving import Driving
from jaxanim.data.puppets import PuppetClips
from jaxanim.errors import InputError
from jaxanim.media.images import to_float
from jaxanim.models.tokenizer import build_word_tokenizer
from jaxanim.models.vae import to_latents, to_pixels
from jaxanim.systems.magicanimate.animate import Options
from jaxanim.systems.magicanimate.finishing import MagicAnimateWeights
from jaxanim.systems.magicanimate.system import save
from jaxanim.training.experiment import Experiment
from jaxanim.training.feed import Feed
from jaxanim.training.finishing.decoder import DecoderRecipe
from jaxanim.training.finishing.estimates import digest, estimates
from jaxanim.training.loop import train
from tests.systems.tiny import FLAT, tiny

CLIPS = PuppetClips(seeds=(0, 4), frames=5, span=50, size=(32, 32))


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    config, params = tiny(sizes=FLAT)
    save(params, config, build_word_tokenizer(["red"], tmp_path_factory.mktemp("tokenizer"), length=8), folder)
    return folder


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("JAXANIM_CACHE", str(tmp_path_factory.getbasetemp() / "decoder_cache"))


def opener(folder):
    return MagicAnimateWeights(str(folder))


def task(start, **changes):
    return DecoderRecipe(
        **{"start": opener(start), "clips": CLIPS, "held_out": CLIPS, "count": 3, "targets": 3} | changes
    )


@pytest.mark.slow
def test_estimates_decoded_are_the_frames_that_the_system_animates(start):
    system = systems.load("magicanimate", start)
    index = 1
    element = estimates(CLIPS, 3, 3, opener(start).open())[index]
    chex.assert_shape(element["estimates"], (3, 4, 4, 4))
    clip = CLIPS[index]
    order = [next(i for i in range(5) if np.array_equal(clip["frames"][i], frame)) for frame in element["frames"]]
    (reference, *_) = np.random.default_rng(index).choice(5, 4, replace=False)
    assert reference not in order
    animated = system.animate(
        to_float(clip["frames"][reference]), Driving({"densepose": colored(clip["parts"][order])}),
        key=jax.random.key(index), sampling=dataclasses.replace(system.defaults, window=3, overlap=0),
        options=Options(temporal=False),
    )  # fmt: skip
    latents = jnp.asarray(element["estimates"], jnp.float32)
    decoded = jnp.clip(to_pixels(system.params["vae"], FLAT.vae, latents[None])[0], -1, 1)
    np.testing.assert_allclose(decoded, animated, atol=5e-3)
    true = to_latents(system.params["vae"], FLAT.vae, jnp.asarray(to_float(element["frames"]))[None])[0]
    np.testing.assert_allclose(element["latents"], true, atol=5e-3)


def test_the_decoder_alone_learns_and_whole_weights_are_written(start, tmp_path):
    schedule = {"steps": 2, "batch_size": 4, "sheet_every": 2, "save_every": 0, "threads": 0}
    train(Experiment("decoder", task(start), **schedule), tmp_path)
    before, after = (systems.load("magicanimate", folder) for folder in (start, tmp_path / "weights"))
    assert after.config == before.config
    assert not jnp.array_equal(*(s.params["vae"]["decoder"]["conv_in"]["kernel"] for s in (before, after)))
    assert digest(opener(tmp_path / "weights").open()) == digest(opener(start).open())


def test_whatever_changes_samples_changes_their_digest(start):
    weights = opener(start).open()
    moved = weights.params | {"controlnet": jax.tree.map(lambda x: x + 1, weights.params["controlnet"])}
    more = dataclasses.replace(weights.whole, defaults=dataclasses.replace(weights.whole.defaults, steps=5))
    others = [dataclasses.replace(weights, params=moved), dataclasses.replace(weights, whole=more)]
    assert len({digest(one) for one in (weights, *others)}) == 3


def test_how_often_true_latents_are_decoded(start):
    sampled = {share: task(start, true_share=share).open().batches(Feed()) for share in (0.0, 0.5, 1.0)}
    counts = {share: sum(int(batches[i]["sampled"].sum()) for i in range(5)) for share, batches in sampled.items()}
    assert counts[0.0] == 40
    assert counts[1.0] == 0
    assert 8 < counts[0.5] < 32


def test_the_loss_is_the_pixels_mean_square_error(start):
    one = task(start).open()
    batch = jax.tree.map(jnp.asarray, one.batches(Feed(batch_size=4))[0])
    params = one.init(jax.random.key(0))
    loss, metrics = jax.jit(one.loss)(params, batch, jax.random.key(0))
    decoded = to_pixels(params, FLAT.vae, batch["latents"][:, None].astype(jnp.float32))[:, 0]
    square = np.mean((np.asarray(decoded) - np.asarray(to_float(np.asarray(batch["pixels"])))) ** 2, axis=(1, 2, 3))
    assert float(loss) == pytest.approx(square.mean(), rel=1e-4)
    wanted = 10 * np.log10(4 / square[np.asarray(batch["sampled"])].mean())
    assert float(metrics["psnr"]) == pytest.approx(wanted, rel=1e-4)


def test_with_a_discriminator_both_learn_and_it_is_not_written(start, tmp_path):
    # A layer of each alone, for the compiler's sake.
    few = "^(?!decoder/conv_in/|discriminator/conv_out/)"
    schedule = {"steps": 2, "batch_size": 4, "sheet_every": 0, "save_every": 0, "threads": 0, "hold": few}
    train(Experiment("decoder", task(start, adversarial=0.5), **schedule), tmp_path)
    before, after = (systems.load("magicanimate", folder) for folder in (start, tmp_path / "weights"))
    chex.assert_trees_all_equal_structs(before.params, after.params)
    assert not jnp.array_equal(*(s.params["vae"]["decoder"]["conv_in"]["kernel"] for s in (before, after)))
    first, last = (json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines())
    assert first["discriminator"] != last["discriminator"]


def test_a_deeper_autoencoder_begins_as_the_one_it_was(start, tmp_path):
    deeper, shallow = (task(start, layers=layers).open() for layers in (3, None))
    params, before = (one.init(jax.random.key(0)) for one in (deeper, shallow))
    assert set(params["decoder"]["up_blocks_0"]) - set(before["decoder"]["up_blocks_0"]) == {
        "resnets_2",
        "resnets_3",
    }
    pixels = jax.random.uniform(jax.random.key(1), (1, 2, 32, 32, 3), minval=-1)
    latents = to_latents(before, shallow.vae, pixels)
    np.testing.assert_allclose(to_latents(params, deeper.vae, pixels), latents, atol=1e-6)
    np.testing.assert_allclose(
        to_pixels(params, deeper.vae, latents), to_pixels(before, shallow.vae, latents), atol=1e-6
    )
    deeper.save(params, tmp_path)
    after = systems.load("magicanimate", tmp_path)
    assert after.config.vae.layers_per_block == 3
    np.testing.assert_allclose(to_latents(after.params["vae"], after.config.vae, pixels), latents, atol=2e-3)
    with pytest.raises(InputError, match="layers is 0: the autoencoder to begin with has 1"):
        task(start, layers=0).open()


def test_impossible_numbers_are_named(start):
    for changes, message in (
        ({"true_share": 1.5}, "true_share is 1.5"),
        ({"adversarial": -0.5}, "adversarial is -0.5: it must be 0 or more"),
        ({"count": 5}, "count is 5: there are 4 clips"),
        ({"targets": 5}, "targets is 5: clips of 5 frames have 1 to 4"),
    ):
        with pytest.raises(InputError, match=message):
            task(start, **changes)
