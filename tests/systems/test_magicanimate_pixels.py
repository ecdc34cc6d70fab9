"""Training MagicAnimate on pixels: its samples against the sampler, the loss written out, what learns."""

import dataclasses
import json

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxanim import systems
from jaxanim.cues.densepose import colour_parts
from jaxanim.data.puppets import PuppetClips
from jaxanim.errors import InputError
from jaxanim.media.images import to_float
from jaxanim.models.tokenizer import build_word_tokenizer, load_tokenizer
from jaxanim.models.vae import to_pixels
from jaxanim.systems.base import Sampling
from jaxanim.systems.magicanimate.animate import Options, animate_latents
from jaxanim.systems.magicanimate.finishing import MagicAnimateWeights
from jaxanim.systems.magicanimate.system import save
from jaxanim.training.experiment import Experiment
from jaxanim.training.feed import Feed
from jaxanim.training.finishing.pixels import PixelRecipe
from jaxanim.training.finishing.texture import texture_loss
from jaxanim.training.loop import train
from jaxanim.training.partition import combine, partition
from tests.systems.tiny import FLAT, tiny

CLIPS = PuppetClips(seeds=(0, 3), frames=4, span=50, size=(32, 32))
KEY = jax.random.key(3)
CONFIG = dataclasses.replace(FLAT, defaults=Sampling(size=(32, 32), steps=1, guidance=1.0))


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    params = tiny(sizes=FLAT).params
    save(params, CONFIG, build_word_tokenizer(["red"], tmp_path_factory.mktemp("tokenizer"), length=8), folder)
    return folder


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("JAXANIM_CACHE", str(tmp_path_factory.getbasetemp() / "pixels_cache"))


def task(start, **changes):
    return PixelRecipe(**{"start": MagicAnimateWeights(str(start)), "clips": CLIPS, "true_share": 0.0} | changes)


@pytest.fixture(scope="module")
def sampled(start):
    """(batch of one reference with two frames, the task's parameters, the latents of the frames)."""
    one = task(start).open()
    batch = one.batches(Feed(batch_size=2))[0]
    params = one.init(KEY)
    # With the noise that the loss draws.
    return batch, params, run(one.weights, params, batch, jax.random.split(KEY)[0])


def run(weights, params, batch, key):
    """The task's samples."""
    return jax.jit(weights.sample_latents)(params, batch["reference"], {"parts": batch["parts"]}, key)


def test_what_learns_is_what_the_sampler_samples(start, sampled):
    """The frames that the user's sampler makes of the same image in two steps, without temporal layers."""
    batch, params, _ = sampled
    weights = task(start).open().weights
    defaults = Sampling(size=(32, 32), steps=2, guidance=1.0)
    two = dataclasses.replace(weights, whole=dataclasses.replace(weights.whole, defaults=defaults))
    latents = run(two, params, batch, KEY)
    clips = [CLIPS[i]["frames"] for i in range(3)]
    clip = next(c for c in clips if any(np.array_equal(batch["frames"][0, 0], frame) for frame in c))
    driven = [next(i for i in range(4) if np.array_equal(clip[i], frame)) for frame in batch["frames"][0]]
    others = [i for i in range(4) if i not in driven]
    animated = [
        animate_latents(
            params, CONFIG, jnp.asarray(to_float(clip[i])), colour_parts(batch["parts"][0]), key=KEY,
            sampling=Sampling(steps=2, guidance=1.0, window=2, overlap=0),
            options=Options(temporal=False, share_noise=False),
        )
        for i in others
    ]  # fmt: skip
    chex.assert_shape(latents, (1, 2, 4, 4, 4))
    # One of the two frames left is the reference; its latents were stored in half precision.
    errors = [float(jnp.abs(one - latents[0]).max()) for one in animated]
    assert min(errors) < 5e-3 < max(errors)


def test_the_loss_counts_body_and_head_as_asked(start, sampled):
    batch, params, latents = sampled
    one = task(start, subject_weight=2.0, head_weight=5.0, texture=1.5).open()
    loss, metrics = jax.jit(one.loss)(params, batch, KEY)
    decoded = np.asarray(to_pixels(params["vae"], CONFIG.vae, latents))
    error = ((decoded - to_float(batch["frames"])) ** 2).mean(-1)
    weights = np.ones(batch["parts"].shape)
    for index, part in np.ndenumerate(batch["parts"]):
        weights[index] = 5 if part in (23, 24) else 2 if part else 1
    assert {1, 2, 5} == set(np.unique(weights))
    weights /= weights.mean()
    singles = (x.reshape(2, 32, 32, -1) for x in (decoded, to_float(batch["frames"])))
    texture = texture_loss(*map(jnp.asarray, singles), jnp.asarray(weights.reshape(2, 32, 32), jnp.float32))
    assert float(texture) > 0.01
    assert float(loss) == pytest.approx((weights * error).mean() + 1.5 * float(texture), rel=1e-4)
    assert float(metrics["psnr"]) == pytest.approx(10 * np.log10(4 / error.mean()), rel=1e-4)
    body = error[batch["parts"] > 0].mean()
    assert float(metrics["psnr_subject"]) == pytest.approx(10 * np.log10(4 / body), rel=1e-4)


def test_true_latents_teach_the_decoder_alone(start, sampled):
    batch, params, _ = sampled
    batch = jax.tree.map(jnp.asarray, batch)
    paths = ("unet/conv_in/kernel", "vae/decoder/conv_in/kernel")
    learn, rest = partition(params, [f"^{path}" for path in paths])
    loss = task(start, true_share=1.0).open().loss
    gradient = jax.jit(jax.grad(lambda learn: loss(combine(learn, rest), batch, KEY)[0]))(learn)
    assert [bool(jnp.any(gradient[path] != 0)) for path in paths] == [False, True]


@pytest.mark.slow
def test_training_writes_whole_weights_with_what_does_not_learn_as_it_was(start, tmp_path):
    one, few = task(start, adversarial=0.5), "^(?!.*conv_(in|out))"
    schedule = {"hold": few, "steps": 2, "batch_size": 4, "sheet_every": 2, "save_every": 0, "threads": 0}
    train(Experiment("pixels", one, **schedule), tmp_path)
    before, after = (systems.load("magicanimate", folder) for folder in (start, tmp_path / "weights"))
    assert after.config == before.config
    chex.assert_trees_all_equal_structs(before.params, after.params)
    for same in ("text_encoder", "empty_prompt"):
        chex.assert_trees_all_equal(before.params[same], after.params[same])
    chex.assert_trees_all_equal(*(s.params["vae"]["encoder"] for s in (before, after)))
    for network in ("unet", "appearance_encoder", "controlnet"):
        assert not jnp.array_equal(*(s.params[network]["conv_in"]["kernel"] for s in (before, after)))
    assert not jnp.array_equal(*(s.params["vae"]["decoder"]["conv_in"]["kernel"] for s in (before, after)))
    first, last = (json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines())
    assert first["discriminator"] != last["discriminator"]
    assert [path.name for path in (tmp_path / "sheets").iterdir()] == ["0000002.png"]


def test_impossible_numbers_are_named(start, tmp_path):
    for changes, message in (
        ({"true_share": 1.5}, "true_share is 1.5"),
        ({"adversarial": -0.5}, "adversarial is -0.5: it must be 0 or more"),
        ({"head_weight": float("inf")}, "head_weight is inf"),
        ({"subject_weight": 0.0}, "subject_weight is 0.0: it must be greater than 0"),
        ({"texture": -1.0}, "texture is -1.0: it must be 0 or more"),
        ({"targets": 4}, "targets is 4: clips of 4 frames have 1 to 3"),
    ):
        with pytest.raises(InputError, match=message):
            task(start, **changes)
    guided = dataclasses.replace(CONFIG, defaults=FLAT.defaults)
    save(tiny(sizes=FLAT).params, guided, load_tokenizer(start / "tokenizer"), tmp_path)
    with pytest.raises(InputError, match="it samples with guidance; give weights that sample without it"):
        task(tmp_path).open()
    with pytest.raises(InputError, match="hold is 'conv_inn'"):
        train(Experiment("pixels", task(start), hold="conv_inn"), tmp_path / "run")
