"""Files in number order, checked before they are read, and written so that a reader never sees half of one."""

import contextlib
import errno
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

    Where `path` is a link, what it points to is replaced and the link stays. Raises InputError where the system
    does not let it be written, as on a full disk.
    """
    path = Path(os.path.realpath(path))
    with _writable(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.stem[:40]}-", suffix=path.suffix, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        _temporaries.add(temporary)
        try:
            yield temporary
            umask = os.umask(0)
            os.umask(umask)
            temporary.chmod(0o666 & ~umask)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
            _temporaries.discard(temporary)


@contextlib.contextmanager
def atomic_folder(path: str | os.PathLike) -> Iterator[Path]:
    """`atomic_path` for a folder; an older one is replaced when the new one is whole."""
    path = Path(os.path.realpath(path))
    with _writable(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name[:40]}-", dir=path.parent))
        _temporaries.add(temporary)
        try:
            folder, old = temporary / "new", temporary / "old"
            folder.mkdir()
            yield folder
            if path.exists():
                path.replace(old)
            folder.replace(path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
            _temporaries.discard(temporary)


_temporaries: set[Path] = set()


def remove_temporaries() -> None:
    """Removes what `atomic_path` and `atomic_folder` are in the middle of writing, for a process that ends."""
    for path in list(_temporaries):
        if not path.is_dir():
            path.unlink(missing_ok=True)
        elif not (path / "old").exists():  # else the exchange is under way
            shutil.rmtree(path, ignore_errors=True)


def check_space(folder: str | os.PathLike, needed: int, what: str) -> None:
    """Raises InputError where the disk of `folder`, or of the nearest one above that exists, has less than `needed`
    bytes for `what`."""
    folder = Path(folder).absolute()
    there = next(place for place in (folder, *folder.parents) if place.is_dir())
    free = shutil.disk_usage(there).free
    if free < needed:
        raise InputError(
            f"{what} needs {needed / 1e6:,.1f} MB, and the disk of {there} has {free / 1e6:,.1f} MB left"
        )


@contextlib.contextmanager
def _writable(path: Path) -> Iterator[None]:
    """Names the file in errors of a system that does not let it be written."""
    try:
        yield
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            raise
        raise InputError(f"{path} cannot be written: {error.strerror}") from error


_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG,
               errno.ENOTDIR, errno.EEXIST, errno.EIO)  # fmt: skip


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
