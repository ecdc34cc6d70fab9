"""Files in number order, checked before they are read, and written so that a reader never sees half of one."""

import contextlib
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Collection, Iterable, Iterator
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


@contextlib.contextmanager
def atomic_folder(path: str | os.PathLike) -> Iterator[Path]:
    """Yields a temporary folder beside `path`; it takes the place of `path` on success, else it is removed.

    Raises:
      InputError: the folder cannot be written.
    """
    path = Path(os.path.realpath(path))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    except OSError as error:
        raise InputError(f"folder {path} cannot be written: {error.strerror}") from error
    try:
        yield temporary
        temporary.chmod(0o755)
        if path.exists():
            shutil.rmtree(path)
        temporary.replace(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def check_folder(folder: Path, names: Collection[str], option: str = "--out") -> None:
    """Raises InputError if `folder` is a file, or holds anything but `names`, which are replaced with it."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{option} {folder} is a file; name a folder")
    if folder.is_dir() and (others := {entry.name for entry in folder.iterdir()} - set(names)):
        raise InputError(f"{option} {folder} holds other files ({min(others)}); name a new folder")


def file_hash(path: Path) -> str:
    """16 digits that tell a file's content from another's; of a folder, its files' names and sizes."""
    if path.is_dir():
        listed = [(str(file.relative_to(path)), file.stat().st_size) for file in sorted(path.rglob("*"))]
        return hashlib.sha256(repr(listed).encode()).hexdigest()[:16]
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
