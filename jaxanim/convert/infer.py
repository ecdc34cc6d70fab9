"""Network configs from tensors' shapes (in diffusers' names) and, where there is one, config.json.

Shapes tell everything but the number of attention heads, the groups of a GroupNorm and the epsilons; without a
config.json those are Stable Diffusion 1.5's.
"""

import dataclasses
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxanim.convert.rules import Tensors
from jaxanim.errors import InputError
from jaxanim.models.clip_text import CLIPTextConfig
from jaxanim.models.clip_vision import CLIPVisionConfig
from jaxanim.models.t5 import T5Config
from jaxanim.models.unet_config import ControlNetConfig, MotionConfig, UNetConfig
from jaxanim.models.vae import VAEConfig

Json = Mapping[str, Any]

# What jaxanim's networks are, in diffusers' words; a config.json that says otherwise describes another network.
UNET_FIXED = {
    "act_fn": "silu", "center_input_sample": False, "flip_sin_to_cos": True, "freq_shift": 0,
    "downsample_padding": 1, "mid_block_scale_factor": 1, "use_linear_projection": False,
    "only_cross_attention": False, "dual_cross_attention": False, "class_embed_type": None,
    "num_class_embeds": None,
    "addition_embed_type": None, "encoder_hid_dim": None, "encoder_hid_dim_type": None,
    "resnet_time_scale_shift": "default", "time_embedding_type": "positional", "time_cond_proj_dim": None,
    "transformer_layers_per_block": 1, "attention_type": "default", "conv_in_kernel": 3, "conv_out_kernel": 3,
    "controlnet_conditioning_channel_order": "rgb", "global_pool_conditions": False,
}  # fmt: skip
VAE_FIXED = {"act_fn": "silu", "use_quant_conv": True, "use_post_quant_conv": True, "shift_factor": None}
ADAPTER_FIXED = {"motion_transformer_layers_per_mid_block": 1, "motion_mid_block_layers_per_block": 1,
                 "conv_in_channels": None}  # fmt: skip

T5_FIXED = {"feed_forward_proj": "gated-gelu"}


# UNets of other tasks, by the channels that they take; what makes pictures from noise takes latents alone.
OTHER_INPUTS = {5: "depth", 7: "an upscaler's picture", 8: "a picture to edit", 9: "a masked picture (inpainting)"}


def _check_channels(shapes: "Shapes", what: str, key: str, channels: int, expected: int, means: str = "") -> None:
    if channels != expected:
        raise InputError(
            f"checkpoint {shapes.path}: {key} takes {channels} channels{means}; the {what} that can be converted "
            f"has {expected}"
        )


class Shapes:
    """Shapes by name, with an InputError for a missing one."""

    def __init__(self, path: Path, what: str, tensors: Tensors):
        self.path, self.what, self.tensors = path, what, tensors

    def __call__(self, key: str, axes: int) -> tuple[int, ...]:
        if key not in self.tensors:
            raise InputError(f"checkpoint {self.path} lacks {key}, from which the {self.what}'s sizes are told")
        shape = self.tensors[key].shape
        if len(shape) != axes:
            raise InputError(f"checkpoint {self.path}: {key} has shape {shape}; it should have {axes} axes")
        return shape

    def count(self, pattern: str) -> int:
        """One more than the largest number that the pattern's group matches at a name's start; 0 for none."""
        numbers = (re.match(pattern, key) for key in self.tensors)
        return 1 + max((int(match[1]) for match in numbers if match), default=-1)

    def has(self, prefix: str) -> bool:
        return any(key.startswith(prefix) for key in self.tensors)


def check_fixed(path: Path, what: str, json: Json, fixed: Json) -> None:
    """Raises InputError where a config.json has another value than the network that can be converted."""
    for name, value in fixed.items():
        if name in json and json[name] != value:
            raise InputError(
                f"config.json of {path} has {name} {json[name]!r}; the {what} that can be converted has {value!r}"
            )


def made(path: Path, what: str, cls: type, **fields: Any) -> Any:
    """A config; InputError names the checkpoint where its sizes are impossible."""
    try:
        return cls(**fields)
    except (InputError, TypeError) as error:
        raise InputError(f"checkpoint {path} is no {what} that can be converted: {error}") from None


def unet(path: Path, tensors: Tensors, json: Json) -> UNetConfig:
    """Of a UNet, or of a copy without its last layers (an appearance encoder)."""
    shapes = Shapes(path, "UNet", tensors)
    fields = _encoder(shapes, json)
    levels = len(fields["block_out_channels"])
    out = shapes("conv_out.weight", 4)[0] if "conv_out.weight" in tensors else fields["in_channels"]
    taken = fields["in_channels"]
    means = f", its latents and {OTHER_INPUTS[taken]}" if taken in OTHER_INPUTS else ""
    _check_channels(shapes, "UNet", "conv_in.weight", taken, out if taken not in OTHER_INPUTS else 4, means)
    kinds = (shapes.has(f"up_blocks.{i}.attentions.") for i in range(levels))
    kinds = tuple("CrossAttnUpBlock2D" if attends else "UpBlock2D" for attends in kinds)
    return made(path, "UNet", UNetConfig, **fields, out_channels=out, up_block_types=kinds)


def controlnet(path: Path, tensors: Tensors, json: Json) -> ControlNetConfig:
    """Of a ControlNet."""
    shapes = Shapes(path, "ControlNet", tensors)
    first = shapes("controlnet_cond_embedding.conv_in.weight", 4)
    steps = range(1, shapes.count(r"controlnet_cond_embedding\.blocks\.(\d+)\."), 2)
    widths = (shapes(f"controlnet_cond_embedding.blocks.{i}.weight", 4)[0] for i in steps)
    _check_channels(shapes, "ControlNet", "controlnet_cond_embedding.conv_in.weight", first[1], 3)
    taken = shapes("conv_in.weight", 4)[1]
    if taken in OTHER_INPUTS:
        means = f", latents and {OTHER_INPUTS[taken]}"
        _check_channels(shapes, "ControlNet", "conv_in.weight", taken, 4, means)
    return made(
        path, "ControlNet", ControlNetConfig, **_encoder(shapes, json),
        conditioning_channels=first[1], conditioning_embedding_out_channels=(first[0], *widths),
    )  # fmt: skip


def _encoder(shapes: Shapes, json: Json) -> dict[str, Any]:
    check_fixed(shapes.path, shapes.what, json, UNET_FIXED)
    levels = shapes.count(r"down_blocks\.(\d+)\.resnets\.")
    width, in_channels = shapes("conv_in.weight", 4)[:2]
    widths = tuple(shapes(f"down_blocks.{i}.resnets.0.conv1.weight", 4)[0] for i in range(levels))
    if not widths or widths[0] != width:
        raise InputError(f"checkpoint {shapes.path} has a conv_in of {width} channels before blocks of {widths}")
    attends = tuple(shapes.has(f"down_blocks.{i}.attentions.") for i in range(levels))
    heads = json.get("num_attention_heads") or json.get("attention_head_dim", 8)
    if isinstance(heads, list) and len(set(heads)) == 1:
        heads = heads[0]
    if not isinstance(heads, int):
        raise InputError(f"config.json of {shapes.path} has {heads} attention heads; SD1.5's family has one number")
    return {
        "in_channels": in_channels,
        "block_out_channels": widths,
        "layers_per_block": shapes.count(r"down_blocks\.0\.resnets\.(\d+)\."),
        "cross_attention_dim": shapes("mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight", 2)[1],
        "num_attention_heads": heads,
        "down_block_types": tuple("CrossAttnDownBlock2D" if has else "DownBlock2D" for has in attends),
        "norm_num_groups": json.get("norm_num_groups", 32),
        "norm_eps": json.get("norm_eps", 1e-5),
    }


def motion(path: Path, tensors: Tensors, json: Json, positions: int | None) -> UNetConfig:
    """Of motion modules: a UNet's config, of which the widths, layers, `motion` and `pool_frames` are known.

    AnimateDiff v1 and MagicAnimate (24 positions, none in the middle) normalise over all frames, v2 and v3 each
    frame alone.
    """
    shapes = Shapes(path, "motion module", tensors)
    check_fixed(path, "motion adapter", json, ADAPTER_FIXED)
    levels = shapes.count(r"down_blocks\.(\d+)\.motion_modules\.")
    widths = tuple(shapes(f"down_blocks.{i}.motion_modules.0.norm.weight", 1)[0] for i in range(levels))
    in_mid = shapes.has("mid_block.")
    length = positions or json.get("motion_max_seq_length") or (32 if in_mid else 24)
    config = MotionConfig(
        heads=json.get("motion_num_attention_heads", 8),
        layers_per_block=shapes.count(r"down_blocks\.0\.motion_modules\.0\.transformer_blocks\.(\d+)\."),
        max_frames=length,
        in_mid=in_mid,
        norm_num_groups=json.get("motion_norm_num_groups", 32),
    )
    for width in widths:
        if width % config.heads or width % config.norm_num_groups:
            raise InputError(
                f"checkpoint {path} has motion modules of {width} channels; they should divide by "
                f"{config.heads} heads and {config.norm_num_groups} groups"
            )
    return made(
        path, "set of motion modules", UNetConfig, block_out_channels=widths, motion=config,
        layers_per_block=shapes.count(r"down_blocks\.0\.motion_modules\.(\d+)\."),
        down_block_types=_kinds("Down", levels), up_block_types=_kinds("Up", levels)[::-1],
        num_attention_heads=config.heads, norm_num_groups=config.norm_num_groups,
        pool_frames=not in_mid and length <= 24,
    )  # fmt: skip


def _kinds(half: str, levels: int) -> tuple[str, ...]:
    return (f"CrossAttn{half}Block2D",) * (levels - 1) + (f"{half}Block2D",)


def with_motion(path: Path, base: UNetConfig, modules: UNetConfig) -> UNetConfig:
    """The UNet `base` with the motion modules of `modules`; raises InputError where their sizes differ."""
    for field in ("block_out_channels", "layers_per_block"):
        if getattr(base, field) != getattr(modules, field):
            raise InputError(
                f"checkpoint {path} has motion modules for a UNet with {field} {getattr(modules, field)}; "
                f"that of --base has {getattr(base, field)}"
            )
    return dataclasses.replace(base, motion=modules.motion, pool_frames=modules.pool_frames)


def vae(path: Path, tensors: Tensors, json: Json) -> VAEConfig:
    """Of an autoencoder."""
    shapes = Shapes(path, "autoencoder", tensors)
    check_fixed(path, "autoencoder", json, VAE_FIXED)
    levels = shapes.count(r"encoder\.down_blocks\.(\d+)\.")
    widths = tuple(shapes(f"encoder.down_blocks.{i}.resnets.0.conv1.weight", 4)[0] for i in range(levels))
    for key, axis in (("encoder.conv_in.weight", 1), ("decoder.conv_out.weight", 0)):
        _check_channels(shapes, "autoencoder", key, shapes(key, 4)[axis], 3)
    config = made(
        path, "autoencoder", VAEConfig,
        in_channels=shapes("encoder.conv_in.weight", 4)[1],
        out_channels=shapes("decoder.conv_out.weight", 4)[0],
        latent_channels=shapes("post_quant_conv.weight", 4)[0],
        block_out_channels=widths,
        layers_per_block=shapes.count(r"encoder\.down_blocks\.0\.resnets\.(\d+)\."),
        norm_num_groups=json.get("norm_num_groups", 32),
        scaling_factor=json.get("scaling_factor", VAEConfig.scaling_factor),
        mid_block_add_attention=shapes.has("encoder.mid_block.attentions."),
    )  # fmt: skip
    if any(width % config.norm_num_groups for width in widths):
        raise InputError(
            f"checkpoint {path} has widths {widths} that {config.norm_num_groups} groups do not divide"
        )
    return config


def text(path: Path, tensors: Tensors, json: Json) -> CLIPTextConfig:
    """Of CLIP's text encoder."""
    json = json.get("text_config") or json
    shapes = Shapes(path, "CLIP text encoder", tensors)
    return made(
        path, "CLIP text encoder", CLIPTextConfig, **_clip(shapes, "text_model", json),
        vocab_size=shapes("text_model.embeddings.token_embedding.weight", 2)[0],
        max_position_embeddings=shapes("text_model.embeddings.position_embedding.weight", 2)[0],
    )  # fmt: skip


def vision(path: Path, tensors: Tensors, json: Json) -> CLIPVisionConfig:
    """Of CLIP's image encoder with its projection."""
    json = json.get("vision_config") or json
    shapes = Shapes(path, "CLIP image encoder", tensors)
    patch = shapes("vision_model.embeddings.patch_embedding.weight", 4)
    side = math.isqrt(shapes("vision_model.embeddings.position_embedding.weight", 2)[0] - 1)
    return made(
        path, "CLIP image encoder", CLIPVisionConfig, **_clip(shapes, "vision_model", json),
        projection_dim=shapes("visual_projection.weight", 2)[0],
        num_channels=patch[1], patch_size=patch[2], image_size=side * patch[2],
    )  # fmt: skip


def _clip(shapes: Shapes, model: str, json: Json) -> dict[str, Any]:
    intermediate, hidden = shapes(f"{model}.encoder.layers.0.mlp.fc1.weight", 2)
    return {
        "hidden_size": hidden,
        "intermediate_size": intermediate,
        "num_hidden_layers": shapes.count(rf"{model}\.encoder\.layers\.(\d+)\."),
        # All of CLIP's transformers have heads of 64 channels.
        "num_attention_heads": json.get("num_attention_heads") or max(1, hidden // 64),
        "hidden_act": json.get("hidden_act", "quick_gelu"),
        "layer_norm_eps": json.get("layer_norm_eps", 1e-5),
    }


def t5(path: Path, tensors: Tensors, json: Json) -> T5Config:
    """Of an encoder of the T5 family; heads are told by the relative positions' table."""
    shapes = Shapes(path, "T5 encoder", tensors)
    check_fixed(path, "T5 encoder", json, T5_FIXED)
    block = "encoder.block.0.layer"
    own = f"{block}.0.SelfAttention.relative_attention_bias.weight"
    in_every_layer = own in tensors
    table = own if in_every_layer else "encoder.positions.relative_attention_bias.weight"
    buckets, heads = shapes(table, 2)
    inner, d_model = shapes(f"{block}.0.SelfAttention.q.weight", 2)
    vocab_size, _ = shapes("shared.weight", 2)
    return made(
        path, "T5 encoder", T5Config, vocab_size=vocab_size, d_model=d_model, d_kv=inner // heads,
        d_ff=shapes(f"{block}.1.DenseReluDense.wi_0.weight", 2)[0], num_heads=heads,
        num_layers=shapes.count(r"encoder\.block\.(\d+)\."), relative_attention_num_buckets=buckets,
        relative_attention_max_distance=json.get("relative_attention_max_distance", 128),
        layer_norm_epsilon=json.get("layer_norm_epsilon", 1e-6), positions_in_every_layer=in_every_layer,
    )  # fmt: skip
