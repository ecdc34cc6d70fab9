"""Configs of Wan's networks from tensors' shapes (in diffusers' names) and, where there is one, config.json."""

import math
from pathlib import Path

from jaxanim.convert.infer import Json, Shapes, check_fixed, made
from jaxanim.convert.rules import Tensors
from jaxanim.errors import InputError
from jaxanim.models.wan.config import WanConfig
from jaxanim.models.wan.vae_config import WanVAEConfig

TRANSFORMER_FIXED = {"added_kv_proj_dim": None, "image_dim": None, "pos_embed_seq_len": None,
                     "qk_norm": "rms_norm_across_heads", "cross_attn_norm": True}  # fmt: skip
VAE_FIXED = {"is_residual": True, "attn_scales": [], "dropout": 0.0}
HEAD_DIM = 128


def transformer(path: Path, tensors: Tensors, json: Json) -> WanConfig:
    """Of Wan's transformer; without a config.json heads have 128 channels, as all of Wan's do."""
    shapes = Shapes(path, "Wan transformer", tensors)
    check_fixed(path, "Wan transformer", json, TRANSFORMER_FIXED)
    width, channels, *patch = shapes("patch_embedding.weight", 5)
    head_dim = json.get("attention_head_dim") or (width // json["num_heads"] if "num_heads" in json else HEAD_DIM)
    if width % head_dim:
        raise InputError(f"checkpoint {path} is {width} channels wide, which heads of {head_dim} do not divide")
    return made(
        path, "Wan transformer", WanConfig, in_channels=channels, patch_size=tuple(patch),
        num_layers=shapes.count(r"blocks\.(\d+)\."), num_attention_heads=width // head_dim,
        attention_head_dim=head_dim, ffn_dim=shapes("blocks.0.ffn.net.0.proj.weight", 2)[0],
        out_channels=shapes("proj_out.weight", 2)[0] // math.prod(patch),
        text_dim=shapes("condition_embedder.text_embedder.linear_1.weight", 2)[1],
        freq_dim=shapes("condition_embedder.time_embedder.linear_1.weight", 2)[1],
        part_attention=shapes.has("blocks.0.cross_attn_instance."), eps=json.get("eps", 1e-6),
    )  # fmt: skip


def vae(path: Path, tensors: Tensors, json: Json) -> WanVAEConfig:
    """Of Wan2.2's autoencoder; the latents' means and deviations are Wan2.2's unless config.json has others."""
    shapes = Shapes(path, "Wan autoencoder", tensors)
    check_fixed(path, "Wan autoencoder", json, VAE_FIXED)
    levels = shapes.count(r"encoder\.down_blocks\.(\d+)\.")
    widths = [shapes(f"encoder.down_blocks.{i}.resnets.0.conv1.weight", 5)[0] for i in range(levels)]
    base, patch = shapes("encoder.conv_in.weight", 5)[:2]
    side = math.isqrt(patch // 3)
    if patch != 3 * side**2:
        raise InputError(f"checkpoint {path} takes {patch} channels; three colours of a square of pixels are due")
    z_dim = shapes("post_quant_conv.weight", 5)[0]
    statistics = {name: tuple(json[name]) for name in ("latents_mean", "latents_std") if name in json}
    return made(
        path, "Wan autoencoder", WanVAEConfig, base_dim=base, z_dim=z_dim, patch_size=side,
        decoder_base_dim=shapes("decoder.conv_out.weight", 5)[1],
        dim_mult=tuple(width // base for width in widths),
        temporal_downsample=tuple(
            shapes.has(f"encoder.down_blocks.{i}.downsampler.time_conv.") for i in range(levels - 1)
        ),
        num_res_blocks=shapes.count(r"encoder\.down_blocks\.0\.resnets\.(\d+)\."), **statistics,
    )  # fmt: skip
