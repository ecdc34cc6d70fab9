"""Stable Diffusion's UNet: diffusers' names, and CompVis' numbered blocks, which AppearanceEncoder copies share."""

import re
from collections.abc import Collection

from jaxanim.convert import infer
from jaxanim.convert.rules import Kind, Naming, Rules, modules

DIFFUSERS: Rules = [
    (r"((?:conv_in|conv_norm_out|conv_out|time_embedding|(?:down|up)_blocks|mid_block)\..+)", r"\1")
]

RESNET = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}
ENDS = {
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "input_blocks.0.0": "conv_in",
    "out.0": "conv_norm_out",
    "out.2": "conv_out",
}


def compvis(keys: Collection[str]) -> Rules:
    """CompVis numbers all layers of one half through, `input_blocks.N` and `output_blocks.N`, with a resolution's
    ResNets, attentions and resampling in a row; the resampling layers among `keys` say where one ends."""
    return encoder(keys) + _decoder(keys)


def encoder(keys: Collection[str]) -> Rules:
    """The half that ControlNet has too: embedding, input blocks, middle block."""
    pairs = dict(ENDS)
    rules: list[tuple[str, str]] = []
    level, layer = 0, 0
    for n in range(1, _blocks(keys, "input_blocks")):
        if f"input_blocks.{n}.0.op.weight" in keys:
            pairs[f"input_blocks.{n}.0.op"] = f"down_blocks.{level}.downsamplers.0.conv"
            level, layer = level + 1, 0
            continue
        pairs |= _resnet(f"input_blocks.{n}.0", f"down_blocks.{level}.resnets.{layer}")
        rules += _attention(f"input_blocks.{n}.1", f"down_blocks.{level}.attentions.{layer}")
        layer += 1
    pairs |= _resnet("middle_block.0", "mid_block.resnets.0") | _resnet("middle_block.2", "mid_block.resnets.1")
    return modules(pairs) + rules + _attention("middle_block.1", "mid_block.attentions.0")


def _decoder(keys: Collection[str]) -> Rules:
    pairs: dict[str, str] = {}
    rules: list[tuple[str, str]] = []
    level, layer = 0, 0
    for n in range(_blocks(keys, "output_blocks")):
        pairs |= _resnet(f"output_blocks.{n}.0", f"up_blocks.{level}.resnets.{layer}")
        # The upsampling comes second where the resolution has no attention.
        upsampler = next((i for i in (1, 2) if f"output_blocks.{n}.{i}.conv.weight" in keys), None)
        if upsampler != 1:
            rules += _attention(f"output_blocks.{n}.1", f"up_blocks.{level}.attentions.{layer}")
        layer += 1
        if upsampler is not None:
            pairs[f"output_blocks.{n}.{upsampler}.conv"] = f"up_blocks.{level}.upsamplers.0.conv"
            level, layer = level + 1, 0
    return modules(pairs) + rules


def _resnet(old: str, new: str) -> dict[str, str]:
    return {f"{old}.{theirs}": f"{new}.{ours}" for theirs, ours in RESNET.items()}


def _attention(old: str, new: str) -> Rules:
    """Within an attention the two namings are the same."""
    return [(re.escape(old) + r"\.((?:norm|proj_in|proj_out|transformer_blocks)\..+)", rf"{new}.\1")]


def _blocks(keys: Collection[str], half: str) -> int:
    numbers = (re.match(rf"{half}\.(\d+)\.", key) for key in keys)
    return 1 + max((int(match[1]) for match in numbers if match), default=-1)


KINDS = (
    Kind("unet", "Stable Diffusion's UNet", infer.unet, namings=(
        Naming(r"time_embed\.0\.weight", "CompVis' names", compvis),
        Naming(r"time_embedding\.linear_1\.weight", "diffusers' names", DIFFUSERS),
    )),
)  # fmt: skip
