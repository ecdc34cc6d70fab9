"""What networks a file holds: told by its names alone, each then brought to diffusers' names with its config."""

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jaxanim.convert import infer, infer_cogvideox, infer_wan
from jaxanim.convert.families import clip, cogvideox, controlnet, motion, t5, unet, vae, wan
from jaxanim.convert.rules import Drops, Renamed, Tensors, count, rename
from jaxanim.convert.source import Source
from jaxanim.errors import InputError

SCHEDULE = "the noise schedule, which is computed"
# Of a whole model's file, CompVis' or MagicPose's: what stands before each network's names.
MODELS = (
    "model.diffusion_model.",
    "appearance_control_model.",
    "pose_control_model.",
    "control_model.",
    "first_stage_model.",
    "cond_stage_model.transformer.",
)
MODEL_DROPS: Drops = [
    (r"model_ema\..+", "running averages of the same parameters"),
    (
        r"betas|alphas_cumprod(_prev)?|sqrt_.+|log_one_minus_alphas_cumprod|posterior_.+|logvar|lvlb_weights",
        SCHEDULE,
    ),
    (r"scale_factor", "the latents' scale, which is in the autoencoder's config"),
    (r"cond_stage_model\.logit_scale", "the temperature of CLIP's contrastive loss"),
]
# Of a single network's file: (a name that it alone has, the network, the naming).
SIGNATURES: Sequence[tuple[str, str, str]] = (
    (r".*motion_modules\.\d+\.temporal_transformer\..+", "motion", "AnimateDiff's names"),
    (r".*motion_modules\.\d+\.proj_in\..+", "motion", "diffusers' names"),
    (r"controlnet_cond_embedding\.conv_in\.weight", "controlnet", "diffusers' names"),
    (r"input_hint_block\.0\.weight", "controlnet", "the original names"),
    (r"blocks\.0\.self_attn\.norm_q\.weight", "wan_transformer", "Wan's names"),
    (r"condition_embedder\.time_embedder\.linear_1\.weight", "wan_transformer", "diffusers' names"),
    (r"encoder\.downsamples\.0\.downsamples\.0\.residual\.0\.gamma", "wan_vae", "Wan's names"),
    (r"encoder\.down_blocks\.0\.resnets\.0\.norm1\.gamma", "wan_vae", "diffusers' names"),
    (r"encoder\.down_blocks\.0\.resnets\.0\.conv1\.weight", "vae", "diffusers' names"),
    (r"encoder\.down\.0\.block\.0\.conv1\.weight", "vae", "CompVis' names"),
    (r"(text_model\.)?embeddings\.token_embedding\.weight", "text_encoder", "transformers' names"),
    (r"patch_embed\.text_proj\.weight", "cogvideox", "diffusers' names"),
    (r"encoder\.down_blocks\.0\.resnets\.0\.conv1\.conv\.weight", "cogvideox_vae", "diffusers' names"),
    (r"encoder\.block\.0\.layer\.0\.SelfAttention\.q\.weight", "t5_encoder", "transformers' names"),
    (r"blocks\.0\.pos_embedding\.embedding\.weight", "t5_encoder", "Wan's names"),
    (r"(vision_model\.)?embeddings\.class_embedding", "image_encoder", "transformers' names"),
    (r"time_embed\.0\.weight", "unet", "CompVis' names"),
    (r"time_embedding\.linear_1\.weight", "unet", "diffusers' names"),
)
# What users may well have, and cannot be used here.
FOREIGN = {
    r"conditioner\.embedders\..+": "Stable Diffusion XL",
    r"cond_stage_model\.model\..+": "Stable Diffusion 2, with OpenCLIP's text encoder",
    r"(lora_|.*\.lora_|.*\.lora\.).+": "a LoRA, which changes a network and is none",
    r"(model\.diffusion_model\.)?(joint_blocks|double_blocks|transformer_blocks)\..+": "a diffusion transformer",
}


class Part(NamedTuple):
    """One network, ready to be placed: tensors in diffusers' names, its config, and names left out with reasons."""

    network: str
    path: Path
    naming: str
    config: Any
    tensors: Tensors
    dropped: Mapping[str, str]


def find_parts(source: Source) -> list[Part]:
    """The networks in a source; raises InputError where a name belongs to none, or no network is known by it."""
    dropped = dict.fromkeys(source.others, "no tensor: the trainer's own state") | dict(source.skipped)
    if all(key.startswith("module.") for key in source.tensors):  # saved from inside a data-parallel wrapper
        bare = {key.removeprefix("module."): tensor for key, tensor in source.tensors.items()}
        source = dataclasses.replace(source, tensors=bare)
    if any(key.startswith(MODELS) for key in source.tensors):
        parts = _model_parts(source, dropped)
    else:
        parts = _single_parts(source)
    first = parts[0]
    return [first._replace(dropped={**first.dropped, **dropped}), *parts[1:]]


def _model_parts(source: Source, dropped: dict[str, str]) -> list[Part]:
    groups: dict[str, dict] = {}
    unknown = []
    for key, tensor in source.tensors.items():
        prefix = next((prefix for prefix in MODELS if key.startswith(prefix)), None)
        reason = next((reason for pattern, reason in MODEL_DROPS if re.fullmatch(pattern, key)), None)
        if prefix is not None:
            groups.setdefault(prefix, {})[key.removeprefix(prefix)] = tensor
        elif reason is not None:
            dropped[key] = reason
        else:
            unknown.append(key)
    if unknown:
        _refuse_foreign(source.path, unknown)
        raise InputError(
            f"checkpoint {source.path} holds {count(unknown)} that belong to no network known here; --skip leaves "
            "out what is not needed"
        )
    parts = []
    for prefix, tensors in groups.items():
        network, naming = _signature(source.path, tensors)
        # A second UNet beside the first is the appearance model, and stage 1 of MagicPose calls it control_model.
        if network == "unet" and prefix in ("appearance_control_model.", "control_model."):
            network = "appearance_encoder"
        part = make_part(network, naming, Source(source.path, tensors))
        if network == "appearance_encoder":  # MagicPose's UNet reads from all of its blocks
            part = part._replace(config=dataclasses.replace(part.config, readers="all"))
        parts.append(part)
    return parts


def _single_parts(source: Source) -> list[Part]:
    both = ("text_model.", "vision_model.")
    if all(any(key.startswith(prefix) for key in source.tensors) for prefix in both):
        return _whole_clip(source)
    return [make_part(*_signature(source.path, source.tensors), source)]


def _whole_clip(source: Source) -> list[Part]:
    renamed = rename(source.path, "CLIP model", source.tensors, [(r"(.+)", r"\1")], clip.BOTH_DROPS)
    sides = {"text_encoder": {}, "image_encoder": {}}
    for key, tensor in renamed.tensors.items():
        sides["text_encoder" if key.startswith("text_") else "image_encoder"][key] = tensor
    text, image = (
        make_part(network, "transformers' names", dataclasses.replace(source, tensors=tensors))
        for network, tensors in sides.items()
    )
    return [text._replace(dropped={**renamed.dropped, **text.dropped}), image]


def _signature(path: Path, tensors: Tensors) -> tuple[str, str]:
    for pattern, network, naming in SIGNATURES:
        if any(re.fullmatch(pattern, key) for key in tensors):
            return network, naming
    _refuse_foreign(path, list(tensors))
    raise InputError(
        f"checkpoint {path} is of no kind known here, with names such as {next(iter(tensors))!r}; it should hold "
        "Stable Diffusion 1.5, one of its networks, motion modules, MagicAnimate, MagicPose or a network of Wan2.2"
    )


def _refuse_foreign(path: Path, keys: Sequence[str]) -> None:
    for pattern, what in FOREIGN.items():
        if any(re.fullmatch(pattern, key) for key in keys):
            raise InputError(f"checkpoint {path} is {what}; it should be of Stable Diffusion 1.5's family")


def make_part(network: str, naming: str, source: Source) -> Part:
    """Brings one network's tensors to diffusers' names and infers its config."""
    path, tensors, json = source.path, source.tensors, source.config
    if network == "motion":
        renamed = rename(path, "motion module", tensors, motion.RULES, motion.DROPS)
        config = infer.motion(path, renamed.tensors, json, motion.positions(path, tensors))
        return Part(network, path, naming, config, renamed.tensors, renamed.dropped)
    renamed = _rename(network, naming, path, tensors)
    if network == "vae":
        renamed = renamed._replace(tensors=dict(vae.linear_attention(renamed.tensors)))
    if network == "unet" and "conv_out.weight" not in renamed.tensors:
        network = "appearance_encoder"
    config = _INFER[network](path, renamed.tensors, json)
    if network == "appearance_encoder":
        renamed = _without_tail(path, renamed, len(config.block_out_channels) - 1, config.layers_per_block)
    return Part(network, path, naming, config, renamed.tensors, renamed.dropped)


_INFER: dict[str, Callable] = {
    "unet": infer.unet,
    "appearance_encoder": infer.unet,
    "controlnet": infer.controlnet,
    "vae": infer.vae,
    "text_encoder": infer.text,
    "image_encoder": infer.vision,
    "t5_encoder": infer.t5,
    "wan_transformer": infer_wan.transformer,
    "wan_vae": infer_wan.vae,
    "cogvideox": infer_cogvideox.transformer,
    "cogvideox_vae": infer_cogvideox.vae,
}


def _rename(network: str, naming: str, path: Path, tensors: Tensors) -> Renamed:
    if network == "text_encoder":
        return rename(path, "CLIP text encoder", tensors, clip.TEXT, clip.TEXT_DROPS)
    if network == "image_encoder":
        return rename(path, "CLIP image encoder", tensors, clip.VISION, clip.VISION_DROPS)
    if network == "t5_encoder":
        rules = t5.transformers if naming == "transformers' names" else t5.wan
        return rename(path, "T5 encoder", tensors, rules(tensors), t5.DROPS)
    if network == "cogvideox":
        return rename(path, "CogVideoX transformer", tensors, cogvideox.TRANSFORMER)
    if network == "cogvideox_vae":
        return rename(path, "CogVideoX autoencoder", tensors, cogvideox.VAE)
    native = naming == "diffusers' names"
    if network == "wan_transformer":
        rules = wan.TRANSFORMER_DIFFUSERS if native else wan.TRANSFORMER
        return rename(path, "Wan transformer", tensors, rules, wan.TRANSFORMER_DROPS)
    if network == "wan_vae":
        return rename(path, "Wan autoencoder", tensors, wan.VAE_DIFFUSERS if native else wan.VAE)
    if network == "vae":
        rules = vae.DIFFUSERS if native else vae.compvis(tensors)
        return rename(path, "autoencoder", tensors, rules, vae.DROPS)
    if network == "controlnet":
        return rename(path, "ControlNet", tensors, controlnet.DIFFUSERS if native else controlnet.original(tensors))
    return rename(path, "UNet", tensors, unet.DIFFUSERS if native else unet.compvis(tensors))


def _without_tail(path: Path, renamed: Renamed, last_block: int, last_layer: int) -> Renamed:
    """An appearance encoder ends at its last stored feature; MagicPose's file goes on a little."""
    last = rf"up_blocks\.{last_block}\.attentions\.{last_layer}"
    tail = (
        rf"{last}\.(proj_out|transformer_blocks\.0\.(attn1|attn2|norm2|norm3|ff))\..+|(conv_norm_out|conv_out)\..+"
    )
    reason = "lies behind the last feature that the appearance model hands on, so nothing reads it"
    kept = {key: tensor for key, tensor in renamed.tensors.items() if not re.fullmatch(tail, key)}
    dropped = {tensor.name: reason for key, tensor in renamed.tensors.items() if key not in kept}
    return Renamed(kept, {**renamed.dropped, **dropped})
