"""MagicAnimate's reference attention against a literal one: diffusers' networks with their hooks and processors set.

Writer: forward hooks on norm1. Reader: an attention processor that concatenates the stored tokens to every frame's
own before the projections. Pooled normalisation: each GroupNorm wrapped to see all frames at once.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("torch")

from jaxanim.models.appearance import AppearanceEncoder, encoder_params_from_unet
from jaxanim.models.motion import MAGICANIMATE
from jaxanim.models.readers import reader_sites
from jaxanim.models.unet import UNet
from tests.models import sd_oracle as oracle
from tests.models.sd_oracle import NARROW, TINY, assert_close, torch

FRAMES = 3


def blocks_by_width(net, readers):
    """Transformer blocks of the mid and up blocks (or all), stably sorted by descending norm1 width."""
    from diffusers.models.attention import BasicTransformerBlock

    parts = (
        [net.mid_block, net.up_blocks] if readers == "mid_up" else [net.down_blocks, net.mid_block, net.up_blocks]
    )
    blocks = [
        module
        for part in parts
        for name, module in part.named_modules()
        if isinstance(module, BasicTransformerBlock) and "motion_modules" not in name
    ]
    return sorted(blocks, key=lambda block: -block.norm1.normalized_shape[0])


def stored_features(net, readers, *arguments):
    features = {}
    blocks = blocks_by_width(net, readers)
    handles = [
        block.norm1.register_forward_hook(lambda m, i, out, place=place: features.__setitem__(place, out))
        for place, block in enumerate(blocks)
    ]
    net(*arguments)
    for handle in handles:
        handle.remove()
    return [features[place] for place in range(len(blocks))]


class ReadStored:
    """Eq. 2 by concatenation: frames of the first, unconditional half read themselves alone."""

    def __init__(self, stored):
        self.stored = stored  # [1, tokens, channels]

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, **_):
        outs = []
        for i, x in enumerate(hidden_states):
            tokens = x if i < FRAMES else torch.cat([x, self.stored[0]])
            q, k, v = attn.to_q(x), attn.to_k(tokens), attn.to_v(tokens)
            heads = [t.reshape(len(t), attn.heads, -1).transpose(0, 1) for t in (q, k, v)]
            scores = heads[0] @ heads[1].transpose(1, 2) / heads[0].shape[-1] ** 0.5
            out = (scores.softmax(-1) @ heads[2]).transpose(0, 1).reshape(len(x), -1)
            outs.append(attn.to_out[0](out))
        return torch.stack(outs)


def pool_resnet_norms(net):
    """Statistics over all frames in the ResNets and conv_norm_out; per frame in the motion modules."""
    for name, module in net.named_modules():
        if not isinstance(module, torch.nn.GroupNorm):
            continue
        forward = module.forward
        if "resnets" in name or name == "conv_norm_out":

            def pooled(x, forward=forward):  # [b f, c, h, w]
                video = x.reshape(-1, FRAMES, *x.shape[1:]).transpose(1, 2)
                return forward(video).transpose(1, 2).reshape(x.shape)

            module.forward = pooled
        elif "motion_modules" in name:

            def per_frame(x, forward=forward):  # [b, c, f, h, w]
                images = x.transpose(1, 2)
                return forward(images.flatten(0, 1)).reshape(images.shape).transpose(1, 2)

            module.forward = per_frame


@pytest.mark.parametrize(
    ("config", "readers"),
    [(NARROW, "mid_up"), (TINY, "mid_up"), (TINY, "all")],
    ids=["sd15_depth", "tiny", "all"],
)
def test_encoder_stores_what_norm1_gives(config, readers):
    config = dataclasses.replace(config, readers=readers)
    net = oracle.make_unet(config)
    sample, text = oracle.draws(1, (2, 1, 8, 8, 4), (2, 5, 24))
    t = np.array([1, 961])
    with torch.no_grad():
        expected = stored_features(
            net, readers, oracle.images_to_torch(sample), torch.from_numpy(t), oracle.to_torch(text)
        )
    params = encoder_params_from_unet(oracle.params_of(net), config)
    actual = jax.jit(AppearanceEncoder(config).apply)({"params": params}, sample, jnp.asarray(t), text)
    assert len(actual) == len(reader_sites(config)) == len(expected)
    for a, b in zip(actual, expected, strict=True):
        assert_close(a, b)


def test_magicanimate_unet_equals_a_literal_one():
    """Motion modules, pooled normalisation and hybrid attention at once, on a batch of [uncond, cond]."""
    motion = dataclasses.replace(MAGICANIMATE, heads=4, norm_num_groups=8)
    config = dataclasses.replace(TINY, motion=motion, pool_frames=True)
    net = oracle.make_video_unet(config)
    pool_resnet_norms(net)
    sample, text = oracle.draws(2, (2, FRAMES, 6, 8, 4), (2, 5, 24))
    tokens = {32: 12, 16: 48}
    reference = oracle.draws(3, *((1, tokens[site.width], site.width) for site in reader_sites(config)))
    for block, stored in zip(blocks_by_width(net, "mid_up"), reference, strict=True):
        block.attn1.set_processor(ReadStored(oracle.to_torch(stored)))
    t = np.array([500, 500])
    with torch.no_grad():
        expected = net(
            oracle.video_to_torch(sample), torch.from_numpy(t), oracle.to_torch(text.repeat(FRAMES, axis=0))
        ).sample
    actual = jax.jit(UNet(config).apply, static_argnames="reads")(
        {"params": oracle.params_of(net)},
        sample,
        jnp.asarray(t),
        text,
        reference=tuple(reference),
        reads=(False, True),
    )
    assert_close(actual, oracle.video_from_torch(expected))
