"""Reading the `config` of a Python file in configs/."""

import importlib.util
import os
import sys
from pathlib import Path
from typing import TypeVar

from jaxanim.errors import InputError

Config = TypeVar("Config")


def load_config(path: str | os.PathLike, kind: type[Config]) -> Config:
    """The module-level `config` of a Python file, an instance of `kind`.

    Raises:
      InputError: there is no such file, it is not Python, or it holds no such config.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"config {path} does not exist; name a Python file such as those in configs/")
    if path.suffix != ".py":
        raise InputError(f"config {path} is not a Python file")
    spec = importlib.util.spec_from_file_location(f"config_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    # Dataclasses defined in the file look their annotations up in sys.modules.
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise InputError(f"config {path} is not valid Python: {error}") from error
    config = getattr(module, "config", None)
    if not isinstance(config, kind):
        raise InputError(f"config {path} has no module-level `config` that is an {kind.__name__}")
    return config
