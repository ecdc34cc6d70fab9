"""Locks between programs."""

import contextlib
import fcntl
import sys
from collections.abc import Iterator
from pathlib import Path

from jaxanim.errors import InputError


@contextlib.contextmanager
def locked(path: Path, wait: bool) -> Iterator[None]:
    """Holds a lock on the file `path`, which the system frees when the process ends, however it ends.

    Where another program holds it: waits for that program, or, not `wait`, raises InputError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not wait:
                raise InputError(f"{path.parent} is in use by another program") from None
            print(f"waiting for another program to be done with {path.parent}", file=sys.stderr)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
