"""CogVideoX 1.5's transformer against diffusers'."""

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxanim.errors import InputError
from jaxanim.models.cogvideox.config import COGVIDEOX_1_5_5B, COGVIDEOX_1_5_5B_I2V, CogVideoXConfig
from jaxanim.models.cogvideox.transformer import CogVideoXTransformer
from jaxanim.models.shapes import parameter_shapes
from tests.convert.converted import convert
from tests.models import cogvideox_oracle as oracle
from tests.models.cogvideox_oracle import diffusers, torch


@pytest.fixture(scope="module")
def pair():
    net = oracle.make_transformer()
    network, config, params = convert(net.state_dict(), dict(net.config))
    assert network == "cogvideox"
    return net, config, params


@pytest.fixture(scope="module")
def inputs():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 4, 8, 12, 8)).astype(np.float32)
    text = rng.normal(size=(2, 5, 10)).astype(np.float32)
    return jnp.asarray(x), jnp.asarray(text), jnp.array([999, 417])


def test_matches_diffusers(pair, inputs):
    net, config, params = pair
    fields = {name for name in CogVideoXConfig.__dataclass_fields__ if name in oracle.SIZES}
    assert config == CogVideoXConfig(**{name: oracle.SIZES[name] for name in fields})
    chex.assert_trees_all_equal_shapes(params, parameter_shapes("transformer", config))
    ours = jax.jit(CogVideoXTransformer(config).apply)({"params": params}, *inputs)
    assert ours.hidden is None
    assert oracle.relative_error(ours.sample, oracle.predict(net, *inputs)) < 1e-5


def test_hidden_states_are_those_after_a_block(pair, inputs):
    net, config, params = pair
    seen = []
    hook = net.transformer_blocks[1].register_forward_hook(lambda module, args, out: seen.append(out[0].numpy()))
    oracle.predict(net, *inputs)
    hook.remove()
    model = CogVideoXTransformer(config)
    kept = jax.jit(lambda p: model.apply({"params": p}, *inputs, keep=2))(params)
    assert oracle.relative_error(kept.hidden, seen[0]) < 1e-5
    stopped = jax.jit(lambda p: model.apply({"params": p}, *inputs, keep=2, stop=2))(params)
    assert stopped.sample is None
    np.testing.assert_allclose(stopped.hidden, kept.hidden, rtol=1e-5, atol=1e-5)
    # What stops after two blocks does not read the third.
    spoiled = jax.tree.map(lambda p: p.at[2].set(jnp.nan), params["transformer_blocks"])
    stopped = model.apply({"params": params | {"transformer_blocks": spoiled}}, *inputs, keep=2, stop=2)
    assert np.isfinite(stopped.hidden).all()
    for wrong in ({"keep": 4}, {"keep": 0}, {"keep": 1, "stop": 9}):
        with pytest.raises(InputError, match="the network has blocks 1 to 3"):
            jax.eval_shape(lambda p, wrong=wrong: model.apply({"params": p}, *inputs, **wrong), params)


def test_gradients_are_the_same_with_less_stored(pair, inputs):
    _, config, params = pair

    def slope(remat):
        model = CogVideoXTransformer(CogVideoXConfig(**{**config.__dict__, "remat": remat}))

        def loss(p):
            out = model.apply({"params": p}, *inputs, keep=2)
            return jnp.mean(out.sample**2) + jnp.mean(out.hidden**2)

        return jax.jit(jax.grad(loss))(params)

    chex.assert_trees_all_close(slope("none"), slope("full"), rtol=1e-3, atol=1e-6)
    with pytest.raises(InputError, match="remat is 'some'"):
        CogVideoXConfig(remat="some")


class Shift(nn.Module):
    """Adds a parameter times the cue, and counts its blocks."""

    @nn.compact
    def __call__(self, tokens, cues, time):
        gain = self.param("gain", nn.initializers.zeros, ())
        return tokens + gain * cues[0], (cues[0], cues[1] + 1)


def test_a_fusion_is_applied_before_each_block(pair, inputs):
    _, config, params = pair
    model, plain = CogVideoXTransformer(config, fuse=Shift(parent=None)), CogVideoXTransformer(config)
    cues = (jax.random.normal(jax.random.key(1), (2, 48, 32)), jnp.zeros((), jnp.int32))
    fresh = jax.jit(model.init)(jax.random.key(0), *inputs, cues)["params"]
    assert fresh["fusion_blocks"]["gain"].shape == (3,)
    ours = jax.jit(model.apply)({"params": params | {"fusion_blocks": fresh["fusion_blocks"]}}, *inputs, cues)
    np.testing.assert_array_equal(ours.sample, jax.jit(plain.apply)({"params": params}, *inputs).sample)
    moved = params | {"fusion_blocks": {"gain": jnp.ones(3)}}
    assert (
        oracle.relative_error(model.apply({"params": moved}, *inputs, cues).sample, np.asarray(ours.sample)) > 1e-3
    )


def test_full_sizes():
    with torch.device("meta"):
        # diffusers' scripts make the released models so.
        common = {
            "num_attention_heads": 48, "num_layers": 42, "out_channels": 16, "sample_height": 300,
            "sample_width": 300, "sample_frames": 81, "patch_size_t": 2, "use_rotary_positional_embeddings": True,
        }  # fmt: skip
        image = diffusers.CogVideoXTransformer3DModel(**common, in_channels=32, ofs_embed_dim=512)
        text = diffusers.CogVideoXTransformer3DModel(**common, in_channels=16)
    for config, net, count in (
        (COGVIDEOX_1_5_5B_I2V, image, 5_571_594_880),
        (COGVIDEOX_1_5_5B, text, 5_570_676_352),
    ):
        leaves = jax.tree.leaves(parameter_shapes("transformer", config))
        assert sum(leaf.size for leaf in leaves) == sum(p.numel() for p in net.parameters()) == count


@pytest.mark.parametrize(
    ("shape", "message"),
    [((1, 3, 8, 8, 8), "3 frames of 8x8: they must be multiples of 2"), ((1, 2, 8, 8, 4), "4 channels.*takes 8")],
)
def test_latents_that_do_not_fit_are_refused(pair, shape, message):
    _, config, params = pair
    with pytest.raises(InputError, match=message):
        CogVideoXTransformer(config).apply(
            {"params": params}, jnp.zeros(shape), jnp.zeros((1, 5, 10)), jnp.zeros(1)
        )


def test_checkpoints_of_1_0_are_refused():
    state = oracle.make_transformer(patch_size_t=None).state_dict()
    with pytest.raises(InputError, match=r"CogVideoX 1\.0, with patches of one frame"):
        convert(state)
