"""diffusers' networks with random weights, and their weights as parameter trees: what the parity tests share."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict

from jaxanim.convert.layout import from_torch
from jaxanim.models.unet import UNetConfig
from tests.bench.measure import give_back_freed_memory

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")

TINY = UNetConfig(
    block_out_channels=(16, 32),
    layers_per_block=1,
    cross_attention_dim=24,
    num_attention_heads=4,
    norm_num_groups=8,
    down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
    up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
)
# SD1.5's own depth and block types at a twentieth of its width.
NARROW = UNetConfig(
    block_out_channels=(16, 32, 64, 64), cross_attention_dim=24, num_attention_heads=8, norm_num_groups=8
)
TOLERANCE = 1e-5


def make_unet(config, seed=0):
    """UNet2DConditionModel; diffusers' attention_head_dim of 2-D blocks is the number of heads."""
    net = diffusers.UNet2DConditionModel(
        **_shared(config),
        out_channels=config.out_channels,
        up_block_types=config.up_block_types,
        attention_head_dim=config.num_attention_heads,
    )
    return randomise(net, seed)


def make_video_unet(config, seed=0):
    """UNetMotionModel for a config with motion modules."""
    fields = _shared(config)
    fields["down_block_types"] = tuple(name.replace("2D", "Motion") for name in config.down_block_types)
    net = diffusers.UNetMotionModel(
        **fields,
        out_channels=config.out_channels,
        up_block_types=tuple(name.replace("2D", "Motion") for name in config.up_block_types),
        num_attention_heads=config.num_attention_heads,
        motion_num_attention_heads=config.motion.heads,
        motion_max_seq_length=config.motion.max_frames,
        use_motion_mid_block=config.motion.in_mid,
    )
    return randomise(net, seed)


def make_controlnet(config, seed=0):
    net = diffusers.ControlNetModel(
        **_shared(config),
        attention_head_dim=config.num_attention_heads,
        conditioning_embedding_out_channels=config.conditioning_embedding_out_channels,
    )
    return randomise(net, seed)


def _shared(config):
    names = (
        "in_channels", "block_out_channels", "layers_per_block", "cross_attention_dim", "down_block_types",
        "norm_num_groups", "norm_eps",
    )  # fmt: skip
    return {name: getattr(config, name) for name in names}


def randomise(module, seed):
    """Random values for every parameter, the zero-initialised ones too, at scales that keep activations near one."""
    device = next(module.parameters()).device
    generator = torch.Generator(device).manual_seed(seed)
    with torch.no_grad():
        for name, p in module.named_parameters():
            noise = torch.randn(p.shape, generator=generator, device=device)
            if p.ndim == 1:
                p.copy_(0.2 * noise + (1.0 if "norm" in name and name.endswith("weight") else 0.0))
            else:
                p.copy_(noise / p[0].numel() ** 0.5)
    return module.eval()


def params_of(module):
    """The module's parameters as a tree. The motion modules' position tables are constants here, no parameters."""
    state = {k: v.numpy() for k, v in module.state_dict().items() if not k.endswith("pos_embed.pe")}
    return jax.tree.map(jnp.asarray, from_torch(state))


def take_params(module):
    """`params_of` for large modules: each PyTorch parameter is emptied when it is copied, so that there is never more
    than one copy of the weights. CLIP's text encoder gets back the prefix that its checkpoints have."""
    text = type(module).__name__ == "CLIPTextModel"
    leaves = {}
    for name, parameter in module.named_parameters():
        key = f"text_model.{name.removeprefix('text_model.')}" if text else name
        tree = from_torch({key: parameter.detach().numpy()})
        leaves |= {path: jnp.array(value) for path, value in flatten_dict(tree).items()}
        parameter.data = torch.empty(0)
        give_back_freed_memory()
    return unflatten_dict(leaves)


def draws(seed, *shapes):
    rng = np.random.default_rng(seed)
    return [jnp.asarray(rng.standard_normal(shape), jnp.float32) for shape in shapes]


def to_torch(x):
    return torch.from_numpy(np.array(x))


def images_to_torch(video):
    """[batch, frames, height, width, channels] to PyTorch's [batch * frames, channels, height, width]."""
    video = np.asarray(video)
    return to_torch(np.moveaxis(video.reshape(-1, *video.shape[2:]), -1, 1))


def images_from_torch(images, frames):
    images = np.moveaxis(images.detach().numpy(), 1, -1)
    return images.reshape(-1, frames, *images.shape[1:])


def video_to_torch(video):
    """[batch, frames, height, width, channels] to PyTorch's [batch, channels, frames, height, width]."""
    return to_torch(np.moveaxis(np.asarray(video), -1, 1))


def video_from_torch(video):
    return np.moveaxis(video.detach().numpy(), 1, -1)


def relative_error(actual, expected):
    """Largest difference over the largest value."""
    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    assert actual.shape == expected.shape
    assert np.isfinite(expected).all()
    assert np.abs(expected).max() > 1e-2
    return np.abs(actual - expected).max() / np.abs(expected).max()


def assert_close(actual, expected):
    assert relative_error(actual, expected) < TOLERANCE
