"""What a program writes held against what it reads: no output ever replaces an input."""

import dataclasses
import os
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jaxanim.errors import InputError

Paths = Mapping[str, str | os.PathLike | None]


def check_outputs(writes: Paths, reads: Paths) -> None:
    """Raises InputError where something that is written would replace something that is read, or be read next time.

    Links are followed, and one file under two names (a hard link, another case or form of letters) is one. It is
    refused to write a file that is read; a folder that is read or has something in it that is; a file right into a
    folder that is read; and two things under one name.

    Args:
      writes, reads: paths by the name to call them in a sentence, such as "--out"; None is none. A path of `writes`
        that is a folder, or is no file's name, is taken to be replaced with all that is in it.
    """
    written = {name: Path(path) for name, path in writes.items() if path is not None}
    given = {name: Path(path) for name, path in reads.items() if path is not None}
    names: dict[str, str] = {}
    for option, path in written.items():
        # As a file system goes by names that ignores case and forms of letters.
        spelt = unicodedata.normalize("NFC", str(_real(path))).casefold()
        if (other := names.setdefault(spelt, option)) != option:
            raise InputError(f"{option} is {path}, which is {other} too; give it another name")
        for source, read in given.items():
            if why := _clash(path, read):
                raise InputError(f"{option} is {path}, {why.format(f'{source} {read}')}; name another")


def sheet_beside(video: Path, reads: Paths) -> Path:
    """Where a video's contact sheet goes if nobody says: its name with .png, or with _sheet.png if that is read."""
    plain = video.with_suffix(".png")
    try:
        check_outputs({"--sheet": plain}, reads)
    except InputError:
        return plain.with_stem(f"{plain.stem}_sheet")
    return plain


def paths_in(config: Any) -> dict[str, str]:
    """The fields of nested dataclasses that name something which exists, by dotted path."""
    found = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            found |= {f"{field.name}.{name}": path for name, path in paths_in(value).items()}
        elif isinstance(value, str | os.PathLike) and str(value) and Path(value).exists():
            found[field.name] = os.fspath(value)
    return found


def _clash(write: Path, read: Path) -> str | None:
    """Why `write` may not be written where `read` is read, to follow its name in a sentence; None if it may."""
    place = _identity(write)
    if _same(_real(write), _real(read)):
        return "which {} is too"
    if read.is_dir():
        if write.suffix and _same(_real(write).parent, _real(read)):
            return "a file in the folder that {} is"
        if place is not None and any(place == _identity(entry) for entry in _entries(read)):
            return "which is one of the files of {}"
    if place is not None and any(place == _identity(folder) for folder in _real(read).parents):
        return "the folder in which {} is"
    return None


def _entries(folder: Path) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        yield from (Path(entry.path) for entry in entries)


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_dev, stat.st_ino


def _same(a: Path, b: Path) -> bool:
    return a == b or ((identity := _identity(a)) is not None and identity == _identity(b))
