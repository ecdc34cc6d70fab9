"""CLIP's image encoder against transformers' CLIPVisionModelWithProjection."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxanim.errors import InputError
from jaxanim.models.clip_vision import CLIPVision, CLIPVisionConfig, normalise

TINY = CLIPVisionConfig(
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    projection_dim=20,
    image_size=24,
    patch_size=8,
)


def test_default_config_is_vit_l_14():
    shapes = jax.eval_shape(CLIPVision(CLIPVisionConfig()).init, jax.random.key(0), jnp.zeros((1, 224, 224, 3)))
    count = sum(leaf.size for leaf in jax.tree.leaves(shapes))
    assert count == 303_966_208

    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    with torch.device("meta"):
        theirs = transformers.CLIPVisionModelWithProjection(
            transformers.CLIPVisionConfig(
                hidden_size=1024, intermediate_size=4096, num_hidden_layers=24, num_attention_heads=16,
                projection_dim=768, patch_size=14,
            )
        )  # fmt: skip
    assert count == sum(parameter.numel() for parameter in theirs.parameters())


@pytest.mark.parametrize("hidden_act", ["quick_gelu", "gelu"])
def test_matches_transformers(hidden_act):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from jaxanim.convert.layout import from_torch

    config = CLIPVisionConfig(**TINY.__dict__ | {"hidden_act": hidden_act})
    torch.manual_seed(0)
    theirs = transformers.CLIPVisionModelWithProjection(
        transformers.CLIPVisionConfig(
            hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, projection_dim=20,
            image_size=24, patch_size=8, hidden_act=hidden_act,
        )
    ).eval()  # fmt: skip
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    params = from_torch({name: value.numpy() for name, value in theirs.state_dict().items()})

    pixels = np.random.default_rng(0).normal(size=(2, 24, 24, 3)).astype(np.float32)
    with torch.no_grad():
        expected = theirs(pixel_values=torch.from_numpy(pixels.transpose(0, 3, 1, 2)))
        pooled = theirs.vision_model(pixel_values=torch.from_numpy(pixels.transpose(0, 3, 1, 2))).pooler_output
    ours = jax.jit(CLIPVision(config).apply)({"params": params}, pixels)
    for mine, reference in zip(ours, (expected.last_hidden_state, pooled, expected.image_embeds), strict=True):
        assert mine.shape == reference.shape
        assert np.max(np.abs(mine - reference.numpy())) / np.max(np.abs(reference.numpy())) < 1e-5
    initialised = jax.eval_shape(CLIPVision(config).init, jax.random.key(0), pixels)["params"]
    chex.assert_trees_all_equal_shapes(params, initialised)


@pytest.mark.parametrize(("height", "width"), [(300, 300), (301, 420), (350, 231), (100, 128)])
def test_images_are_prepared_as_by_transformers(height, width):
    pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from PIL import Image

    coarse = np.random.default_rng(0).integers(0, 256, (9, 9, 3), np.uint8)
    image = np.array(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))
    processor = transformers.CLIPImageProcessor(
        size={"shortest_edge": 224}, crop_size={"height": 224, "width": 224}
    )
    expected = processor(images=image, return_tensors="np")["pixel_values"].transpose(0, 2, 3, 1)
    ours = normalise(jnp.asarray(image[None] / 127.5 - 1.0, jnp.float32))
    # It rounds to whole grey levels after resizing, which is half a level here.
    level = 1 / 255 / 0.26
    assert np.abs(ours - expected).max() < 1.1 * level
    assert np.abs(ours - expected).mean() < 0.3 * level


def test_other_sizes_are_refused():
    with pytest.raises(InputError, match=r"32x24.*takes 24x24"):
        jax.eval_shape(CLIPVision(TINY).init, jax.random.key(0), jnp.zeros((1, 24, 32, 3)))
