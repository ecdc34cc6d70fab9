"""Motion modules: AnimateDiff's names (v1, v2, v3 and MagicAnimate's file), and diffusers' MotionAdapter."""

import re
from pathlib import Path

import numpy as np

from jaxanim.convert import infer
from jaxanim.convert.rules import Drops, Kind, Naming, Rules, Tensors
from jaxanim.errors import InputError
from jaxanim.nn.embedding import sinusoidal_positions

POSITIONS = r"(?:module\.)?(?:unet\.)?.+\.(?:pos_encoder|pos_embed)\.pe"
MODULE = r"(?:module\.)?(?:unet\.)?((?:(?:down|up)_blocks\.\d+|mid_block)\.motion_modules\.\d+)"
BLOCK = rf"{MODULE}\.temporal_transformer\.(transformer_blocks\.\d+)"

RULES: Rules = [
    (rf"{MODULE}\.temporal_transformer\.((?:norm|proj_in|proj_out)\..+)", r"\1.\2"),
    (rf"{BLOCK}\.attention_blocks\.0\.(to_.+)", r"\1.\2.attn1.\3"),
    (rf"{BLOCK}\.attention_blocks\.1\.(to_.+)", r"\1.\2.attn2.\3"),
    (rf"{BLOCK}\.norms\.0\.(weight|bias)", r"\1.\2.norm1.\3"),
    (rf"{BLOCK}\.norms\.1\.(weight|bias)", r"\1.\2.norm2.\3"),
    (rf"{BLOCK}\.ff_norm\.(weight|bias)", r"\1.\2.norm3.\3"),
    (rf"{BLOCK}\.(ff\.net\..+)", r"\1.\2.\3"),
    # diffusers' own names stay as they are.
    (rf"{MODULE}\.((?:norm|proj_in|proj_out|transformer_blocks\.\d+\.(?:attn|norm|ff)).+)", r"\1.\2"),
]
DROPS: Drops = [(POSITIONS, "the sinusoidal position encoding, which is computed")]


def positions(path: Path, tensors: Tensors) -> int | None:
    """Length of the position encodings, None where the file has none.

    Raises InputError unless they are the sinusoids that jaxanim computes in their place.
    """
    lengths = set()
    for key, tensor in tensors.items():
        if not re.fullmatch(POSITIONS, key):
            continue
        table = np.asarray(tensor.read(), np.float32)
        table = table.reshape(table.shape[-2:]) if table.ndim >= 2 else table[None]
        if np.abs(table - sinusoidal_positions(*table.shape)).max() > 0.01:
            raise InputError(f"checkpoint {path} has a learned {key}; only sinusoidal positions can be converted")
        lengths.add(len(table))
    if len(lengths) > 1:
        raise InputError(f"checkpoint {path} has position encodings of lengths {sorted(lengths)}; one is expected")
    return lengths.pop() if lengths else None


KINDS = (
    Kind("motion", "AnimateDiff's motion modules", infer.motion, drops=DROPS, namings=(
        Naming(r".*motion_modules\.\d+\.temporal_transformer\..+", "AnimateDiff's names", RULES),
        Naming(r".*motion_modules\.\d+\.proj_in\..+", "diffusers' names", RULES),
    )),
)  # fmt: skip
