"""The layout rule: a bijection between PyTorch state dicts and parameter trees."""

import chex
import numpy as np
import pytest

from jaxanim.convert.layout import from_torch, to_torch
from jaxanim.errors import InputError

SHAPES = {
    "conv_in.weight": (8, 4, 3, 3),
    "conv_in.bias": (8,),
    "down_blocks.0.resnets.1.conv1.weight": (8, 8, 3, 3),
    "down_blocks.0.motion_modules.1.transformer_blocks.0.attn1.to_out.0.weight": (8, 6),
    "time_embedding.linear_1.weight": (32, 8),
    "time_embedding.linear_2.bias": (32,),
    "mid.norm.weight": (8,),
    "mid.ff.net.0.proj.weight": (64, 8),
    "text_model.embeddings.token_embedding.weight": (50, 8),
    "vision.class_embedding": (8,),
    "vision.patch_embedding.weight": (8, 3, 2, 2),
    "video.patch_embedding.weight": (8, 4, 1, 2, 2),
    "temporal.weight": (6, 4, 3),
    "decoder.upsamples.2.resnet.0.3.weight": (5, 2),
    "block.DenseReluDense.wi_0.weight": (5, 2),
}
PLACES = {
    "conv_in.weight": ("conv_in", "kernel", (3, 3, 4, 8)),
    "down_blocks.0.resnets.1.conv1.weight": ("down_blocks_0", "resnets_1", "conv1", "kernel", (3, 3, 8, 8)),
    "time_embedding.linear_1.weight": ("time_embedding", "linear_1", "kernel", (8, 32)),
    "mid.norm.weight": ("mid", "norm", "scale", (8,)),
    "text_model.embeddings.token_embedding.weight": (
        "text_model", "embeddings", "token_embedding", "embedding", (50, 8),
    ),
    "vision.class_embedding": ("vision", "class_embedding", (8,)),
    "video.patch_embedding.weight": ("video", "patch_embedding", "kernel", (1, 2, 2, 4, 8)),
    "decoder.upsamples.2.resnet.0.3.weight": ("decoder", "upsamples_2", "resnet_0_3", "kernel", (2, 5)),
}  # fmt: skip


@pytest.fixture
def state():
    rng = np.random.default_rng(0)
    return {key: rng.standard_normal(shape).astype(np.float32) for key, shape in SHAPES.items()}


def test_every_key_has_its_place(state):
    params = from_torch(state)
    for key, (*path, shape) in PLACES.items():
        leaf = params
        for name in path:
            leaf = leaf[name]
        assert leaf.shape == shape, key


def test_there_and_back_is_the_same_state(state):
    back = to_torch(from_torch(state))
    assert back.keys() == state.keys()
    chex.assert_trees_all_equal(back, state)


def test_a_linear_layer_computes_the_same(state):
    x = np.ones((3, 8), np.float32)
    weight = state["time_embedding.linear_1.weight"]
    np.testing.assert_array_equal(x @ from_torch(state)["time_embedding"]["linear_1"]["kernel"], x @ weight.T)


def test_a_convolution_computes_the_same(state):
    torch = pytest.importorskip("torch")
    import jax

    x = np.random.default_rng(1).standard_normal((2, 5, 6, 4)).astype(np.float32)
    weight = state["conv_in.weight"]
    ours = jax.lax.conv_general_dilated(
        x, from_torch(state)["conv_in"]["kernel"], (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    theirs = torch.nn.functional.conv2d(torch.from_numpy(x.transpose(0, 3, 1, 2).copy()), torch.from_numpy(weight))
    np.testing.assert_allclose(ours, theirs.numpy().transpose(0, 2, 3, 1), atol=1e-5)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (["norm_3.weight"], "norm_3"),
        (["0.weight"], "'0'"),
        (["layer.kernel"], "kernel"),
        (["a.bias", "a.bias.b"], "goes through"),
    ],
)
def test_keys_that_could_not_come_back_are_refused(keys, message):
    with pytest.raises(InputError, match=message):
        from_torch({key: np.zeros(3, np.float32) for key in keys})
