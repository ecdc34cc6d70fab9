"""The autoencoder: diffusers' names with the old and the new attention, and CompVis'."""

import re
from collections.abc import Collection

from jaxanim.convert import infer
from jaxanim.convert.rules import Drops, Kind, Naming, Rules, Tensors, modules

# diffusers' attention was called query, key, value, proj_attn before version 0.13.
ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
MIDDLE = r"((?:en|de)coder\.mid_block\.attentions\.0)"

DIFFUSERS: Rules = [
    *[(rf"{MIDDLE}\.{old}\.(weight|bias)", rf"\1.{new}.\2") for old, new in ATTENTION.items()],
    (rf"({MIDDLE}\.(?:group_norm|to_q|to_k|to_v|to_out\.0)\.(?:weight|bias))", r"\1"),
    (
        r"((?:(?:en|de)coder\.(?:conv_in|conv_out|conv_norm_out|mid_block\.resnets|(?:down|up)_blocks)"
        r"|quant_conv|post_quant_conv)\..+)",
        r"\1",
    ),
]
DROPS: Drops = [
    (r"loss\..+", "the discriminator and perceptual network that trained the autoencoder"),
    (r"model_ema\..+", "running averages of the same parameters"),
]


def compvis(keys: Collection[str]) -> Rules:
    """CompVis counts the decoder's resolutions from the pixels, diffusers from the latents."""
    levels = 1 + max(int(match[1]) for key in keys if (match := re.match(r"decoder\.up\.(\d+)\.", key)))
    pairs = {"quant_conv": "quant_conv", "post_quant_conv": "post_quant_conv"}
    rules: list[tuple[str, str]] = []
    for half in ("encoder", "decoder"):
        for end, name in (("conv_in", "conv_in"), ("conv_out", "conv_out"), ("norm_out", "conv_norm_out")):
            pairs[f"{half}.{end}"] = f"{half}.{name}"
        for theirs, ours in (("norm", "group_norm"), ("q", "to_q"), ("k", "to_k"), ("v", "to_v")):
            pairs[f"{half}.mid.attn_1.{theirs}"] = f"{half}.mid_block.attentions.0.{ours}"
        pairs[f"{half}.mid.attn_1.proj_out"] = f"{half}.mid_block.attentions.0.to_out.0"
        rules += _resnet(rf"{half}\.mid\.block_1", f"{half}.mid_block.resnets.0")
        rules += _resnet(rf"{half}\.mid\.block_2", f"{half}.mid_block.resnets.1")
    for level in range(levels):
        up = levels - 1 - level
        rules += _resnet(rf"encoder\.down\.{level}\.block\.(\d+)", rf"encoder.down_blocks.{level}.resnets.\1")
        rules += _resnet(rf"decoder\.up\.{level}\.block\.(\d+)", rf"decoder.up_blocks.{up}.resnets.\1")
        pairs[f"encoder.down.{level}.downsample.conv"] = f"encoder.down_blocks.{level}.downsamplers.0.conv"
        pairs[f"decoder.up.{level}.upsample.conv"] = f"decoder.up_blocks.{up}.upsamplers.0.conv"
    return modules(pairs) + rules


def _resnet(old: str, new: str) -> Rules:
    names = {
        "norm1": "norm1",
        "conv1": "conv1",
        "norm2": "norm2",
        "conv2": "conv2",
        "nin_shortcut": "conv_shortcut",
    }
    return [
        (rf"{old}\.{theirs}\.(?P<leaf>weight|bias)", rf"{new}.{ours}.\g<leaf>") for theirs, ours in names.items()
    ]


def linear_attention(tensors: Tensors) -> Tensors:
    """The attention's projections as linear layers: the older files hold them as 1x1 convolutions."""
    pattern = re.compile(rf"{MIDDLE}\.(to_q|to_k|to_v|to_out\.0)\.weight")

    def squeezed(tensor):
        shape = tensor.shape[:2]
        return tensor._replace(shape=shape, read=lambda: tensor.read().reshape(shape))

    return {
        key: squeezed(tensor) if pattern.fullmatch(key) and tensor.shape[2:] == (1, 1) else tensor
        for key, tensor in tensors.items()
    }


KINDS = (
    Kind("vae", "Stable Diffusion's autoencoder", infer.vae, drops=DROPS, namings=(
        Naming(r"encoder\.down_blocks\.0\.resnets\.0\.conv1\.weight", "diffusers' names", DIFFUSERS),
        Naming(r"encoder\.down\.0\.block\.0\.conv1\.weight", "CompVis' names", compvis),
    )),
)  # fmt: skip
