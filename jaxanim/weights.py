"""A trained system as a folder: `config.json` and one safetensors file per network, read by memory map.

`config.json` holds {"format": 1, "system": name, "networks": {network: {"class": ..., "fields": {...}}},
"settings": {name: {"class": ..., "fields": {...}}}, "metadata": {...}}; `<network>.safetensors` holds the
network's parameters under '/'-joined paths. A system that plugs into a base model keeps its trained networks
alone, and "base" says where the others are: a path from the folder itself.
"""

import dataclasses
import hashlib
import importlib
import json
import os
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from jaxanim import models
from jaxanim.errors import InputError
from jaxanim.media.files import atomic_path
from jaxanim.stored import CONFIG_CLASSES, decode_config, encode_config
from jaxanim.tensor_file import LazyTensor, read_tensors, write_tensors

FORMAT = 1
DTYPES = ("float32", "bfloat16", "float16")

Params = dict[str, Any]
Networks = Mapping[str, tuple[Any, Params]]


def save_weights(
    folder: str | os.PathLike,
    networks: Networks,
    *,
    system: str,
    dtype: Any = jnp.float16,
    settings: Mapping[str, Any] | None = None,
    metadata: Mapping[str, Any] | None = None,
    base: str | os.PathLike | None = None,
) -> None:
    """Writes a system's networks, each a (frozen dataclass config, parameter tree), into `folder`.

    Every file is written aside and renamed, `config.json` last.

    Args:
      system: the system's name, which `load_weights` checks.
      dtype: float16, bfloat16 or float32: what the parameters are stored as.
      settings: frozen dataclasses that belong to no network, such as the system's defaults (`load_settings`).
      metadata: anything JSON can hold, for a reader: the training command, its result.
      base: weights folder of the networks that these plug into; remembered, relative to `folder`, not copied.

    Raises:
      ValueError: a parameter does not fit into `dtype`, or a config's class is not a `register_config`.
    """
    leaves = {
        name: (
            config,
            {path: _to_store(name, path, value, dtype) for path, value in flatten_dict(params, sep="/").items()},
        )
        for name, (config, params) in networks.items()
    }
    write_weights(folder, leaves, system=system, settings=settings, metadata=metadata, base=base)


def write_weights(
    folder: str | os.PathLike,
    networks: Mapping[str, tuple[Any, Mapping[str, LazyTensor]]],
    *,
    system: str,
    settings: Mapping[str, Any] | None = None,
    metadata: Mapping[str, Any] | None = None,
    base: str | os.PathLike | None = None,
    report: Callable[[str, int], None] | None = None,
) -> None:
    """`save_weights` for leaves that are read while they are written, so that only one is in memory at a time.

    Args:
      networks: (config, leaves by '/'-joined path) of each network.
      report: called after each leaf with its path and its number of bytes.
    """
    folder = Path(folder)
    description = {
        "format": FORMAT,
        "system": system,
        "networks": {name: encode_config(config) for name, (config, _) in networks.items()},
        "settings": {name: encode_config(value) for name, value in (settings or {}).items()},
        "metadata": dict(metadata or {}),
    }
    if base is not None:
        description["base"] = Path(os.path.relpath(base, folder)).as_posix()
    for name, (_, leaves) in networks.items():
        write_tensors(folder / f"{name}.safetensors", leaves, report)
    with atomic_path(folder / "config.json") as path:
        path.write_text(json.dumps(description, indent=2) + "\n")


def _to_store(network: str, path: str, value: Any, dtype: Any) -> LazyTensor:
    def read() -> np.ndarray:
        with np.errstate(over="ignore"):
            cast = np.asarray(value, np.float32).astype(dtype, order="C")
        if not np.isfinite(cast.astype(np.float32)).all():
            raise ValueError(f"{network}: {path} has values beyond {jnp.dtype(dtype).name}; store float32")
        return cast

    return LazyTensor(path, np.shape(value), jnp.dtype(dtype), read)


def load_weights(
    folder: str | os.PathLike,
    *,
    system: str | None = None,
    networks: tuple[str, ...] | None = None,
    shapes: Callable[[str, Any], Any] | None = None,
    dtype: Any = jnp.float32,
    sharding: Callable[[str, tuple[int, ...]], jax.sharding.Sharding] | None = None,
    mapped: bool = False,
) -> dict[str, tuple[Any, Params]]:
    """Reads what `save_weights` wrote: network name -> (config, parameters as host arrays of `dtype`).

    Args:
      system: the system that the weights have to belong to.
      networks: the networks to read, all of which have to be there; by default, all that there are.
      shapes: (network name, config) -> the tree of shapes that the parameters have to have, such as
        `jax.eval_shape` of the module's `init` gives.
      dtype: one of DTYPES, of the parameters and of what is computed with them: the configs say so too. With
        float16 and bfloat16, norms, softmax, timesteps, guidance and a sampler's latents stay in float32. None
        keeps the configs and the parameters as stored, as read-only memory maps: nothing is copied.
      sharding: (path, shape) -> where a parameter goes, such as `jaxanim.training.sharding.parameter_sharding`
        of a mesh. The parameters are then jax.Arrays, for which each device's slice, and no more, was read.
      mapped: leave the parameters as they are stored, as read-only memory maps, for whoever casts them where they
        are going (`jaxanim.training.sharding.placed`); the configs say `dtype` all the same.

    Raises:
      InputError: the folder or a file is missing, damaged or cut short, the weights belong to another system,
        or a tensor is missing, unknown, of another shape or beyond `dtype`. The message names the file.
    """
    if dtype is not None and str(dtype) not in DTYPES and jnp.dtype(dtype).name not in DTYPES:
        raise InputError(f"dtype is {dtype}: choose one of {', '.join(DTYPES)}")
    folder = Path(folder)
    description = read_description(folder)
    if system is not None and description["system"] != system:
        raise InputError(
            f"weights folder {folder} holds weights of system {description['system']!r}, not of {system!r}"
        )
    loaded, stored = {}, None if mapped else dtype
    for name in networks or tuple(description["networks"]):
        config = _config(folder, description, name, dtype)
        path = folder / f"{name}.safetensors"
        tensors = read_tensors(path)
        if shapes is not None:
            _check_shapes(path, tensors, flatten_dict(shapes(name, config), sep="/"))
        loaded[name] = (
            config,
            unflatten_dict(
                {leaf: _load(leaf, tensor, stored, sharding) for leaf, tensor in tensors.items()}, sep="/"
            ),
        )
    return loaded


def read_network_config(folder: str | os.PathLike, network: str) -> Any:
    """The config that `load_weights` gives with a network; no parameter is read. Raises InputError as it does."""
    return _config(Path(folder), read_description(folder), network, jnp.float32)


def _config(folder: Path, description: dict[str, Any], network: str, dtype: Any) -> Any:
    if network not in description["networks"]:
        raise InputError(
            f"weights folder {folder} has no network {network!r}, only {', '.join(description['networks'])}"
        )
    encoded = description["networks"][network]
    if isinstance(encoded, dict) and encoded.get("class") not in CONFIG_CLASSES:
        # Whoever loads a network by itself may have imported none.
        for module in pkgutil.walk_packages(models.__path__, f"{models.__name__}."):
            importlib.import_module(module.name)
    return config_in_dtype(decode_config(encoded, folder / "config.json"), dtype)


def config_in_dtype(config: Any, dtype: Any) -> Any:
    """A network's config that keeps parameters and computes in `dtype`; unchanged for None, and where it has no
    such choice."""
    if dtype is None:
        return config
    names = {field.name for field in dataclasses.fields(config)} & {"dtype", "param_dtype"}
    other = {name for name in names if jnp.dtype(getattr(config, name)) != jnp.dtype(dtype)}
    return dataclasses.replace(config, **dict.fromkeys(other, jnp.dtype(dtype).name))


def _load(path: str, tensor: LazyTensor, dtype: Any, sharding: Callable | None) -> Any:
    values = tensor.read()
    if dtype is None:
        dtype = tensor.dtype
    elif sharding is None:
        return _cast(path, values, dtype)
    if sharding is None:
        return values
    return jax.make_array_from_callback(
        tensor.shape, sharding(path, tensor.shape), lambda index: _cast(path, values[index], dtype)
    )


def _cast(path: str, values: np.ndarray, dtype: Any) -> np.ndarray:
    """A copy in `dtype`; InputError where it cannot hold the values."""
    with np.errstate(over="ignore"):
        cast = values.astype(dtype, order="C")
    if not np.isfinite(cast.astype(np.float32)).all() and np.isfinite(values.astype(np.float32)).all():
        raise InputError(f"dtype is {jnp.dtype(dtype).name}, and {path} has values beyond it; use bfloat16")
    return cast


def fingerprint(folder: str | os.PathLike) -> str:
    """A short digest of the parameters and configs in a weights folder and its base, to tell results of other
    weights apart."""
    digest = hashlib.sha256()
    base = base_folder(folder) if (Path(folder) / "config.json").is_file() else None
    for root in (Path(folder), *([base] if base is not None else [])):
        for path in sorted(root.rglob("*")):
            if path.suffix in (".safetensors", ".json"):
                with path.open("rb") as file:
                    while chunk := file.read(1 << 24):
                        digest.update(chunk)
    return digest.hexdigest()[:16]


def base_folder(folder: str | os.PathLike) -> Path | None:
    """The folder of base networks that a weights folder names, or None; InputError as `load_weights` raises."""
    named = read_description(Path(folder)).get("base")
    return None if named is None else Path(os.path.normpath(Path(folder).absolute() / named))


def load_settings(folder: str | os.PathLike, names: Sequence[str] | None = None) -> dict[str, Any]:
    """The settings that `save_weights` stored, by name: all, or those of `names` that are there.

    Raises InputError as `load_weights` does.
    """
    settings = read_description(folder).get("settings", {})
    wanted = settings if names is None else [name for name in names if name in settings]
    return {name: decode_config(settings[name], Path(folder) / "config.json") for name in wanted}


def read_description(folder: str | os.PathLike) -> dict[str, Any]:
    """A weights folder's `config.json`, checked for form; raises InputError as `load_weights` does."""
    path = Path(folder) / "config.json"
    if not Path(folder).is_dir():
        raise InputError(f"weights folder {folder} does not exist; name one that holds a config.json")
    try:
        description = json.loads(path.read_text())
    except FileNotFoundError:
        raise InputError(f"weights folder {folder} has no config.json, so no weights of jaxanim") from None
    except (OSError, ValueError) as error:
        raise InputError(f"weights file {path} cannot be read as JSON: {error}") from None
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise InputError(f"weights file {path} is not of format {FORMAT}, the one that this version reads")
    if not isinstance(description.get("system"), str) or not isinstance(description.get("networks"), dict):
        raise InputError(f"weights file {path} does not name a system and its networks")
    return description


def _check_shapes(path: Path, tensors: Mapping[str, LazyTensor], expected: Mapping[str, Any]) -> None:
    if missing := sorted(expected.keys() - tensors.keys()):
        raise InputError(f"weights file {path} lacks {len(missing)} tensors, such as {missing[0]}")
    if extra := sorted(tensors.keys() - expected.keys()):
        raise InputError(f"weights file {path} has {len(extra)} tensors too many, such as {extra[0]}")
    for name, tensor in tensors.items():
        if tensor.shape != tuple(expected[name].shape):
            raise InputError(
                f"weights file {path}: {name} has shape {tensor.shape}, not {tuple(expected[name].shape)}"
            )
