"""CogVideoX 1.5's transformer and autoencoder: diffusers' names, which are jaxanim's, and those of SAT, the trainer
(`mp_rank_00_model_states.pt`, `3d-vae.pt`)."""

import re
from collections.abc import Collection, Sequence

import numpy as np

from jaxanim.convert import infer_cogvideox
from jaxanim.convert.rules import Drops, Kind, Naming, Rules, Tensors, modules
from jaxanim.tensor_file import LazyTensor

LEAF = r"(?:weight|bias)"
TRANSFORMER: Rules = [
    (
        rf"((?:patch_embed\.(?:proj|text_proj)|(?:time|ofs)_embedding\.linear_[12]|norm_final|norm_out\.(?:linear|norm)"
        rf"|proj_out)\.{LEAF})",
        r"\1",
    ),
    (
        r"(transformer_blocks\.\d+\.(?:norm[12]\.(?:linear|norm)|attn1\.(?:to_[qkv]|to_out\.0|norm_[qk])"
        rf"|ff\.net\.(?:0\.proj|2))\.{LEAF})",
        r"\1",
    ),
]
RESNET = rf"resnets\.\d+\.(?:conv[12]\.conv|conv_shortcut|norm[12](?:\.norm_layer|\.conv_[yb]\.conv)?)\.{LEAF}"
VAE: Rules = [
    (rf"((?:en|de)coder\.(?:mid_block|(?:down|up)_blocks\.\d+)\.{RESNET})", r"\1"),
    (rf"((?:en|de)coder\.(?:down|up)_blocks\.\d+\.(?:down|up)samplers\.0\.conv\.{LEAF})", r"\1"),
    (rf"((?:en|de)coder\.conv_(?:in|out)\.conv\.{LEAF})", r"\1"),
    (rf"((?:en|de)coder\.norm_out(?:\.norm_layer|\.conv_[yb]\.conv)?\.{LEAF})", r"\1"),
]

BLOCK = r"transformer\.layers\.(\d+)"
BLOCK_MODULES = {
    rf"{BLOCK}\.input_layernorm": "norm1.norm",
    rf"{BLOCK}\.post_attention_layernorm": "norm2.norm",
    rf"{BLOCK}\.attention\.dense": "attn1.to_out.0",
    rf"{BLOCK}\.mlp\.dense_h_to_4h": "ff.net.0.proj",
    rf"{BLOCK}\.mlp\.dense_4h_to_h": "ff.net.2",
    r"mixins\.adaln_layer\.query_layernorm_list\.(\d+)": "attn1.norm_q",
    r"mixins\.adaln_layer\.key_layernorm_list\.(\d+)": "attn1.norm_k",
}
# The tensors of several layers in one: into how many parts of its rows it falls, and which of them each layer has.
FUSED = {
    rf"{BLOCK}\.attention\.query_key_value": (3, {"attn1.to_q": (0,), "attn1.to_k": (1,), "attn1.to_v": (2,)}),
    # Shift, scale and gate of the video's attention and of its MLP, then the same of the text.
    r"mixins\.adaln_layer\.adaLN_modulations\.(\d+)\.1": (
        12,
        {"norm1.linear": (0, 1, 2, 6, 7, 8), "norm2.linear": (3, 4, 5, 9, 10, 11)},
    ),
}
SAT_TRANSFORMER: Rules = [
    *modules(
        {
            "time_embed.0": "time_embedding.linear_1",
            "time_embed.2": "time_embedding.linear_2",
            "ofs_embed.0": "ofs_embedding.linear_1",
            "ofs_embed.2": "ofs_embedding.linear_2",
            "mixins.patch_embed.proj": "patch_embed.proj",
            "mixins.patch_embed.text_proj": "patch_embed.text_proj",
            "transformer.final_layernorm": "norm_final",
            "mixins.final_layer.norm_final": "norm_out.norm",
            "mixins.final_layer.adaLN_modulation.1": "norm_out.linear",
            "mixins.final_layer.linear": "proj_out",
        }
    ),
    *[(rf"{old}\.({LEAF})", rf"transformer_blocks.\1.{new}.\2") for old, new in BLOCK_MODULES.items()],
    (rf"(transformer_blocks\.\d+\.(?:attn1\.to_[qkv]|norm[12]\.linear)\.{LEAF})", r"\1"),
]
TRANSFORMER_DROPS: Drops = [
    (r"mixins\.pos_embed\.freqs_(sin|cos)", "the rotary table, which is computed"),
    (
        r"transformer\.(embed_tokens|word_embeddings|position_embeddings)\.weight",
        "SAT's own embeddings, which a video's transformer does not read",
    ),
]
VAE_DROPS: Drops = [(r"loss\..+", "the discriminator and perceptual network that trained the autoencoder")]


def parted(tensors: Tensors) -> Tensors:
    """SAT's tensors with those of several layers as a tensor for each, under diffusers' names."""
    result = {}
    for key, tensor in tensors.items():
        for pattern, (count, layers) in FUSED.items():
            if match := re.fullmatch(rf"{pattern}\.({LEAF})", key):
                index, leaf = match.groups()
                for name, rows in layers.items():
                    result[f"transformer_blocks.{index}.{name}.{leaf}"] = _rows(tensor, count, rows)
                break
        else:
            result[key] = tensor
    return result


def _rows(tensor: LazyTensor, count: int, parts: Sequence[int]) -> LazyTensor:
    """Some of `count` equal parts of a tensor's first axis."""
    rows = tensor.shape[0] // count

    def read() -> np.ndarray:
        whole = tensor.read()
        return np.concatenate([whole[part * rows : (part + 1) * rows] for part in parts])

    return tensor._replace(shape=(rows * len(parts), *tensor.shape[1:]), read=read)


def sat_vae(keys: Collection[str]) -> Rules:
    """SAT counts the decoder's resolutions from the pixels, diffusers from the latents."""
    levels = 1 + max(
        (int(match[1]) for key in keys if (match := re.match(r"decoder\.up\.(\d+)\.", key))), default=0
    )
    rules: list[tuple[str, str]] = [
        (rf"((?:en|de)coder\.conv_(?:in|out)\.conv\.{LEAF})", r"\1"),
        (rf"((?:en|de)coder\.norm_out(?:\.norm_layer|\.conv_[yb]\.conv)?\.{LEAF})", r"\1"),
    ]
    places = {
        f"{half}.mid.block_{i + 1}": f"{half}.mid_block.resnets.{i}"
        for half in ("encoder", "decoder")
        for i in (0, 1)
    }
    for level in range(levels):
        for side, at, resample in (
            ("encoder.down", level, "downsample"),
            ("decoder.up", levels - 1 - level, "upsample"),
        ):
            theirs, ours = rf"{re.escape(side)}\.{level}", f"{side}_blocks.{at}"
            rules.append((rf"{theirs}\.{resample}\.conv\.({LEAF})", rf"{ours}.{resample}rs.0.conv.\1"))
            rules += _resnet(rf"{theirs}\.block\.(\d+)", rf"{ours}.resnets.\1")
    for theirs, ours in places.items():
        rules += _resnet(re.escape(theirs), ours)
    return rules


def _resnet(old: str, new: str) -> Rules:
    kept = rf"(?P<leaf>(?:conv[12]\.conv|norm[12](?:\.norm_layer|\.conv_[yb]\.conv)?)\.{LEAF})"
    return [
        (rf"{old}\.{kept}", rf"{new}.\g<leaf>"),
        (rf"{old}\.nin_shortcut\.(?P<leaf>{LEAF})", rf"{new}.conv_shortcut.\g<leaf>"),
    ]


KINDS = (
    Kind("cogvideox", "CogVideoX's transformer", infer_cogvideox.transformer, drops=TRANSFORMER_DROPS, namings=(
        Naming(r"patch_embed\.text_proj\.weight", "diffusers' names", TRANSFORMER),
        Naming(r"mixins\.patch_embed\.text_proj\.weight", "SAT's names", SAT_TRANSFORMER, parted),
    )),
    Kind("cogvideox_vae", "CogVideoX's autoencoder", infer_cogvideox.vae, drops=VAE_DROPS, namings=(
        Naming(r"encoder\.down_blocks\.0\.resnets\.0\.conv1\.conv\.weight", "diffusers' names", VAE),
        Naming(r"encoder\.down\.0\.block\.0\.conv1\.conv\.weight", "SAT's names", sat_vae),
    )),
)  # fmt: skip
