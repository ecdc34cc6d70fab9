"""Who attends to whom in the UNet is a value: patterns by place, what they hand out, and rows that are shared."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from jaxanim.attention.patterns import Patterns, read_reference, read_text, spatial
from jaxanim.errors import InputError
from jaxanim.models.unet import UNet
from jaxanim.nn import conv
from jaxanim.nn.rows import same_rows
from tests.models.test_unet import FLAT, FLAT_VIDEO, TINY, inputs, random_params


def call(config, params, *arguments, **options):
    return jax.jit(lambda *given: UNet(config).apply({"params": params}, *given, **options))(*arguments)


def first_frame_everywhere(weight, site, q, k, v, reference, *, kernel):
    """In the up blocks every frame reads the first one too."""
    own, extra = read_reference(site, q, k, v, reference, kernel=kernel)
    if site.part != "up":
        return own, extra
    first = (jnp.broadcast_to(x[:, :1], x.shape) for x in (k, v))
    return (1 - weight) * own + weight * spatial(q, *first, kernel=kernel), jnp.array([*site[1:3], *site.size])


@pytest.mark.parametrize("remat", [False, True])
def test_a_pattern_holds_at_its_site_alone_and_its_arrays_and_extras_go_in_and_out(remat):
    config = dataclasses.replace(TINY, remat=remat)
    sample, t, text = inputs(frames=3)
    params = random_params(UNet(config), 1, sample, t, text)
    plain = call(config, params, sample, t, text)

    def run(weight):
        patterns = Patterns(self_attention=Partial(first_frame_everywhere, jnp.float32(weight)))
        return call(config, params, sample, t, text, patterns=patterns, hand_out=True)

    chex.assert_trees_all_close(run(0.0)[0], plain, atol=1e-5)
    out, taken = run(0.7)
    chex.assert_trees_all_close(out[:, 0], plain[:, 0], atol=1e-5)  # the first frame reads itself
    assert jnp.abs(out[:, 1:] - plain[:, 1:]).max() > 1e-4
    assert taken.keys() == {"down_blocks_0", "down_blocks_1", "mid_block", "up_blocks_0", "up_blocks_1"}
    assert taken["down_blocks_0"]["attentions_0"]["attn1"] is None
    assert taken["mid_block"]["attentions_0"]["attn1"] is None
    for layer in (0, 1):
        np.testing.assert_array_equal(taken["up_blocks_1"][f"attentions_{layer}"]["attn1"], [1, layer, 4, 4])


def test_attention_to_words_is_read_where_it_is_asked_for():
    """Probabilities from the pattern, against what the layer's own queries and keys give."""

    def with_words(site, q, k, v, *, kernel):
        out, _ = read_text(site, q, k, v, kernel=kernel)
        scores = jnp.einsum("bfthd,bnhd->bfhtn", q, k) / np.sqrt(q.shape[-1])
        return out, jax.nn.softmax(scores) if site.part == "up" else None

    sample, t, text = inputs()
    params = random_params(UNet(FLAT), 1, sample, t, text)
    _, taken = call(FLAT, params, sample, t, text, patterns=Patterns(cross_attention=with_words), hand_out=True)
    words = taken["up_blocks_0"]["attentions_1"]["attn2"]
    chex.assert_shape(words, (2, 2, 2, 16, 3))
    np.testing.assert_allclose(words.sum(-1), 1, rtol=1e-5)
    assert taken["down_blocks_0"]["attentions_0"]["attn2"] is None


def test_each_frame_may_have_its_own_text():
    sample, t, text = inputs(frames=2, batch=1)
    params = random_params(UNet(FLAT), 1, sample, t, text)
    own = jnp.concatenate([text, -text])[None]
    both = call(FLAT, params, sample, t, own)
    for frame, words in enumerate((text, -text)):
        alone = call(FLAT, params, sample[:, frame : frame + 1], t, words)
        chex.assert_trees_all_close(both[:, frame : frame + 1], alone, atol=1e-5)


def test_what_conditions_share_is_given_once():
    """Two texts, or two sets of residuals, for one sample: as by two calls."""
    sample, t, text = inputs(frames=3, batch=1)
    params = random_params(UNet(FLAT_VIDEO), 1, sample, t, text)
    shapes = [(1, 3, 4, 4, 8)] * 2
    down, mid = (
        [0.3 * jax.random.normal(jax.random.key(i), s) for i, s in enumerate(shapes)],
        0.2 * jnp.ones(shapes[0]),
    )

    def run(text, sign):
        residuals = [sign * r for r in down], sign * mid
        return call(
            FLAT_VIDEO, params, sample, t, text, down_residuals=tuple(residuals[0]), mid_residual=residuals[1]
        )

    two = call(
        FLAT_VIDEO, params, sample, t, jnp.concatenate([text, -text]), down_residuals=tuple(down), mid_residual=mid
    )
    chex.assert_trees_all_close(two, jnp.concatenate([run(text, 1), run(-text, 1)]), atol=1e-5)
    signed = [jnp.concatenate([r, -r]) for r in (*down, mid)]
    two = call(FLAT_VIDEO, params, sample, t, text, down_residuals=tuple(signed[:2]), mid_residual=signed[2])
    chex.assert_trees_all_close(two, jnp.concatenate([run(text, 1), run(text, -1)]), atol=1e-5)


def test_blocks_that_read_nothing_are_computed_for_one_condition(monkeypatch):
    """Convolutions in the down blocks see one row; those in the up blocks two, but for skip connections."""
    sample, t, text = inputs(frames=1, batch=1)
    params = random_params(UNet(TINY), 1, sample, t, text)
    reference = tuple(jnp.ones((1, tokens, width)) for tokens, width in ((4, 16), (16, 8), (16, 8)))
    seen = []
    plain = conv.partly_shared

    def counted(convolve, own, blocks):
        seen.append(blocks)
        return plain(convolve, own, blocks)

    monkeypatch.setattr("jaxanim.nn.resnet.partly_shared", counted)
    out, taken = UNet(TINY).apply(
        {"params": params}, sample, t, text, reference=reference, reads=(False, True), hand_out=True
    )
    assert out.shape[0] == 2
    assert taken["down_blocks_0"]["attentions_0"]["norm1"].shape[0] == 1
    assert taken["mid_block"]["attentions_0"]["norm1"].shape[0] == 1
    assert taken["up_blocks_1"]["attentions_0"]["norm1"].shape[0] == 2
    assert seen == [2] * 8  # conv1 and conv_shortcut of four resnets with a skip connection


def test_rows_that_do_not_divide_are_refused():
    with pytest.raises(InputError, match="batches of 2, 3 rows meet"):
        same_rows(jnp.ones((2, 1)), jnp.ones((3, 1)))
