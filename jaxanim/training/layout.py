"""How each network's parameters are cut over the mesh axes "tensor" and "fsdp": tables of patterns over paths.

A parameter's last two axes are what goes in and what comes out, at any rank: a convolution's taps and a scan's
blocks stand before them, and are never cut. A layer whose outputs are heads or a hidden width is cut by COLUMNS
over "tensor", the layer behind it by ROWS, so that the pair of them needs one sum over the devices; "fsdp" cuts the
other of the two axes, and its parts are gathered when the layer is computed.
"""

import math
import re
from collections.abc import Sequence
from typing import NamedTuple

from jax.sharding import AbstractMesh, Mesh, PartitionSpec

from jaxanim.errors import InputError


class Cut(NamedTuple):
    """Which axis, from the end, "tensor" and "fsdp" cut; None: neither that one nor another."""

    tensor: int | None
    fsdp: int | None


COLUMNS, ROWS, VECTOR, WHOLE = Cut(-1, -2), Cut(-2, -1), Cut(-1, None), Cut(None, None)

Table = Sequence[tuple[str, Cut]]

# Projections into heads and back: diffusers' names, in all backbones.
ATTENTION: Table = (
    (r"(to_q|to_k|to_v|to_qkv)/kernel$", COLUMNS),
    (r"(to_q|to_k|to_v|to_qkv)/bias$", VECTOR),
    (r"to_out_0/kernel$", ROWS),
)
# Into a hidden width and back; the two layers of a time or text embedding are such a pair too.
PAIRS: Table = (
    (r"(net_0/proj|linear_1)/kernel$", COLUMNS),
    (r"(net_0/proj|linear_1)/bias$", VECTOR),
    (r"(net_2|linear_2)/kernel$", ROWS),
)
UNET: Table = (
    # A residual block: into conv1 beside the time, out of conv2 beside the shortcut.
    (r"(conv1|time_emb_proj)/kernel$", COLUMNS),
    (r"(conv1|time_emb_proj)/bias$", VECTOR),
    (r"(conv2|conv_shortcut)/kernel$", ROWS),
    # Around a transformer block, and in motion modules.
    (r"proj_in/kernel$", COLUMNS),
    (r"(proj_out|attentions_\d+/proj)/kernel$", ROWS),
    # ControlNet's drawing of the condition, and what it adds to the UNet.
    (r"controlnet_cond_embedding/blocks_\d+/kernel$", COLUMNS),
    (r"(controlnet_down_blocks_\d+|controlnet_mid_block)/kernel$", ROWS),
    (r"(downsamplers|upsamplers)_\d+/conv/kernel$", ROWS),
    (r"conv_in/kernel$", COLUMNS),
    (r"conv_out/kernel$", ROWS),
)
VIDEO_VAES: Table = (
    # CogVideoX's causal convolutions lie one level deeper, and condition their norms on the latents.
    (r"(conv1|conv_in|conv_b|conv_y)/conv/kernel$", COLUMNS),
    (r"(conv2|conv_out)/conv/kernel$", ROWS),
    # Wan's samplers.
    (r"(resample_\d+|time_conv|post_quant_conv|quant_conv)/kernel$", COLUMNS),
    (r"gamma$", WHOLE),
)
WAN: Table = (
    (r"(patch_embedding|time_proj)/kernel$", COLUMNS),
    (r"scale_shift_table$", WHOLE),
)
COGVIDEOX: Table = (
    # Modulations, of which DirectAnimator's fusion blocks are made too, and tokens of patches, text and cues.
    (r"(norm1|norm2|norm_out|fusion_blocks)/linear/kernel$", COLUMNS),
    (r"(patch_embed/proj|text_proj|pose_embed|face_embed)/kernel$", COLUMNS),
)
CLIP: Table = (
    (r"(q_proj|k_proj|v_proj|fc1)/kernel$", COLUMNS),
    (r"(q_proj|k_proj|v_proj|fc1)/bias$", VECTOR),
    (r"(out_proj|fc2)/kernel$", ROWS),
    (r"(patch_embedding|visual_projection)/kernel$", COLUMNS),
    (r"token_embedding/embedding$", COLUMNS),
    (r"(position_embedding/embedding|class_embedding)$", WHOLE),
)
T5: Table = (
    (r"(SelfAttention/[qkv]|wi_\d)/kernel$", COLUMNS),
    (r"(SelfAttention/o|wo)/kernel$", ROWS),
    (r"shared/embedding$", COLUMNS),
    (r"relative_attention_bias/embedding$", WHOLE),
)
OTHERS: Table = ((r"/(embedding|kernel)$", COLUMNS),)

PARAMETERS: Table = (*ATTENTION, *PAIRS, *UNET, *VIDEO_VAES, *WAN, *COGVIDEOX, *CLIP, *T5, *OTHERS)
"""First match wins; what no pattern matches (norms, the other biases) lies whole on every device."""

LARGE = 2**20
"""Numbers from which on a parameter has to be cut over every mesh axis."""


def spec_for(
    path: str, shape: tuple[int, ...], mesh: Mesh | AbstractMesh, table: Table = PARAMETERS
) -> PartitionSpec:
    """Where the first matching pattern puts a parameter.

    An axis that the parameter's own cannot take goes to the other of the last two. Raises InputError for a large
    parameter that no pattern matches, or that some mesh axis cannot cut.
    """
    cut = next((cut for pattern, cut in table if re.search(pattern, path)), WHOLE)
    taken: dict[int, tuple[str, ...]] = {}
    large = math.prod(shape) >= LARGE
    for name, wanted in cut._asdict().items():
        places = [] if wanted is None else [wanted] if cut == VECTOR else [wanted, -3 - wanted]
        for place in places:
            parts = math.prod(mesh.shape[axis] for axis in (*taken.get(place, ()), name))
            if len(shape) >= -place and shape[place] % parts == 0:
                taken[place] = (*taken.get(place, ()), name)
                break
        else:
            if large and len(shape) > 1 and mesh.shape[name] > 1:
                raise InputError(
                    f"mesh.{name} is {mesh.shape[name]}, which cannot cut {path} of shape {shape}: it should "
                    "divide one of the last two axes (what goes in, what comes out)"
                )
    axes = [taken.get(axis - len(shape)) for axis in range(len(shape))]
    return PartitionSpec(*(axis[0] if axis and len(axis) == 1 else axis for axis in axes))
