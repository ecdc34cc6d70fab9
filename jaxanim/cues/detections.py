"""Detections kept beside the file that they were made of, so that a long video is looked at once."""

import os
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from jaxanim.media.files import atomic_path
from jaxanim.media.tell import tell

Arrays = dict[str, np.ndarray]
SUFFIX = ".detections.npz"
_MARK = "jaxanim_detections"


def kept_beside(path: str | os.PathLike, folder: str | os.PathLike | None = None) -> Path:
    """Where the detections of a file are kept: beside it, or in `folder`."""
    path = Path(path)
    return (path.parent if folder is None else Path(folder)) / f"{path.name}{SUFFIX}"


def remember(path: Path | None, key: str, compute: Callable[[], Mapping[str, np.ndarray]]) -> Arrays:
    """What `compute` returns, from the file `path` where that holds it under `key`, and else kept there.

    Several keys share a file; the newest of one kind (the key's first word) replaces older ones. A file that cannot
    be written, or is no file of detections, is left as it is, which is told.
    """
    kept = _read(path) if path is not None else {}
    if kept is not None and (found := _under(kept, key)):
        return found
    made = {name: np.asarray(values) for name, values in compute().items()}
    if path is None:
        return made
    if kept is None:
        tell(f"{path} is no file of detections and is left as it is: what was found is not kept")
        return made
    kind = key.split()[0]
    others = {name: values for name, values in kept.items() if not name.startswith(f"{kind} ")}
    try:
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **others, **{f"{key}/{name}": v for name, v in made.items()}, **{_MARK: 1})
    except OSError as error:
        tell(f"what was found cannot be kept in {path} ({error.strerror}): it will be looked for again")
    return made


def _under(kept: Arrays, key: str) -> Arrays:
    return {name.removeprefix(f"{key}/"): values for name, values in kept.items() if name.startswith(f"{key}/")}


def _read(path: Path) -> Arrays | None:
    """A file's arrays but the mark; None where the file is another's, {} where it is not there or damaged."""
    if not path.exists():
        return {}
    try:
        with np.load(path, allow_pickle=False) as held:
            if _MARK not in held.files:
                return None
            return {name: held[name] for name in held.files if name != _MARK}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return {} if zipfile.is_zipfile(path) else None
