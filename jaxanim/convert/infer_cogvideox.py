"""Configs of CogVideoX's networks from tensors' shapes (in diffusers' names) and, where it is, config.json."""

from pathlib import Path

from jaxanim.convert.infer import Json, Shapes, check_fixed, made
from jaxanim.convert.rules import Tensors
from jaxanim.errors import InputError
from jaxanim.models.cogvideox.config import CogVideoXConfig
from jaxanim.models.cogvideox.vae import CogVideoXVAEConfig

VAE_FIXED = {
    "act_fn": "silu", "norm_eps": 1e-6, "use_quant_conv": False, "use_post_quant_conv": False, "shift_factor": None,
    "latents_mean": None, "latents_std": None,
}  # fmt: skip
TRANSFORMER_FIXED = {
    "activation_fn": "gelu-approximate", "timestep_activation_fn": "silu", "flip_sin_to_cos": True, "freq_shift": 0,
    "attention_bias": True, "norm_elementwise_affine": True, "use_rotary_positional_embeddings": True,
    "use_learned_positional_embeddings": False,
}  # fmt: skip


def transformer(path: Path, tensors: Tensors, json: Json) -> CogVideoXConfig:
    """Of a CogVideoX 1.5 transformer; those of 1.0 have patches of one frame and are refused."""
    shapes = Shapes(path, "CogVideoX transformer", tensors)
    check_fixed(path, "CogVideoX 1.5 transformer", json, TRANSFORMER_FIXED)
    if "patch_embed.proj.weight" in tensors and len(tensors["patch_embed.proj.weight"].shape) == 4:
        raise InputError(f"checkpoint {path} is CogVideoX 1.0, with patches of one frame; 1.5 can be converted")
    patch, patch_t = json.get("patch_size", 2), json.get("patch_size_t", 2)
    width, values = shapes("patch_embed.proj.weight", 2)
    (head_dim,) = shapes("transformer_blocks.0.attn1.norm_q.weight", 1)
    ofs = shapes("ofs_embedding.linear_1.weight", 2)[0] if shapes.has("ofs_embedding.") else None
    return made(
        path, "CogVideoX transformer", CogVideoXConfig, num_attention_heads=width // head_dim,
        attention_head_dim=head_dim, in_channels=values // (patch_t * patch**2), patch_size=patch,
        out_channels=shapes("proj_out.weight", 2)[0] // (patch_t * patch**2), patch_size_t=patch_t,
        time_embed_dim=shapes("time_embedding.linear_1.weight", 2)[0], ofs_embed_dim=ofs,
        text_embed_dim=shapes("patch_embed.text_proj.weight", 2)[1],
        num_layers=shapes.count(r"transformer_blocks\.(\d+)\."), norm_eps=json.get("norm_eps", 1e-5),
        max_text_seq_length=json.get("max_text_seq_length", 226),
    )  # fmt: skip


def vae(path: Path, tensors: Tensors, json: Json) -> CogVideoXVAEConfig:
    """Of a CogVideoX autoencoder; scale, groups and temporal compression are 1.5's unless config.json says more."""
    shapes = Shapes(path, "CogVideoX autoencoder", tensors)
    check_fixed(path, "CogVideoX autoencoder", json, VAE_FIXED)
    levels = range(shapes.count(r"encoder\.down_blocks\.(\d+)\."))
    told = {
        name: json[name]
        for name in ("norm_num_groups", "temporal_compression_ratio", "scaling_factor", "invert_scale_latents")
        if name in json
    }
    return made(
        path, "CogVideoX autoencoder", CogVideoXVAEConfig, **told,
        block_out_channels=tuple(
            shapes(f"encoder.down_blocks.{i}.resnets.0.conv1.conv.weight", 5)[0] for i in levels
        ),
        layers_per_block=shapes.count(r"encoder\.down_blocks\.0\.resnets\.(\d+)\."),
        in_channels=shapes("encoder.conv_in.conv.weight", 5)[1],
        out_channels=shapes("decoder.conv_out.conv.weight", 5)[0],
        latent_channels=shapes("decoder.conv_in.conv.weight", 5)[1],
    )  # fmt: skip
