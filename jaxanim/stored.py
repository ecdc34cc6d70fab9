"""Frozen dataclasses in JSON's terms, as weights folders hold them, and the classes that a file may name."""

import dataclasses
import os
from typing import Any

import jax.numpy as jnp

from jaxanim.errors import InputError

# The config classes that a folder may name, by name; only these are ever made from a file.
CONFIG_CLASSES: dict[str, type] = {}
# Names that older folders hold.
_FORMERLY = {"Defaults": "Sampling", "DiffusionConfig": "Betas"}


def register_config(cls: type) -> type:
    """Lets folders name the frozen dataclass `cls`, as a decorator; who loads a folder has imported its classes."""
    known = CONFIG_CLASSES.setdefault(cls.__name__, cls)
    if known is not cls:
        raise ValueError(f"config class {cls.__name__} of {cls.__module__} is named as one of {known.__module__}")
    return cls


def encode_config(config: Any) -> dict[str, Any]:
    """A frozen dataclass in JSON's terms: {"class": name, "fields": {...}}, nested ones likewise."""
    name = type(config).__name__
    if name not in CONFIG_CLASSES:
        raise ValueError(f"config class {name} is unknown: jaxanim.stored.register_config is its decorator")
    return {
        "class": name,
        "fields": {field.name: _encode(getattr(config, field.name)) for field in dataclasses.fields(config)},
    }


def _encode(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return encode_config(value)
    if isinstance(value, tuple | list):
        return [_encode(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return {"dtype": jnp.dtype(value).name}


def decode_config(encoded: Any, path: str | os.PathLike) -> Any:
    """The frozen dataclass that `encode_config` wrote; `path` is the file to name in the InputError."""
    try:
        name = _FORMERLY.get(encoded["class"], encoded["class"])
        if name not in CONFIG_CLASSES:
            raise ValueError(f"the config class {name!r} is unknown")
        return CONFIG_CLASSES[name](**{field: _decode(value, path) for field, value in encoded["fields"].items()})
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"weights file {path} describes a network wrongly: {error}") from None


def _decode(value: Any, path: str | os.PathLike) -> Any:
    if isinstance(value, list):
        return tuple(_decode(item, path) for item in value)
    if isinstance(value, dict):
        return jnp.dtype(value["dtype"]).type if "dtype" in value else decode_config(value, path)
    return value
