"""Files in number order, checked before they are read, and written so that a reader never sees half of one."""

import contextlib
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from jaxanim.errors import InputError


def in_order(paths: Iterable[Path]) -> list[Path]:
    """Sorted by name, numbers in names by their value: frame_2 before frame_10, with leading zeros or without."""

    def key(path: Path) -> tuple:
        pieces = re.split(r"([0-9]+)", path.name)
        return [int(piece) if i % 2 else piece for i, piece in enumerate(pieces)], path.name

    return sorted(paths, key=key)


def check_file(path: Path, what: str) -> None:
    """Raises InputError unless `path` is a file with something in it; `what` names its role there."""
    if not path.exists():
        raise InputError(f"{what} {path} does not exist")
    if path.is_dir():
        raise InputError(f"{what} {path} is a folder where a file is needed")
    if path.stat().st_size == 0:
        raise InputError(f"{what} {path} is empty (0 bytes)")


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[Path]:
    """Yields a temporary path beside `path`; renames it onto `path` on success, removes it on any error.

    Where `path` is a link, what it points to is replaced and the link stays.
    """
    path = Path(os.path.realpath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
