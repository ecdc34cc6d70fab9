"""Motion modules: the temporal transformers that turn an image UNet into a video UNet."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from einops import rearrange
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key

from jaxanim.attention.patterns import Patterns, Site
from jaxanim.errors import InputError
from jaxanim.mesh import constrain_batch
from jaxanim.models.unet_config import (
    ANIMATEDIFF_V1,
    ANIMATEDIFF_V2,
    ANIMATEDIFF_V3,
    MAGICANIMATE,
    MotionConfig,
    UNetConfig,
)
from jaxanim.nn.attention import TemporalAttention
from jaxanim.nn.embedding import sinusoidal_positions
from jaxanim.nn.feedforward import FeedForward
from jaxanim.nn.layers import Dense
from jaxanim.nn.norm import GroupNorm
from jaxanim.nn.transformer import layer_norm

__all__ = [
    "ANIMATEDIFF_V1",
    "ANIMATEDIFF_V2",
    "ANIMATEDIFF_V3",
    "MAGICANIMATE",
    "MotionConfig",
    "MotionModule",
    "add_motion",
    "merge_motion",
    "split_motion",
]

Video = Float[Array, "batch frames height width channels"]


class TemporalBlock(nn.Module):
    """Two temporal self-attentions and a GEGLU feed-forward, each a residual branch after a LayerNorm.

    The frames' sinusoidal positions are added inside each attention, after its LayerNorm.
    """

    config: MotionConfig
    kernel: str = "auto"
    dtype: DTypeLike = jnp.float32
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch frames tokens channels"], patterns: Patterns, site: Site | None
    ) -> tuple[Float[Array, "batch frames tokens channels"], dict[str, Any]]:
        taken: dict[str, Any] = {}
        dtypes = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        frames, channels = x.shape[1], x.shape[-1]
        positions = jnp.asarray(sinusoidal_positions(frames, channels), x.dtype)[:, None]
        for i in (1, 2):
            h = layer_norm(self, f"norm{i}")(x) + positions
            attention = TemporalAttention(self.config.heads, self.kernel, **dtypes, name=f"attn{i}")
            out, taken[f"attn{i}"] = attention(h, patterns, site)
            x = x + out
        return x + FeedForward(**dtypes, name="ff")(layer_norm(self, "norm3")(x)), taken


class MotionModule(nn.Module):
    """GroupNorm, linear in, temporal blocks along the frames, linear out (zero at first), residual.

    Returns the video and, by block and attention, what else the temporal pattern had to say.
    Raises InputError for more frames than `config.max_frames`.
    """

    config: MotionConfig
    kernel: str = "auto"
    dtype: DTypeLike = jnp.float32
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Video, patterns: Patterns = Patterns(), site: Site | None = None
    ) -> tuple[Video, dict[str, Any]]:
        dtypes = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        frames, width, channels = x.shape[1], x.shape[-2], x.shape[-1]
        if frames > self.config.max_frames:
            raise InputError(
                f"a window has {frames} frames; it should have at most max_frames = {self.config.max_frames}"
            )
        h = GroupNorm(self.config.norm_num_groups, 1e-6, self.config.pool_frames, **dtypes, name="norm")(x)
        h = rearrange(h, "b f h w c -> b f (h w) c")
        h = Dense(channels, **dtypes, name="proj_in")(h)
        taken = {}
        for i in range(self.config.layers_per_block):
            name = f"transformer_blocks_{i}"
            h, taken[name] = TemporalBlock(self.config, self.kernel, **dtypes, name=name)(h, patterns, site)
        h = Dense(channels, kernel_init=nn.initializers.zeros, **dtypes, name="proj_out")(h)
        return constrain_batch(x + rearrange(h, "b f (h w) c -> b f h w c", w=width)), taken


def add_motion(key: Key[Array, ""], unet_params: dict, config: UNetConfig) -> dict:
    """Parameters of the video UNet `config`: those of an image UNet and freshly initialised motion modules.

    The modules' output projections are zero: at first each frame gets what the image UNet gives it.

    Raises InputError when `config.motion` is None.
    """
    if config.motion is None:
        raise InputError("config.motion is None; it should be a MotionConfig")
    modules = _fresh_modules(config, _module_widths(unet_params, config.motion), key)
    return merge_motion(unet_params, modules)


def merge_motion(unet_params: dict, modules: dict) -> dict:
    """The parameters of a video UNet: an image UNet's, and motion modules by block name."""
    return {name: dict(block, **modules.get(name, {})) for name, block in unet_params.items()}


def split_motion(unet_params: dict) -> tuple[dict, dict]:
    """(image UNet, motion modules by block name) of a video UNet's parameters: the inverse of `merge_motion`."""
    image, modules = {}, {}
    for name, block in unet_params.items():
        own = {layer: tree for layer, tree in block.items() if layer.startswith("motion_modules_")}
        image[name] = {layer: tree for layer, tree in block.items() if layer not in own}
        if own:
            modules[name] = own
    return image, modules


def _module_widths(unet_params: dict, motion: MotionConfig) -> dict[str, tuple[int, int]]:
    """By block name: how many motion modules it gets, and of how many channels."""
    widths = {}
    for name, block in unet_params.items():
        if name.startswith(("down_blocks_", "up_blocks_")):
            count = sum(layer.startswith("resnets_") for layer in block)
        elif name == "mid_block" and motion.in_mid:
            count = 1
        else:
            continue
        widths[name] = count, block["resnets_0"]["conv2"]["bias"].shape[0]
    return widths


def _fresh_modules(config: UNetConfig, widths: dict[str, tuple[int, int]], key: Key[Array, ""]) -> dict:
    module = MotionModule(config.motion, param_dtype=config.param_dtype)
    modules = {}
    for name, (count, channels) in widths.items():
        key, *keys = jax.random.split(key, count + 1)
        like = jax.ShapeDtypeStruct((1, 1, 1, 1, channels), jnp.float32)
        modules[name] = {f"motion_modules_{i}": module.lazy_init(k, like)["params"] for i, k in enumerate(keys)}
    return modules
