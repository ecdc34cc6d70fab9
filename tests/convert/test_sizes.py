"""Every network at its published size: the parameter counts, without allocating one of them."""

import dataclasses
import math

import jax
import numpy as np
import pytest

from jaxanim.convert.layout import place
from jaxanim.models.clip_text import CLIPTextConfig
from jaxanim.models.clip_vision import CLIPVisionConfig
from jaxanim.models.shapes import parameter_shapes
from jaxanim.models.unet_config import ANIMATEDIFF_V1, ANIMATEDIFF_V2, ControlNetConfig, UNetConfig
from jaxanim.models.vae import VAEConfig

COUNTS = {
    "unet": (UNetConfig(), 859_520_964),
    "controlnet": (ControlNetConfig(), 361_279_120),
    "vae": (VAEConfig(), 83_653_863),
    "text_encoder": (CLIPTextConfig(), 123_060_480),
    "image_encoder": (CLIPVisionConfig(), 303_966_208),
    "motion v1": (UNetConfig(motion=ANIMATEDIFF_V1), 417_137_600),
    "motion v2": (UNetConfig(motion=ANIMATEDIFF_V2), 453_209_280),
}


def theirs(name):
    """The PyTorch network of the published size, on the meta device: shapes by name."""
    torch = pytest.importorskip("torch")
    diffusers = pytest.importorskip("diffusers")
    transformers = pytest.importorskip("transformers")
    attention = ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",)
    make = {
        "unet": lambda: diffusers.UNet2DConditionModel(
            cross_attention_dim=768, attention_head_dim=8, down_block_types=attention
        ),
        "controlnet": lambda: diffusers.ControlNetModel(cross_attention_dim=768, attention_head_dim=8),
        "vae": lambda: diffusers.AutoencoderKL(
            block_out_channels=(128, 256, 512, 512), down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4, layers_per_block=2,
        ),
        "text_encoder": lambda: transformers.CLIPTextModel(
            transformers.CLIPTextConfig(
                hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12
            )
        ),
        "image_encoder": lambda: transformers.CLIPVisionModelWithProjection(
            transformers.CLIPVisionConfig(
                hidden_size=1024, intermediate_size=4096, num_hidden_layers=24, num_attention_heads=16,
                projection_dim=768, patch_size=14,
            )
        ),
        "motion v1": lambda: diffusers.MotionAdapter(use_motion_mid_block=False),
        "motion v2": lambda: diffusers.MotionAdapter(use_motion_mid_block=True),
    }[name]  # fmt: skip
    with torch.device("meta"):
        net = make()
    return {key: tuple(parameter.shape) for key, parameter in net.named_parameters()}


@pytest.mark.parametrize("name", COUNTS)
def test_published_size(name):
    config, count = COUNTS[name]
    shapes = parameter_shapes(name.split()[0], config)
    assert sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes)) == count
    expected = {}
    for key, shape in theirs(name).items():
        prefix = "text_model." if name == "text_encoder" and not key.startswith("text_model.") else ""
        path, axes = place(prefix + key, len(shape))
        expected["/".join(path)] = tuple(shape[axis] for axis in axes)
    from flax.traverse_util import flatten_dict

    assert {path: leaf.shape for path, leaf in flatten_dict(shapes, sep="/").items()} == expected


def test_magicanimate_s_encoder_lacks_its_tail():
    """The last attention's projection out, attn1, attn2, norm2, norm3 and feed-forward, and the output layers."""
    whole = COUNTS["unet"][1]
    width, text = 320, 768
    attention = 4 * width**2 + width
    cross = 2 * width**2 + 2 * width * text + width
    feedforward = (width * 8 * width + 8 * width) + (4 * width * width + width)
    tail = (width**2 + width) + attention + cross + 2 * 2 * width + feedforward
    output = 2 * width + (9 * width * 4 + 4)
    shapes = parameter_shapes("appearance_encoder", dataclasses.replace(UNetConfig(), readers="mid_up"))
    assert sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(shapes)) == whole - tail - output
