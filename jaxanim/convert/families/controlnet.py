"""ControlNet: diffusers' names, and those of its authors' release."""

import re
from collections.abc import Collection

from jaxanim.convert import infer
from jaxanim.convert.families import unet
from jaxanim.convert.rules import Kind, Naming, Rules, modules

DIFFUSERS: Rules = [
    (
        r"((?:conv_in|time_embedding|down_blocks|mid_block"
        r"|controlnet_cond_embedding|controlnet_down_blocks|controlnet_mid_block)\..+)",
        r"\1",
    )
]


def original(keys: Collection[str]) -> Rules:
    """The UNet's input half in CompVis' names, a zero convolution after each input block, and the condition's
    convolutions at every second place of `input_hint_block` (activations lie between them)."""
    hints = sorted({int(match[1]) for key in keys if (match := re.match(r"input_hint_block\.(\d+)\.", key))})
    pairs = {"middle_block_out.0": "controlnet_mid_block"}
    for i, n in enumerate(hints):
        place = "conv_in" if i == 0 else "conv_out" if n == hints[-1] else f"blocks.{i - 1}"
        pairs[f"input_hint_block.{n}"] = f"controlnet_cond_embedding.{place}"
    zero = [(r"zero_convs\.(\d+)\.0\.(weight|bias)", r"controlnet_down_blocks.\1.\2")]
    return unet.encoder(keys) + modules(pairs) + zero


KINDS = (
    Kind("controlnet", "ControlNet", infer.controlnet, namings=(
        Naming(r"controlnet_cond_embedding\.conv_in\.weight", "diffusers' names", DIFFUSERS),
        Naming(r"input_hint_block\.0\.weight", "the original names", original),
    )),
)  # fmt: skip
