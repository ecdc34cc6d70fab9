"""CogVideoX 1.5's transformer and autoencoder: diffusers' names, which are jaxanim's."""

from jaxanim.convert import infer_cogvideox
from jaxanim.convert.rules import Kind, Naming, Rules

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


KINDS = (
    Kind("cogvideox", "CogVideoX's transformer", infer_cogvideox.transformer, namings=(
        Naming(r"patch_embed\.text_proj\.weight", "diffusers' names", TRANSFORMER),
    )),
    Kind("cogvideox_vae", "CogVideoX's autoencoder", infer_cogvideox.vae, namings=(
        Naming(r"encoder\.down_blocks\.0\.resnets\.0\.conv1\.conv\.weight", "diffusers' names", VAE),
    )),
)  # fmt: skip
