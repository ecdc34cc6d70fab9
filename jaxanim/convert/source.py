"""Checkpoints on disk: which files a path means, and the tensors in them, unread."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxanim.convert.torch_file import is_torch_file, read_torch
from jaxanim.errors import InputError
from jaxanim.tensor_file import LazyTensor, read_tensors

# In order of preference; PyTorch's own files come last because safetensors cannot hold code.
STEMS = ("diffusion_pytorch_model", "model", "pytorch_model", "open_clip_pytorch_model")
SUFFIXES = (".safetensors", ".fp16.safetensors", ".bin", ".fp16.bin", ".pth", ".ckpt")
WEIGHT_SUFFIXES = (".safetensors", ".bin", ".ckpt", ".pth", ".pt", ".th")


@dataclasses.dataclass(frozen=True)
class Source:
    """The tensors of one file or one set of shards.

    Attributes:
      path: the file, or the folder, as messages name it.
      tensors: by PyTorch name.
      config: the folder's config.json, or empty.
      others: names of what a PyTorch file held beside tensors.
    """

    path: Path
    tensors: Mapping[str, LazyTensor]
    config: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    others: tuple[str, ...] = ()


def open_source(path: Path) -> Source:
    """Opens a weights file, or a folder with one (whole or in shards) and perhaps a config.json.

    Raises InputError, naming the file, where there is none, a shard is missing, or one is damaged.
    """
    if not path.exists():
        raise InputError(f"checkpoint {path} does not exist; name a weights file or a folder that holds one")
    if path.is_file():
        return _open_file(path)
    weights = find_weights(path)
    if weights is None:
        raise InputError(f"folder {path} holds no weights file; it should hold one such as {STEMS[0]}.safetensors")
    config = read_json(path / "config.json") if (path / "config.json").is_file() else {}
    source = _open_shards(weights) if weights.name.endswith(".index.json") else _open_file(weights)
    return dataclasses.replace(source, path=path, config=config)


def find_weights(folder: Path) -> Path | None:
    """The weights file of one network's folder, or the index of its shards; None where there is none."""
    for suffix in SUFFIXES:
        for stem in STEMS:
            for name in (f"{stem}{suffix}", f"{stem}{suffix}.index.json"):
                if (folder / name).is_file():
                    return folder / name
    files = [path for path in sorted(folder.iterdir()) if path.suffix in WEIGHT_SUFFIXES and path.is_file()]
    if len(files) > 1:
        names = ", ".join(path.name for path in files)
        raise InputError(f"folder {folder} holds several weights files: {names}; name the one that is meant")
    return files[0] if files else None


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
