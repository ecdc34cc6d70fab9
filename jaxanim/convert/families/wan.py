"""Wan's transformer and 2.2's autoencoder: the official names, which are PoseAnything's too, and diffusers'."""

from jaxanim.convert import infer_wan
from jaxanim.convert.rules import Drops, Kind, Naming, Rules, modules

BLOCK = r"(blocks\.\d+)"
LEAF = r"(weight|bias)"
ATTENTION = {"self_attn": "attn1", "cross_attn": "attn2", "cross_attn_instance": "cross_attn_instance"}

TRANSFORMER: Rules = [
    *modules(
        {
            "patch_embedding": "patch_embedding",
            "text_embedding.0": "condition_embedder.text_embedder.linear_1",
            "text_embedding.2": "condition_embedder.text_embedder.linear_2",
            "time_embedding.0": "condition_embedder.time_embedder.linear_1",
            "time_embedding.2": "condition_embedder.time_embedder.linear_2",
            "time_projection.1": "condition_embedder.time_proj",
            "head.head": "proj_out",
        }
    ),
    (r"head\.modulation", "scale_shift_table"),
    (rf"{BLOCK}\.modulation", r"\1.scale_shift_table"),
    *[(rf"{BLOCK}\.{old}\.([qkv])\.{LEAF}", rf"\1.{new}.to_\2.\3") for old, new in ATTENTION.items()],
    *[(rf"{BLOCK}\.{old}\.o\.{LEAF}", rf"\1.{new}.to_out.0.\2") for old, new in ATTENTION.items()],
    *[(rf"{BLOCK}\.{old}\.(norm_[qk])\.weight", rf"\1.{new}.\2.weight") for old, new in ATTENTION.items()],
    # diffusers calls the norm before the text norm2; its norm3 has no parameters
    (rf"{BLOCK}\.norm3\.{LEAF}", r"\1.norm2.\2"),
    (rf"{BLOCK}\.norm4\.{LEAF}", r"\1.norm4.\2"),
    (rf"{BLOCK}\.ffn\.0\.{LEAF}", r"\1.ffn.net.0.proj.\2"),
    (rf"{BLOCK}\.ffn\.2\.{LEAF}", r"\1.ffn.net.2.\2"),
]
TRANSFORMER_DIFFUSERS: Rules = [
    (r"((?:patch_embedding|proj_out|condition_embedder\.(?:text_embedder|time_embedder|time_proj))\b.+)", r"\1"),
    (r"(scale_shift_table)", r"\1"),
    (r"(blocks\.\d+\.(?:attn1|attn2|cross_attn_instance|norm2|norm4|ffn|scale_shift_table)\b.*)", r"\1"),
]
TRANSFORMER_DROPS: Drops = [(r"freqs|rope\..+", "the rotary table, which is computed")]

HALF = r"((?:en|de)coder)"
# The stages of each half, and the name that diffusers gives their blocks.
STAGES = {"encoder.downsamples": ("downsamples", "down"), "decoder.upsamples": ("upsamples", "up")}
RESIDUAL = {
    r"residual\.0\.gamma": "norm1.gamma",
    rf"residual\.2\.{LEAF}": "conv1.{leaf}",
    r"residual\.3\.gamma": "norm2.gamma",
    rf"residual\.6\.{LEAF}": "conv2.{leaf}",
    rf"shortcut\.{LEAF}": "conv_shortcut.{leaf}",
}


def _vae() -> Rules:
    rules: list[tuple[str, str]] = [
        *modules({"conv1": "quant_conv", "conv2": "post_quant_conv"}),
        (rf"{HALF}\.conv1\.{LEAF}", r"\1.conv_in.\2"),
        (rf"{HALF}\.head\.0\.gamma", r"\1.norm_out.gamma"),
        (rf"{HALF}\.head\.2\.{LEAF}", r"\1.conv_out.\2"),
        (rf"{HALF}\.middle\.1\.((?:norm|to_qkv|proj)\..+)", r"\1.mid_block.attentions.0.\2"),
    ]
    for old, new in RESIDUAL.items():
        for place, block in ((0, 0), (2, 1)):
            home = rf"\1.mid_block.resnets.{block}."
            rules.append((rf"{HALF}\.middle\.{place}\.{old}", home + new.format(leaf=r"\2")))
        for stage, (layers, half) in STAGES.items():
            home = rf"{stage.split('.')[0]}.{half}_blocks.\1.resnets.\2."
            pattern = rf"{stage.replace('.', '[.]')}\.(\d+)\.{layers}\.(\d+)\.{old}"
            rules.append((pattern, home + new.format(leaf=r"\3")))
    for stage, (layers, half) in STAGES.items():
        home = rf"{stage.split('.')[0]}.{half}_blocks.\1.{half}sampler."
        pattern = rf"{stage.replace('.', '[.]')}\.(\d+)\.{layers}\.\d+\.(resample\.1|time_conv)\.{LEAF}"
        rules.append((pattern, home + r"\2.\3"))
    return rules


VAE: Rules = _vae()
VAE_DIFFUSERS: Rules = [
    (r"((?:en|de)coder\.(?:conv_in|conv_out|norm_out|mid_block|(?:down|up)_blocks)\..+)", r"\1"),
    (r"((?:post_)?quant_conv\.(?:weight|bias))", r"\1"),
]


KINDS = (
    Kind("wan_transformer", "Wan's transformer", infer_wan.transformer, drops=TRANSFORMER_DROPS, namings=(
        Naming(r"blocks\.0\.self_attn\.norm_q\.weight", "Wan's names", TRANSFORMER),
        Naming(r"condition_embedder\.time_embedder\.linear_1\.weight", "diffusers' names", TRANSFORMER_DIFFUSERS),
    )),
    Kind("wan_vae", "Wan2.2's autoencoder", infer_wan.vae, namings=(
        Naming(r"encoder\.downsamples\.0\.downsamples\.0\.residual\.0\.gamma", "Wan's names", VAE),
        Naming(r"encoder\.down_blocks\.0\.resnets\.0\.norm1\.gamma", "diffusers' names", VAE_DIFFUSERS),
    )),
)  # fmt: skip
