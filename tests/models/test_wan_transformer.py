"""Wan's transformer against diffusers' WanTransformer3DModel, and what it does beyond it."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("torch")

from jaxanim.errors import InputError
from jaxanim.models.wan.config import WanConfig
from jaxanim.models.wan.transformer import WanTransformer
from tests.models import sd_oracle as oracle
from tests.models import wan_oracle
from tests.models.sd_oracle import torch
from tests.models.wan_oracle import TINY

FRAMES, HEIGHT, WIDTH, WORDS = 3, 4, 6, 5
TOKENS = HEIGHT * WIDTH // 4
CLEAN = np.array([[True, False, False]])
T = np.array([640.25, 31.0], np.float32)


@pytest.fixture(scope="module")
def net():
    return wan_oracle.make_transformer(TINY)


@pytest.fixture(scope="module")
def params(net):
    return wan_oracle.params_of(net)


@pytest.fixture(scope="module")
def apply():
    return jax.jit(WanTransformer(TINY).apply, static_argnames="hand_out")


@pytest.fixture(scope="module")
def inputs():
    return oracle.draws(0, (2, FRAMES, HEIGHT, WIDTH, TINY.in_channels), (2, WORDS, TINY.text_dim))


def theirs(net, x, t, text):
    with torch.no_grad():
        out = net(oracle.video_to_torch(x), torch.as_tensor(t), oracle.to_torch(text)).sample
    return oracle.video_from_torch(out)


def test_one_time_for_all_tokens(net, params, apply, inputs):
    x, text = inputs
    oracle.assert_close(apply({"params": params}, x, jnp.array(T), text), theirs(net, x, T, text))


def test_a_time_for_each_token(net, params, apply, inputs):
    x, text = inputs
    expected = theirs(net, x, wan_oracle.per_token(TINY, T, CLEAN, HEIGHT, WIDTH), text)
    oracle.assert_close(apply({"params": params}, x, jnp.array(T), text, clean=jnp.array(CLEAN)), expected)
    assert oracle.relative_error(theirs(net, x, T, text), expected) > 1e-2


def test_rows_that_conditions_share_are_given_once(params, apply, inputs):
    x, text = inputs
    both = jnp.concatenate([text, 2 * text])
    rows = apply({"params": params}, x, jnp.array(T), both, clean=jnp.array(CLEAN))
    alone = apply({"params": params}, x, jnp.array(T), 2 * text, clean=jnp.array(CLEAN))
    chex.assert_shape(rows, (4, FRAMES, HEIGHT, WIDTH, TINY.out_channels))
    np.testing.assert_allclose(rows[2:], alone, atol=1e-5)


def test_queries_and_keys_of_one_block_are_handed_out(net, params, apply, inputs):
    x, text = inputs
    taken = {}

    def look(layer, args, kwargs, out):
        taken[layer] = out.unflatten(2, (TINY.num_attention_heads, -1))

    handles = [
        getattr(net.blocks[1].attn1, n).register_forward_hook(look, with_kwargs=True) for n in ("norm_q", "norm_k")
    ]
    theirs(net, x, T, text)
    for handle in handles:
        handle.remove()
    cos, sin = net.rope(oracle.video_to_torch(x))
    q, k = (
        _turned(taken[layer].numpy(), cos.numpy(), sin.numpy())
        for layer in (net.blocks[1].attn1.norm_q, net.blocks[1].attn1.norm_k)
    )
    velocity, (rows, keys) = apply({"params": params}, x, jnp.array(T), text, hand_out=1)
    oracle.assert_close(rows, q[:, :TOKENS])
    oracle.assert_close(keys, k)
    np.testing.assert_array_equal(velocity, apply({"params": params}, x, jnp.array(T), text))


def _turned(x, cos, sin):
    """The rotation as a product of complex numbers."""
    turn = cos[..., 0::2] + 1j * sin[..., 1::2]
    z = (x[..., 0::2] + 1j * x[..., 1::2]) * turn
    return np.stack([z.real, z.imag], axis=-1).reshape(x.shape)


def attend_to_the_first_frame(layer, h, parts, grid):
    """A part attention: tokens of a part to the first frame's, as much as `parts` says."""
    first = grid[1] * grid[2]
    q, k, v = layer.query(h), layer.key(h[:, :first]), layer.value(h[:, :first])
    weights = jax.nn.softmax(jnp.einsum("bqhd,bkhd->bhqk", q, k) * q.shape[-1] ** -0.5, axis=-1)
    return parts * layer.output(jnp.einsum("bhqk,bkhd->bqhd", weights, v))


def test_part_attention_runs_where_parts_are_given(net, params, inputs):
    x, text = inputs
    config = dataclasses.replace(TINY, part_attention=True)
    network = WanTransformer(config, attend_to_the_first_frame)
    shapes = jax.eval_shape(network.init, jax.random.key(0), x, jnp.array(T), text)["params"]
    extra = {name: shapes["blocks"].pop(name) for name in ("norm4", "cross_attn_instance")}
    assert jax.tree.map(jnp.shape, shapes) == jax.tree.map(jnp.shape, params)
    rng = np.random.default_rng(1)
    drawn = jax.tree.map(lambda leaf: jnp.asarray(0.3 * rng.normal(size=leaf.shape), jnp.float32), extra)
    whole = params | {"blocks": params["blocks"] | drawn}
    apply = jax.jit(network.apply)
    plain = theirs(net, x, T, text)
    oracle.assert_close(apply({"params": whole}, x, jnp.array(T), text), plain)

    # the module in PyTorch, hung behind each block's cross-attention
    def after_text(i):
        p = jax.tree.map(lambda leaf: oracle.to_torch(leaf[i]), drawn)
        own, norm = p["cross_attn_instance"], p["norm4"]

        def dense(name, h):
            return h @ own[name]["kernel"] + own[name]["bias"]

        def rms(name, h):
            return torch.nn.functional.rms_norm(h, h.shape[-1:], own[name]["scale"], TINY.eps)

        def add(block, args):
            h = torch.nn.functional.layer_norm(args[0], args[0].shape[-1:], norm["scale"], norm["bias"], TINY.eps)
            q, k, v = (
                rms("norm_q", dense("to_q", h)),
                rms("norm_k", dense("to_k", h[:, :TOKENS])),
                dense("to_v", h[:, :TOKENS]),
            )
            q, k, v = (z.unflatten(2, (TINY.num_attention_heads, -1)).transpose(1, 2) for z in (q, k, v))
            out = torch.nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
            return args[0] + 0.7 * dense("to_out_0", out)

        return add

    # norm3's input is the tokens behind the text; its module gives the branch, so the tokens are changed before it
    class Behind(torch.nn.Module):
        def __init__(self, block, add):
            super().__init__()
            self.block, self.add = block, add

        def forward(self, h, text, temb, rope):
            b = self.block
            shift, scale, gate, fshift, fscale, fgate = (b.scale_shift_table + temb).chunk(6, dim=1)
            h = h + gate * b.attn1(b.norm1(h) * (1 + scale) + shift, None, None, rope)
            h = h + b.attn2(b.norm2(h), text, None, None)
            h = self.add(b, (h,))
            return h + fgate * b.ffn(b.norm3(h) * (1 + fscale) + fshift)

    blocks = list(net.blocks)
    try:
        net.blocks = torch.nn.ModuleList([Behind(block, after_text(i)) for i, block in enumerate(blocks)])
        expected = theirs(net, x, T, text)
    finally:
        net.blocks = torch.nn.ModuleList(blocks)
    assert oracle.relative_error(plain, expected) > 1e-2
    oracle.assert_close(apply({"params": whole}, x, jnp.array(T), text, parts=jnp.float32(0.7)), expected)


def test_gradients_are_the_same_whatever_is_computed_again(params, inputs):
    x, text = inputs

    def loss(config):
        return jax.jit(
            jax.grad(lambda p: jnp.sum(WanTransformer(config).apply({"params": p}, x, jnp.array(T), text) ** 2))
        )

    stored, again = (loss(dataclasses.replace(TINY, remat=remat))(params) for remat in ("none", "full"))
    for a, b in zip(jax.tree.leaves(stored), jax.tree.leaves(again), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4 * np.abs(a).max())


def test_half_precision_stays_near(params, inputs):
    x, text = inputs
    half = dataclasses.replace(TINY, dtype="bfloat16", param_dtype="bfloat16")
    out = jax.jit(WanTransformer(half).apply)(
        {"params": jax.tree.map(lambda p: p.astype("bfloat16"), params)}, x, jnp.array(T), text
    )
    exact = jax.jit(WanTransformer(TINY).apply)({"params": params}, x, jnp.array(T), text)
    assert out.dtype == jnp.bfloat16
    assert oracle.relative_error(out, exact) < 0.05


def test_the_defaults_are_ti2v_5b():
    """Parameters of diffusers' network of this size, on PyTorch's meta device, which allocates nothing."""
    config = WanConfig()
    with torch.device("meta"):
        net = wan_oracle.diffusers.WanTransformer3DModel(
            num_layers=30,
            num_attention_heads=24,
            attention_head_dim=128,
            ffn_dim=14336,
            in_channels=48,
            out_channels=48,
        )
    count = sum(p.numel() for p in net.parameters())
    shapes = jax.eval_shape(
        WanTransformer(config).init,
        jax.random.key(0),
        jnp.zeros((1, 1, 2, 2, 48)),
        jnp.zeros((1,)),
        jnp.zeros((1, 1, 4096)),
    )
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == count == 4_999_787_712


def test_bad_input(params, inputs):
    x, text = inputs
    network = WanTransformer(TINY)
    with pytest.raises(InputError, match=r"6x3 .*patches of 2x2"):
        network.apply({"params": params}, x[:, :, :3], jnp.array(T), text)
    with pytest.raises(InputError, match="4 channels; the transformer takes 6"):
        network.apply({"params": params}, x[..., :4], jnp.array(T), text)
    with pytest.raises(InputError, match="hand_out is 3: the network has blocks 0 to 2"):
        network.apply({"params": params}, x, jnp.array(T), text, hand_out=3)
    with pytest.raises(InputError, match="parts are given"):
        network.apply({"params": params}, x, jnp.array(T), text, parts=jnp.ones(()))
    with pytest.raises(InputError, match="remat is 'some'"):
        dataclasses.replace(TINY, remat="some")
    with pytest.raises(InputError, match="attention_head_dim is 5"):
        dataclasses.replace(TINY, attention_head_dim=5)
