"""What networks a file holds: told by its names alone, each then brought to diffusers' names with its config."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jaxanim.convert import infer
from jaxanim.convert.families import clip, cogvideox, controlnet, motion, t5, unet, vae, wan
from jaxanim.convert.rules import Drops, Kind, Naming, Renamed, Tensors, count, rename
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
# Motion modules and ControlNets hold a UNet's names too.
FAMILIES = (motion, controlnet, wan, vae, clip, cogvideox, t5, unet)
KINDS: dict[str, Kind] = {kind.network: kind for family in FAMILIES for kind in family.KINDS}
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
        # A second UNet beside the first is the appearance model, and stage 1 of MagicPose calls it control_model.
        second = prefix in ("appearance_control_model.", "control_model.")
        part = make_part(Source(source.path, tensors), "appearance_encoder" if second else "unet")
        if part.network == "appearance_encoder":  # MagicPose's UNet reads from all of its blocks
            part = part._replace(config=dataclasses.replace(part.config, readers="all"))
        parts.append(part)
    return parts


def _single_parts(source: Source) -> list[Part]:
    both = ("text_model.", "vision_model.")
    if all(any(key.startswith(prefix) for key in source.tensors) for prefix in both):
        return _whole_clip(source)
    return [make_part(source)]


def _whole_clip(source: Source) -> list[Part]:
    renamed = rename(source.path, "CLIP", source.tensors, [(r"(.+)", r"\1")], clip.BOTH_DROPS)
    sides = {"text_encoder": {}, "image_encoder": {}}
    for key, tensor in renamed.tensors.items():
        sides["text_encoder" if key.startswith("text_") else "image_encoder"][key] = tensor
    text, image = (make_part(dataclasses.replace(source, tensors=tensors)) for tensors in sides.values())
    return [text._replace(dropped={**renamed.dropped, **text.dropped}), image]


def _told(path: Path, tensors: Tensors) -> tuple[Kind, Naming]:
    for kind in KINDS.values():
        for naming in kind.namings:
            if any(re.fullmatch(naming.signature, key) for key in tensors):
                return kind, naming
    _refuse_foreign(path, list(tensors))
    raise InputError(
        f"checkpoint {path} is of no kind known here, with names such as {next(iter(tensors))!r}; it should hold "
        "Stable Diffusion 1.5, one of its networks, motion modules, MagicAnimate, MagicPose or a network of Wan2.2"
    )


def _refuse_foreign(path: Path, keys: Sequence[str]) -> None:
    for pattern, what in FOREIGN.items():
        if any(re.fullmatch(pattern, key) for key in keys):
            raise InputError(f"checkpoint {path} is {what}; it should be of Stable Diffusion 1.5's family")


def make_part(source: Source, a_unet_is: str = "unet") -> Part:
    """Brings one network's tensors to diffusers' names and infers its config; a UNet without an end is an
    appearance encoder in any case."""
    path, json = source.path, source.config
    kind, naming = _told(path, source.tensors)
    rules = naming.rules(source.tensors) if callable(naming.rules) else naming.rules
    tensors = source.tensors if naming.parted is None else naming.parted(source.tensors)
    renamed, network = rename(path, kind.title, tensors, rules, kind.drops), kind.network
    if network == "motion":
        config = infer.motion(path, renamed.tensors, json, motion.positions(path, source.tensors))
        return Part(network, path, naming.called, config, renamed.tensors, renamed.dropped)
    if network == "vae":
        renamed = renamed._replace(tensors=dict(vae.linear_attention(renamed.tensors)))
    config = kind.infer(path, renamed.tensors, json)
    if network == "unet":
        network = a_unet_is if "conv_out.weight" in renamed.tensors else "appearance_encoder"
    if network == "appearance_encoder":
        renamed = _without_tail(renamed, len(config.block_out_channels) - 1, config.layers_per_block)
    return Part(network, path, naming.called, config, renamed.tensors, renamed.dropped)


def _without_tail(renamed: Renamed, last_block: int, last_layer: int) -> Renamed:
    """An appearance encoder ends at its last stored feature; MagicPose's file goes on a little."""
    last = rf"up_blocks\.{last_block}\.attentions\.{last_layer}"
    tail = (
        rf"{last}\.(proj_out|transformer_blocks\.0\.(attn1|attn2|norm2|norm3|ff))\..+|(conv_norm_out|conv_out)\..+"
    )
    reason = "lies behind the last feature that the appearance model hands on, so nothing reads it"
    kept = {key: tensor for key, tensor in renamed.tensors.items() if not re.fullmatch(tail, key)}
    dropped = {tensor.name: reason for key, tensor in renamed.tensors.items() if key not in kept}
    return Renamed(kept, {**renamed.dropped, **dropped})
