"""MagicPose's training: Eqs. 3 to 5 against literal transcriptions, and what learns in which stage."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxanim.models.appearance import AppearanceEncoder, keys_and_values
from jaxanim.models.controlnet import ControlNet
from jaxanim.models.readers import reader_sites
from jaxanim.models.shapes import parameter_shapes
from jaxanim.models.unet import UNet
from jaxanim.models.unet_config import image_form
from jaxanim.nn.attention import SelfAttention, Stored
from jaxanim.systems.magicpose.config import MagicPoseConfig
from jaxanim.systems.magicpose.losses import TRAINABLE, loss
from jaxanim.training.partition import combine, partition
from tests.systems.tiny_pose import CONFIG, FLAT, tiny_pose


def batch(frames: int, *names: str):
    rng = np.random.default_rng(0)
    whole = {
        "target": jnp.asarray(rng.normal(size=(2, frames, 4, 4, 4)), jnp.float32),
        "reference": jnp.asarray(rng.normal(size=(2, 4, 4, 4)), jnp.float32),
        "pose": jnp.asarray(rng.integers(0, 256, (2, frames, 32, 32, 3)), jnp.uint8),
        "tokens": jnp.asarray(rng.integers(0, 1024, (2, 8)), jnp.int32),
    }
    return {name: whole[name] for name in ("target", *names)}


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


@pytest.mark.parametrize("shares", ["hidden_states", "keys_and_values"])
def test_multi_source_attention_is_eq_3_written_out(shares):
    """One token and one head at a time; the reading decides whose projections make K_2 and V_2."""
    rng = np.random.default_rng(1)
    x, stored = rng.normal(size=(1, 2, 3, 8)), rng.normal(size=(1, 5, 8))
    names = {name: rng.normal(size=(8, 8)) for name in ("to_q", "to_k", "to_v", "other_k", "other_v")}
    out, bias = rng.normal(size=(8, 8)), rng.normal(size=8)
    params = {name: {"kernel": jnp.asarray(names[name], jnp.float32)} for name in ("to_q", "to_k", "to_v")}
    params["to_out_0"] = {"kernel": jnp.asarray(out, jnp.float32), "bias": jnp.asarray(bias, jnp.float32)}
    own = shares == "hidden_states"
    k2, v2 = stored[0] @ names["to_k" if own else "other_k"], stored[0] @ names["to_v" if own else "other_v"]
    given = stored if own else (k2[None], v2[None])
    given = jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), given)
    ours, _ = SelfAttention(heads=2).apply({"params": params}, jnp.asarray(x, jnp.float32), Stored(given))
    expected = np.zeros((2, 3, 8))
    for frame in range(2):
        q1, k1, v1 = (x[0, frame] @ names[name] for name in ("to_q", "to_k", "to_v"))
        for head in (slice(0, 4), slice(4, 8)):
            keys, values = np.concatenate([k1, k2])[:, head], np.concatenate([v1, v2])[:, head]
            for token in range(3):
                expected[frame, token, head] = softmax(keys @ q1[token, head] / np.sqrt(4)) @ values
    np.testing.assert_allclose(ours[0], expected @ out + bias, atol=2e-4)


def test_every_transformer_block_reads_and_keys_are_the_models_own():
    config, params = tiny_pose(image=True, sizes=FLAT)
    sites = reader_sites(config.unet)
    # One block per layer in the small network: down, mid, up; in SD1.5 they are 6 + 1 + 9.
    assert len(sites) == 4
    x, text = jax.random.normal(jax.random.key(0), (1, 1, 4, 4, 4)), params["empty_prompt"][None]
    model = params["appearance_model"]
    encoder = jax.jit(AppearanceEncoder(config.unet, truncated=False).apply)
    features = encoder({"params": model}, x, jnp.array([9]), text)
    assert len(features) == len(sites)
    pairs = keys_and_values(model, config.unet, features)
    for site, feature, (keys, values) in zip(sites, features, pairs, strict=True):
        own = model[site.block][f"attentions_{site.index}"]["transformer_blocks_0"]["attn1"]
        np.testing.assert_allclose(keys, feature @ own["to_k"]["kernel"], rtol=1e-6)
        np.testing.assert_allclose(values, feature @ own["to_v"]["kernel"], rtol=1e-6)

    @jax.jit
    def unet(reference):
        return UNet(config.unet).apply({"params": params["unet"]}, x, jnp.array([9]), text, reference=reference)

    whole = unet(features)
    for i in range(len(features)):
        changed = unet(tuple(-f if i == j else f for j, f in enumerate(features)))
        assert float(jnp.abs(changed - whole).max()) > 1e-5, sites[i]
    assert float(jnp.abs(unet(pairs) - whole).max()) > 1e-4


def test_at_full_size_all_16_blocks_store_and_the_model_is_a_unet_without_output_layers():
    config = MagicPoseConfig()
    assert len(reader_sites(config.unet)) == 16
    base, model = (parameter_shapes(name, image_form(config.unet)) for name in ("unet", "appearance_model"))
    counts = [sum(leaf.size for leaf in jax.tree.leaves(tree)) for tree in (base, model)]
    # Stable Diffusion 1.5's UNet, and what conv_norm_out and conv_out hold of it.
    assert counts == [859_520_964, 859_520_964 - (2 * 320 + 9 * 320 * 4 + 4)]
    assert base.keys() - model.keys() == {"conv_norm_out", "conv_out"}
    chex.assert_trees_all_equal_shapes(model, {name: base[name] for name in model})


STAGES = {
    1: ("reference",),
    2: ("reference", "pose"),
    3: ("reference", "pose"),
    0: ("pose", "tokens"),
}
TWO_LEVELS = [(2, "hidden_states"), (3, "hidden_states")]


def model_of(stage, shares="hidden_states"):
    """Two resolutions where all networks learn, and for videos; one, which is less to compile, for the rest."""
    return tiny_pose(stage != 3, shares, CONFIG if (stage, shares) in TWO_LEVELS else FLAT)


@functools.cache
def compiled(stage, shares):
    config, _ = model_of(stage, shares)
    return jax.jit(jax.value_and_grad(lambda learn, rest, data, key: loss(combine(learn, rest), config, data, key)))


def loss_and_gradients(stage, shares, key):
    """The loss, and its gradient by what the stage trains: one program for all tests."""
    parts = partition(model_of(stage, shares).params, TRAINABLE[stage])
    return compiled(stage, shares)(*parts, batch_of(stage), key)


def batch_of(stage):
    return batch(3 if stage == 3 else 1, *STAGES[stage])


@pytest.mark.parametrize(
    "stage",
    [
        pytest.param(1, id="Eq. 4"),
        pytest.param(2, id="Eq. 5", marks=pytest.mark.slow),
        pytest.param(3, id="Eq. 5 on videos"),
    ],
)
def test_loss_is_the_equation_written_out(stage):
    config, params = model_of(stage)
    data, key = batch_of(stage), jax.random.key(4)
    key_t, key_noise = jax.random.split(key)
    ts = np.asarray(jax.random.randint(key_t, (2,), 0, 1000))
    noise = np.asarray(jax.random.normal(key_noise, data["target"].shape))
    betas = np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    alphas = np.cumprod(1 - betas)
    text = params["empty_prompt"][None]
    appearance = jax.jit(AppearanceEncoder(image_form(config.unet), truncated=False).apply)
    unet, control = jax.jit(UNet(config.unet).apply), jax.jit(ControlNet(config.controlnet).apply)
    square = []
    for entry in range(2):
        t = ts[entry]
        z_t = np.sqrt(alphas[t]) * data["target"][entry] + np.sqrt(1 - alphas[t]) * noise[entry]
        z_t, t = jnp.asarray(z_t, jnp.float32)[None], jnp.array([t])
        a = appearance({"params": params["appearance_model"]}, data["reference"][entry][None, None], t, text)
        residuals = {}
        if "pose" in data:
            cond = jnp.asarray(data["pose"][entry], jnp.float32)[None] / 255
            down, mid = control({"params": params["controlnet"]}, z_t, t, text, cond)
            residuals = {"down_residuals": down, "mid_residual": mid}
        eps = unet({"params": params["unet"]}, z_t, t, text, reference=a, **residuals)
        square.append((np.asarray(eps[0], np.float64) - noise[entry]) ** 2)
    ours, _ = loss_and_gradients(stage, "hidden_states", key)
    chex.assert_trees_all_close(float(ours), float(np.mean(square)), rtol=1e-5)


def silent_by_design(shares: str) -> set[str]:
    """What the last block of the appearance model does after its norm1 feeds nothing: its output is thrown away."""
    unused = {"attn1/to_q", "attn1/to_out_0", "attn2", "norm2", "norm3", "ff", "proj_out"}
    return unused | ({"attn1/to_k", "attn1/to_v"} if shares == "hidden_states" else set())


@pytest.mark.parametrize(
    ("stage", "shares"),
    [
        (0, "hidden_states"),
        (1, "hidden_states"),
        (2, "hidden_states"),
        (2, "keys_and_values"),
        (3, "hidden_states"),
    ],
)
def test_gradients_reach_exactly_what_the_stage_trains(stage, shares):
    config, params = model_of(stage, shares)
    trainable, frozen = partition(params, TRAINABLE[stage])
    chex.assert_trees_all_equal(combine(trainable, frozen), params)
    names = {path.split("/")[0] for path in trainable}
    expected = {0: {"controlnet"}, 1: {"appearance_model"}, 2: {"appearance_model", "controlnet"}, 3: {"unet"}}
    assert names == expected[stage]
    assert not any(path.startswith("unet/") for path in trainable) or stage == 3
    if stage == 3:
        assert all("motion_modules" in path for path in trainable)
        assert not any("motion_modules" in path for path in frozen)
    _, gradients = loss_and_gradients(stage, shares, jax.random.key(0))
    silent = {path for path, g in gradients.items() if not np.any(g)}
    last = f"appearance_model/up_blocks_{len(config.unet.up_block_types) - 1}/attentions_1/"
    designed = {
        path
        for path in trainable
        if path.startswith(last)
        and any(f"{last}{part}" in path.replace("transformer_blocks_0/", "") for part in silent_by_design(shares))
    }
    assert gradients.keys() == trainable.keys()
    assert silent == designed, silent ^ designed


def test_reference_pose_and_prompt_all_matter():
    config, params = tiny_pose(image=True, sizes=FLAT)
    run = jax.jit(lambda data: loss(params, config, data, jax.random.key(0)))
    data = batch(1, "reference", "pose", "tokens")
    whole = float(run(data))
    for name, other in (
        ("reference", -data["reference"]),
        ("pose", 255 - data["pose"]),
        ("tokens", data["tokens"] + 1),
    ):
        assert whole != float(run(data | {name: other})), name
