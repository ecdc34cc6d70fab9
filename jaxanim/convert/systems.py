"""What a path holds as a whole, and the weights folder that becomes of it."""

import dataclasses
import fnmatch
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxanim.convert import infer
from jaxanim.convert.parts import KINDS, Part, find_parts
from jaxanim.convert.source import AS_IS, Reading, find_weights, open_source, read_json
from jaxanim.diffusion.betas import Betas
from jaxanim.errors import InputError
from jaxanim.systems.base import Entry, entries

# A diffusers pipeline's folders that hold networks, and the networks' names here.
PIPELINE = {"vae": "vae", "unet": "unet", "text_encoder": "text_encoder", "image_encoder": "image_encoder"}
BASE_NETWORKS = ("vae", "text_encoder", "unet")

# Settings of diffusers' schedulers that change neither the noise process nor the network's targets...
SOLVERS_OWN = {
    "_class_name", "_diffusers_version", "skip_prk_steps", "solver_order", "solver_type", "algorithm_type",
    "lower_order_final", "euler_at_final", "final_sigmas_type", "variance_type", "interpolation_type",
    "clip_sample_range", "sample_max_value", "dynamic_thresholding_ratio", "timestep_type",
}  # fmt: skip
# ... and those that change what comes out, with the value that stands for being without.
WITHOUT = {
    "trained_betas": None, "clip_sample": False, "thresholding": False, "use_karras_sigmas": False,
    "use_exponential_sigmas": False, "use_beta_sigmas": False, "use_flow_sigmas": False, "use_lu_lambdas": False,
    "sigma_min": None, "sigma_max": None,
}  # fmt: skip

# What several networks, or a network and its base, are called together.
TOGETHER = {
    "stable_diffusion": "Stable Diffusion 1.5",
    "image_variations": "Stable Diffusion Image Variations",
    "animatediff": "AnimateDiff with its base",
    "appearance_encoder": "an appearance encoder",
    "clip": "CLIP",
}


@dataclasses.dataclass(frozen=True)
class Whole:
    """Everything that goes into one weights folder.

    Attributes:
      system: its name in the folder's config.json.
      networks: config and parts of each network; a UNet with motion modules has two parts.
      settings: stored beside the networks (`jaxanim.weights.load_settings`).
      tokenizer: a folder with vocab.json and merges.txt, or tokenizer.json, where there is one.
    """

    system: str
    networks: Mapping[str, tuple[Any, tuple[Part, ...]]]
    settings: Mapping[str, Any]
    tokenizer: Path | None


def assemble(
    src: Path, base: Path | None, vae: Path | None, tokenizer: Path | None, reading: Reading = AS_IS
) -> Whole:
    """Recognises `src`, of which `reading` says more, and adds to it what the other paths give.

    Raises InputError where something is missing, too much or does not fit.
    """
    if (src / "config.json").is_file() and read_json(src / "config.json").get("format") is not None:
        raise InputError(f"{src} is a weights folder of jaxanim's already; it needs no converting")
    parts = _by_network(src, read_parts(src, reading))
    _check_skipped(src, reading, parts)
    system = _system(set(parts))
    found = _diffusion(src), _tokenizer(src)
    if base is not None:
        parts, system, found = _with_base(src, system, parts, base, found)
    if vae is not None:
        if "unet" not in parts:
            raise InputError(f"--vae is {vae}, but {src} is {title(system)}, no model that works with one")
        parts["vae"] = _only(vae, "vae")
        system = _system(set(parts)) if system == "unet" else system
    told = entries().get(system)
    whole = told is not None and told.release is not None and bool(told.release.folders)
    if whole and (missing := [name for name in BASE_NETWORKS if name not in parts]):
        raise InputError(
            f"{src} is {told.title}, without {', '.join(missing)}; name Stable Diffusion 1.5 with --base"
        )
    if system == "stable_diffusion" and (missing := [name for name in BASE_NETWORKS if name not in parts]):
        ways = "--vae or --base" if missing == ["vae"] else "--base"
        raise InputError(
            f"{src} comes without {' and '.join(title(name) for name in missing)}, which {title(system)} needs; "
            f"complete it with {ways}"
        )
    networks = _networks(parts)
    _check_fit(networks)
    diffusion, folder = found
    needs_tokenizer = len(networks) > 1 and "text_encoder" in networks and system != "clip"
    folder = _checked_tokenizer(tokenizer) if tokenizer is not None else folder
    if needs_tokenizer and folder is None:
        raise InputError(
            f"{src} comes without its tokenizer, which {title(system)} needs; name a folder with CLIP ViT-L/14's "
            "vocab.json and merges.txt, or tokenizer.json, with --tokenizer"
        )
    return Whole(system, networks, _settings(system, diffusion), folder if needs_tokenizer else None)


def _check_skipped(src: Path, reading: Reading, parts: Mapping[str, Part]) -> None:
    """Raises InputError for a --skip that leaves nothing out."""
    names = [name for part in parts.values() for name in part.dropped]
    for pattern in reading.skip:
        if not fnmatch.filter(names, pattern):
            raise InputError(f"--skip is {pattern!r}, which matches no tensor's name in {src}")


def read_parts(path: Path, reading: Reading = AS_IS) -> list[Part]:
    """The networks under a path: folders of a system's release, a diffusers pipeline, or one network."""
    for entry in _released():
        if entry.release.folders and all((path / name).is_dir() for name in entry.release.folders):
            sources = (open_source(path / name, reading) for name in entry.release.folders)
            return [part for source in sources for part in find_parts(source)]
    folders = [name for name in PIPELINE if (path / name).is_dir()]
    # Some pipelines' folders hold the same model as single files too.
    if folders and ((path / "model_index.json").is_file() or find_weights(path, reading.variant) is None):
        parts = []
        for folder in folders:
            for part in find_parts(open_source(path / folder, reading)):
                if part.network != PIPELINE[folder]:
                    raise InputError(
                        f"folder {path / folder} holds {title(part.network)}; it should hold its {folder}"
                    )
                parts.append(part)
        return parts
    return find_parts(open_source(path, reading))


def title(system: str) -> str:
    """What a system or network is called in a sentence."""
    if system in KINDS:
        return KINDS[system].title
    return TOGETHER[system] if system in TOGETHER else entries()[system].title


def _released() -> list[Entry]:
    """The systems whose releases can be converted, those told by most networks first."""
    return sorted((e for e in entries().values() if e.release), key=lambda e: -len(e.release.networks))


def _told(names: set[str]) -> Entry | None:
    """The system that networks of these names belong to, if it is told by any."""
    return next((entry for entry in _released() if entry.release.networks <= names), None)


def _by_network(path: Path, parts: list[Part]) -> dict[str, Part]:
    named: dict[str, Part] = {}
    for part in parts:
        if part.network in named:
            raise InputError(f"{path} holds two networks of the kind {part.network}; it should hold one")
        named[part.network] = part
    return named


def _system(names: set[str]) -> str:
    if len(names) == 1:
        return next(iter(names))
    if names == {"text_encoder", "image_encoder"}:
        return "clip"
    if (told := _told(names)) is not None:
        return told.name
    if "controlnet" in names:
        return "controlnet"
    return "image_variations" if "image_encoder" in names and "text_encoder" not in names else "stable_diffusion"


def _with_base(src, system, parts, base, found):
    told = _told(set(parts))  # a first stage may hold one network alone
    system = system if told is None else told.name
    if told is None and system not in ("motion", "controlnet", "unet", "stable_diffusion"):
        raise InputError(f"--base is {base}, but {src} is {title(system)}, which is not built on another model")
    others = _by_network(base, read_parts(base))
    if missing := [name for name in BASE_NETWORKS if name not in others]:
        raise InputError(
            f"--base is {base}, which lacks its {', '.join(missing)}; it should be Stable Diffusion 1.5"
        )
    parts = {name: others[name] for name in BASE_NETWORKS} | parts
    diffusion, tokenizer = found
    found = diffusion or _diffusion(base), tokenizer or _tokenizer(base)
    return parts, {"motion": "animatediff", "unet": "stable_diffusion"}.get(system, system), found


def _only(path: Path, network: str) -> Part:
    for part in find_parts(open_source(path)):
        if part.network == network:
            return part
    raise InputError(f"--{network} is {path}, which holds no {title(network)}")


def _networks(parts: Mapping[str, Part]) -> dict[str, tuple[Any, tuple[Part, ...]]]:
    """Motion modules join the UNet where there is one."""
    networks = {name: (part.config, (part,)) for name, part in parts.items()}
    if {"motion", "unet"} <= parts.keys():
        motion, unet = parts["motion"], parts["unet"]
        config = infer.with_motion(motion.path, unet.config, motion.config)
        networks["unet"] = config, (unet, motion)
        del networks["motion"]
    if "appearance_encoder" in parts and "unet" in parts:  # they store and read in the same blocks
        config, own = networks["unet"]
        networks["unet"] = dataclasses.replace(config, readers=parts["appearance_encoder"].config.readers), own
    return networks


def _check_fit(networks: Mapping[str, tuple[Any, tuple[Part, ...]]]) -> None:
    """Networks of one system have to work on the same latents and features."""
    if "unet" not in networks:
        return
    unet, (first, *_) = networks["unet"]
    for name in ("appearance_encoder", "controlnet"):
        if name not in networks:
            continue
        config, (part, *_) = networks[name]
        for field in ("in_channels", "block_out_channels", "layers_per_block", "cross_attention_dim"):
            _check_equal(f"{field} of {part.path}", getattr(config, field), f"{first.path}", getattr(unet, field))
    for name, field in (("text_encoder", "hidden_size"), ("vae", "latent_channels")):
        if name in networks:
            config, (part, *_) = networks[name]
            theirs = unet.cross_attention_dim if name == "text_encoder" else unet.out_channels
            _check_equal(f"{field} of {part.path}", getattr(config, field), f"{first.path}", theirs)


def _check_equal(what: str, value: Any, where: str, other: Any) -> None:
    if value != other:
        raise InputError(f"{what} is {value}; the UNet of {where} is made for {other}")


def _settings(system: str, diffusion: Betas | None) -> dict[str, Any]:
    told = entries().get(system)
    if told is not None and told.release is not None:
        config = told.module.Config()
        own = told.release.own_diffusion or diffusion is None
        return {"diffusion": config.diffusion if own else diffusion, "defaults": config.defaults}
    if system in ("stable_diffusion", "image_variations", "animatediff", "controlnet"):
        return {"diffusion": diffusion or Betas()}
    return {}


def _diffusion(path: Path) -> Betas | None:
    """The noise schedule and spacing of a diffusers folder's scheduler."""
    file = path / "scheduler" / "scheduler_config.json"
    if not file.is_file():
        return None
    json = read_json(file)
    names = {field.name: field.name for field in dataclasses.fields(Betas)} | {"spacing": "timestep_spacing"}
    for name in json.keys() - names.values() - SOLVERS_OWN:
        if name not in WITHOUT:
            raise InputError(f"{file} has {name} {json[name]!r}, which is unknown here; convert without it")
        if json[name] not in (WITHOUT[name], None):
            raise InputError(f"{file} has {name} {json[name]!r}; sampling here is as with {WITHOUT[name]!r} alone")
    return Betas(**{ours: json[theirs] for ours, theirs in names.items() if theirs in json})


def _tokenizer(path: Path) -> Path | None:
    folder = path / "tokenizer"
    return folder if _holds_tokenizer(folder) else None


def _holds_tokenizer(folder: Path) -> bool:
    pair = (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file()
    return pair or (folder / "tokenizer.json").is_file()


def _checked_tokenizer(folder: Path) -> Path:
    for place in (folder, folder / "tokenizer"):
        if _holds_tokenizer(place):
            return place
    raise InputError(
        f"--tokenizer is {folder}, which lacks vocab.json or merges.txt; both should be there, or tokenizer.json"
    )
