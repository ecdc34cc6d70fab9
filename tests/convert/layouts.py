"""Small checkpoints in the exact layouts that people hold, made of diffusers' and transformers' networks.

The widths are divisible by what a single file cannot say: 32 groups, 8 heads, CLIP's 64 channels a head.
"""

import json
import re

import numpy as np
import pytest
from safetensors.torch import save_file

from jaxanim.models.controlnet import controlnet_config
from jaxanim.models.tokenizer import build_word_tokenizer
from jaxanim.models.unet import UNetConfig
from tests.models import sd_oracle as oracle
from tests.models.sd_oracle import diffusers, torch

transformers = pytest.importorskip("transformers")

UNET = UNetConfig(
    block_out_channels=(32, 64, 64), cross_attention_dim=64, layers_per_block=1,
    down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
    up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
)  # fmt: skip
CONTROLNET = controlnet_config(UNET)
TOKENS = 7


def make_vae(seed=1):
    net = diffusers.AutoencoderKL(
        block_out_channels=(32, 32, 64), layers_per_block=1, norm_num_groups=32,
        down_block_types=("DownEncoderBlock2D",) * 3, up_block_types=("UpDecoderBlock2D",) * 3, latent_channels=4,
    )  # fmt: skip
    return oracle.randomise(net, seed)


def make_text(seed=2, vocab=600):
    config = transformers.CLIPTextConfig(
        vocab_size=vocab, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=1,
        max_position_embeddings=TOKENS, bos_token_id=0, eos_token_id=1, pad_token_id=1,
    )  # fmt: skip
    return oracle.randomise(transformers.CLIPTextModel(config), seed)


def make_vision(seed=3):
    config = transformers.CLIPVisionConfig(
        hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=1, projection_dim=64,
        image_size=24, patch_size=8,
    )  # fmt: skip
    return oracle.randomise(transformers.CLIPVisionModelWithProjection(config), seed)


def text_state(net):
    """A CLIP text encoder's state with the prefix that transformers 5 leaves out and checkpoints have."""
    return {f"text_model.{key.removeprefix('text_model.')}": value for key, value in net.state_dict().items()}


def write_tokenizer(folder, length=TOKENS):
    build_word_tokenizer(["a", "red", "bird"], folder, length=length)


def write_pipeline(folder, unet=None, vae=None, text=None, safe=True):
    """A diffusers folder of Stable Diffusion 1.5; returns its networks."""
    nets = {
        "unet": unet or oracle.make_unet(UNET),
        "vae": vae or make_vae(),
        "text_encoder": text or make_text(),
    }
    for name, net in nets.items():
        net.save_pretrained(folder / name, **({} if name == "text_encoder" else {"safe_serialization": safe}))
    write_tokenizer(folder / "tokenizer", nets["text_encoder"].config.max_position_embeddings)
    (folder / "scheduler").mkdir()
    scheduler = {"_class_name": "PNDMScheduler", "beta_schedule": "scaled_linear", "set_alpha_to_one": False}
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(scheduler))
    (folder / "model_index.json").write_text("{}")
    return nets


# CompVis' names, written down from the structure of its modules.

RESNET = {"norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1", "norm2": "out_layers.0",
          "conv2": "out_layers.3", "conv_shortcut": "skip_connection"}  # fmt: skip


def compvis_unet(state, config=UNET):
    """A UNet's or (where there are zero convolutions) ControlNet's state in the original names."""
    down, n = {}, 0
    levels = len(config.block_out_channels)
    for level in range(levels):
        for layer in range(config.layers_per_block):
            n += 1
            down[f"down_blocks.{level}.resnets.{layer}"] = f"input_blocks.{n}.0"
            down[f"down_blocks.{level}.attentions.{layer}"] = f"input_blocks.{n}.1"
        if level < levels - 1:
            n += 1
            down[f"down_blocks.{level}.downsamplers.0.conv"] = f"input_blocks.{n}.0.op"
    up, n = {}, 0
    for level in range(levels):
        for layer in range(config.layers_per_block + 1):
            up[f"up_blocks.{level}.resnets.{layer}"] = f"output_blocks.{n}.0"
            up[f"up_blocks.{level}.attentions.{layer}"] = f"output_blocks.{n}.1"
            n += 1
        place = 2 if config.up_block_types[level] == "CrossAttnUpBlock2D" else 1
        up[f"up_blocks.{level}.upsamplers.0.conv"] = f"output_blocks.{n - 1}.{place}.conv"
    hints = [
        f"controlnet_cond_embedding.{name}" for name in ("conv_in", *(f"blocks.{i}" for i in range(6)), "conv_out")
    ]
    places = {
        "conv_in": "input_blocks.0.0", "time_embedding.linear_1": "time_embed.0",
        "time_embedding.linear_2": "time_embed.2", "conv_norm_out": "out.0", "conv_out": "out.2",
        "mid_block.resnets.0": "middle_block.0", "mid_block.attentions.0": "middle_block.1",
        "mid_block.resnets.1": "middle_block.2", "controlnet_mid_block": "middle_block_out.0",
        **{f"controlnet_down_blocks.{i}": f"zero_convs.{i}.0" for i in range(20)},
        **{hint: f"input_hint_block.{2 * i}" for i, hint in enumerate(hints)}, **down, **up,
    }  # fmt: skip
    return {_moved(key, places): value for key, value in state.items()}


def _moved(key, places):
    prefix = max((old for old in places if key.startswith(f"{old}.")), key=len)
    rest = key.removeprefix(f"{prefix}.")
    if re.search(r"resnets\.\d+$", prefix):
        module, leaf = rest.rsplit(".", 1)
        rest = f"{RESNET[module]}.{leaf}"
    return f"{places[prefix]}.{rest}"


def compvis_vae(state, levels=3):
    """An autoencoder's state in CompVis' names; its attention is made of 1x1 convolutions."""
    out = {}
    for key, value in state.items():
        new = key
        if match := re.match(r"decoder\.up_blocks\.(\d+)\.", key):
            new = new.replace(match[0], f"decoder.up.{levels - 1 - int(match[1])}.")
        new = re.sub(r"encoder\.down_blocks\.(\d+)\.", r"encoder.down.\1.", new)
        new = re.sub(r"mid_block\.resnets\.(\d+)", lambda m: f"mid.block_{int(m[1]) + 1}", new)
        new = re.sub(r"\.resnets\.(\d+)", r".block.\1", new)
        new = new.replace("downsamplers.0.conv", "downsample.conv").replace("upsamplers.0.conv", "upsample.conv")
        new = new.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
        if "mid_block.attentions.0" in new:
            names = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
            module, leaf = new.split("mid_block.attentions.0.")[1].rsplit(".", 1)
            new = f"{new.split('.')[0]}.mid.attn_1.{names[module]}.{leaf}"
            value = value[:, :, None, None] if value.ndim == 2 else value
        out[new] = value
    return out


def compvis_model(unet, vae, text, prefix="model.diffusion_model."):
    """A whole model's single file, with buffers, averages and a training loss such as the released ones have."""
    state = {f"{prefix}{key}": value for key, value in compvis_unet(unet.state_dict()).items()}
    state |= {f"first_stage_model.{key}": value for key, value in compvis_vae(vae.state_dict()).items()}
    state |= {f"cond_stage_model.transformer.{key}": value for key, value in text_state(text).items()}
    state["cond_stage_model.transformer.text_model.embeddings.position_ids"] = torch.arange(TOKENS)[None]
    names = ("betas", "alphas_cumprod", "alphas_cumprod_prev", "sqrt_recip_alphas_cumprod", "posterior_variance")
    return state | {name: torch.ones(1000) for name in names}


def averages(unet):
    """`model_ema.*`: CompVis leaves the dots out."""
    keys = compvis_unet(unet.state_dict())
    state = {f"model_ema.diffusion_model{key.replace('.', '')}": value + 1 for key, value in keys.items()}
    return state | {"model_ema.decay": torch.tensor(0.9999), "model_ema.num_updates": torch.tensor(7)}


def animatediff(net, prefix=""):
    """Motion modules of a UNetMotionModel or MotionAdapter in AnimateDiff's names, position tables included."""
    names = {"attn1": "attention_blocks.0", "attn2": "attention_blocks.1", "norm1": "norms.0", "norm2": "norms.1",
             "norm3": "ff_norm", "ff": "ff"}  # fmt: skip
    state = {}
    for key, value in net.state_dict().items():
        match = re.fullmatch(r"(.+motion_modules\.\d+)\.(.+)", key)
        if match is None:
            continue
        rest = match[2]
        if inner := re.fullmatch(r"(transformer_blocks\.\d+)\.(\w+)\.(.+)", rest):
            if inner[2] == "pos_embed":
                for i in (0, 1):
                    table = f"{inner[1]}.attention_blocks.{i}.pos_encoder.pe"
                    state[f"{prefix}{match[1]}.temporal_transformer.{table}"] = value
                continue
            rest = f"{inner[1]}.{names[inner[2]]}.{inner[3]}"
        state[f"{prefix}{match[1]}.temporal_transformer.{rest}"] = value
    return state


def save(state, path):
    """A state dict as .safetensors, or with torch.save."""
    state = {key: value.contiguous() for key, value in state.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path)
    return path


def flat(params):
    """Parameters by '/'-joined path, as numpy arrays."""
    from flax.traverse_util import flatten_dict

    return {path: np.asarray(value) for path, value in flatten_dict(params, sep="/").items()}


def state_flat(state):
    """A diffusers-named state dict as our parameters by path, by the layout rule."""
    from jaxanim.convert.layout import from_torch

    return flat(from_torch({key: value.numpy() for key, value in state.items()}))
