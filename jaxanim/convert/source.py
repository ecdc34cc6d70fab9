"""Checkpoints on disk: which files a path means, and the tensors in them, unread."""

import dataclasses
import fnmatch
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxanim.convert.torch_file import is_torch_file, read_torch
from jaxanim.errors import InputError
from jaxanim.tensor_file import LazyTensor, read_tensors

# In order of preference; PyTorch's own files come last because safetensors cannot hold code.
STEMS = ("diffusion_pytorch_model", "model", "pytorch_model", "open_clip_pytorch_model")
SUFFIXES = (".safetensors", ".bin", ".pth", ".ckpt")
WEIGHT_SUFFIXES = (".safetensors", ".bin", ".ckpt", ".pth", ".pt", ".th")
# One of several files: the name of the whole, its number, how many there are, its suffix.
SHARD = re.compile(r"(.+)-(\d{5})-of-(\d{5})(\.\w+)")


@dataclasses.dataclass(frozen=True)
class Reading:
    """What a user says about the files of a checkpoint.

    Attributes:
      variant: which of several sets of files, as their names say it: "fp16" in model.fp16.safetensors and
        model.safetensors.index.fp16.json. None takes the plain one, or else fp16's, or else the only one.
      skip: patterns (`fnmatch`) of the names of tensors to leave out.
    """

    variant: str | None = None
    skip: tuple[str, ...] = ()

    def dropped(self, names: Iterable[str]) -> dict[str, str]:
        """Of these names those to leave out, with the reason."""
        return {
            name: f"as --skip {pattern!r} says"
            for pattern in reversed(self.skip)
            for name in names
            if fnmatch.fnmatchcase(name, pattern)
        }


AS_IS = Reading()


@dataclasses.dataclass(frozen=True)
class Source:
    """The tensors of one file or one set of shards.

    Attributes:
      path: the file, or the folder, as messages name it.
      tensors: by PyTorch name.
      config: the folder's config.json, or empty.
      others: names of what a PyTorch file held beside tensors.
      skipped: names left out as the user said, with the reason.
    """

    path: Path
    tensors: Mapping[str, LazyTensor]
    config: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    others: tuple[str, ...] = ()
    skipped: Mapping[str, str] = dataclasses.field(default_factory=dict)


def open_source(path: Path, reading: Reading = AS_IS) -> Source:
    """Opens a weights file, or a folder with one (whole or in shards) and perhaps a config.json.

    Raises InputError, naming the file, where there is none, a shard is missing, or one is damaged.
    """
    source = _open(path, reading.variant)
    skipped = reading.dropped(source.tensors)
    kept = {name: tensor for name, tensor in source.tensors.items() if name not in skipped}
    if not kept:
        raise InputError(f"--skip leaves nothing of checkpoint {path}; all of its tensors match")
    return dataclasses.replace(source, tensors=kept, skipped=skipped)


def _open(path: Path, variant: str | None) -> Source:
    if not path.exists():
        raise InputError(f"checkpoint {path} does not exist; name a weights file or a folder that holds one")
    if path.is_file():
        return _open_file(path)
    weights = find_weights(path, variant)
    if weights is None:
        raise InputError(f"folder {path} holds no weights file; it should hold one such as {STEMS[0]}.safetensors")
    config = read_json(path / "config.json") if (path / "config.json").is_file() else {}
    if weights.suffix == ".json":
        source = _open_shards(weights)
    else:
        source = _open_set(weights) if SHARD.fullmatch(weights.name) else _open_file(weights)
    return dataclasses.replace(source, path=path, config=config)


def find_weights(folder: Path, variant: str | None = None) -> Path | None:
    """The weights file of one network's folder, the index of its shards, or the first of shards that have no index;
    None where there is none.

    Raises InputError where several may be meant, or there is none of the variant.
    """
    names = [path.name for path in sorted(folder.iterdir()) if path.is_file()]
    every: set[str] = set()
    for suffix in SUFFIXES:
        for stem in STEMS:
            found = _variants(names, stem, suffix)
            every |= found.keys() - {""}
            if variant is not None:
                chosen = found.get(variant)
            else:
                others = [name for name in found if name]
                chosen = found.get("") or found.get("fp16") or (found[others[0]] if len(others) == 1 else None)
                if chosen is None and others:
                    raise InputError(
                        f"folder {folder} holds the variants {', '.join(others)}; name the one meant with --variant"
                    )
            if chosen is not None:
                return folder / chosen
    files = [name for name in names if Path(name).suffix in WEIGHT_SUFFIXES]
    if variant is not None and (files or every):
        there = ", ".join(sorted(every)) or "none"
        raise InputError(f"--variant is {variant!r}, of which folder {folder} has no files; its variants: {there}")
    shards = [SHARD.fullmatch(name) for name in files]
    if len(files) > 1 and not (all(shards) and len({s.group(1, 3, 4) for s in shards if s}) == 1):
        raise InputError(
            f"folder {folder} holds several weights files: {', '.join(files)}; name the one that is meant"
        )
    return folder / files[0] if files else None


def _variants(names: Sequence[str], stem: str, suffix: str) -> dict[str, str]:
    """The file or index of every variant of a stem's weights, by the variant's name; "" is the plain one."""
    forms = (
        rf"{re.escape(stem)}(?:\.([\w-]+?))?(?<!-of-\d{{5}}){re.escape(suffix)}",
        rf"{re.escape(stem)}(?:\.([\w-]+?))?{re.escape(suffix)}\.index\.json",
        rf"{re.escape(stem)}{re.escape(suffix)}\.index\.([\w-]+)\.json",
    )
    found: dict[str, str] = {}
    for form in forms:
        for name in names:
            if match := re.fullmatch(form, name):
                found.setdefault(match[1] or "", name)
    return found


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file; raises InputError for anything else."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as JSON: {error}") from None
    if not isinstance(value, dict):
        raise InputError(f"{path} holds a {type(value).__name__}; it should hold a JSON object")
    return value


def _open_file(path: Path) -> Source:
    if path.stat().st_size == 0:
        raise InputError(f"checkpoint {path} is empty; it was cut short")
    if path.suffix != ".safetensors" and is_torch_file(path):
        tensors, others = read_torch(path)
        return Source(path, tensors, others=tuple(others))
    with path.open("rb") as file:
        if path.suffix != ".safetensors" and file.read(9)[8:] != b"{":
            raise InputError(f"checkpoint {path} is neither a safetensors file nor one of PyTorch's")
    tensors = read_tensors(path)
    if not tensors:
        raise InputError(f"checkpoint {path} holds no tensors")
    return Source(path, tensors)


def _open_shards(index: Path) -> Source:
    places = read_json(index).get("weight_map")
    if not isinstance(places, dict) or not places:
        raise InputError(f"{index} has no weight_map; it should say which shard holds which tensor")
    tensors, shards = {}, {}
    for key, name in places.items():
        shard = index.parent / Path(str(name)).name
        if name not in shards:
            if not shard.is_file():
                raise InputError(f"shard {shard} is missing; {index.name} says that it holds {key}")
            shards[name] = _open_file(shard).tensors
        if key not in shards[name]:
            raise InputError(f"shard {shard} lacks {key}, which {index.name} says it holds")
        tensors[key] = shards[name][key]
    if extra := [key for shard in shards.values() for key in shard if key not in tensors]:
        raise InputError(f"the shards beside {index} hold {extra[0]!r}, of which {index.name} says nothing")
    return Source(index, tensors)


def _open_set(first: Path) -> Source:
    """Shards that no index lists, as their names count them."""
    whole = SHARD.fullmatch(first.name)
    assert whole is not None
    tensors: dict[str, LazyTensor] = {}
    for number in range(1, int(whole[3]) + 1):
        shard = first.parent / f"{whole[1]}-{number:05d}-of-{whole[3]}{whole[4]}"
        if not shard.is_file():
            raise InputError(f"shard {shard} is missing; {first.name} is one of {int(whole[3])}")
        held = _open_file(shard).tensors
        if twice := held.keys() & tensors.keys():
            raise InputError(f"shard {shard} holds {min(twice)}, which a shard before it holds too")
        tensors |= held
    return Source(first.parent, tensors)
