"""Data sources: random access to elements that are dicts of numpy arrays, and a cache of them on disk."""

import concurrent.futures
import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol, runtime_checkable

import cv2
import numpy as np
from tqdm import tqdm

from jaxanim.errors import InputError
from jaxanim.media.files import atomic_path
from jaxanim.media.locks import locked

Element = dict[str, np.ndarray]


@runtime_checkable
class Source(Protocol):
    """A frozen dataclass whose elements depend on nothing but its fields and the index."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Element: ...


def cache_name(source: Source) -> str:
    """12 hexadecimal digits of a source's class, fields, length and, where it has one, `version`.

    A source counts its class attribute `version` up when the same fields begin to give other elements.
    """
    named = f"{type(source).__module__}.{type(source).__qualname__}"
    # dataclass reprs state every field, nested ones too.
    text = f"{named} {getattr(type(source), 'version', 0)} {len(source)} {source!r}"
    return hashlib.sha256(text.encode()).hexdigest()[:12]


class Cached:
    """A source whose elements are computed once and then read from memory-mapped files, one per field.

    The first time, all elements are computed in `processes` worker processes (0: one for each processor; 1:
    in this process, which also serves sources that cannot be pickled). A filling that is interrupted, even
    killed, goes on where it was; a second program that wants the same cache waits for the first. Elements
    must have the same fields, shapes and dtypes throughout.

    Raises InputError if the elements differ in form, or would not fit on the disk.
    """

    def __init__(self, source: Source, path: str | os.PathLike, processes: int = 0, chunk: int = 8):
        self.source = source
        self.folder = Path(path) / f"{type(source).__name__}-{cache_name(source)}"
        self._arrays: dict[str, np.ndarray] | None = None
        if not (self.folder / "complete").exists():
            _fill(source, self.folder, processes or os.cpu_count() or 1, chunk)

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Element:
        # With the dtype, for numpy would cut an element of bytes down to its own length.
        return {name: np.array(array[index], array.dtype) for name, array in self.arrays().items()}

    def arrays(self) -> dict[str, np.ndarray]:
        """The whole of each field, [elements, ...], memory-mapped and read-only."""
        if self._arrays is None:
            self._arrays = _open(self.folder, "r")
        return self._arrays

    def __repr__(self) -> str:
        return f"Cached({self.source!r})"

    def __getstate__(self) -> dict:
        # A memory map would be pickled as all of its contents.
        return self.__dict__ | {"_arrays": None}


def cached(source: Source, folder: str | os.PathLike | None = None, processes: int = 0) -> Cached:
    """`source`, cached in `folder`: where the environment variable JAXANIM_CACHE says, or runs/cache."""
    return Cached(source, folder or os.environ.get("JAXANIM_CACHE") or Path("runs", "cache"), processes)


def _fill(source: Source, folder: Path, processes: int, chunk: int) -> None:
    with locked(folder / "lock", wait=True):
        if (folder / "complete").exists():
            return
        done = _prepare(source, folder)
        missing = np.flatnonzero(~done)
        pieces = [missing[i : i + chunk].tolist() for i in range(0, len(missing), chunk)]
        with tqdm(
            total=len(source), initial=len(source) - len(missing), desc=f"caching {type(source).__name__}",
            unit="element", dynamic_ncols=True, mininterval=0.5 if sys.stderr.isatty() else 20,
        ) as progress:  # fmt: skip
            for piece in _compute(source, folder, pieces, processes):
                # Only after its elements are in the files: a kill in between costs a piece, never truth.
                done[piece] = True
                progress.update(len(piece))
        done.flush()
        with atomic_path(folder / "complete") as temporary:
            temporary.write_text(f"{source!r}\n", encoding="utf-8")


def _prepare(source: Source, folder: Path) -> np.memmap:
    """Makes a new cache's files, of the form of element 0; returns the flags of finished elements."""
    if not (folder / "fields.json").exists():
        if len(source) == 0:
            raise InputError(f"{source!r} has no elements to cache")
        fields = {name: np.asarray(value) for name, value in source[0].items()}
        needed = sum(value.nbytes for value in fields.values()) * len(source)
        free = shutil.disk_usage(folder).free
        if needed > 0.95 * free:
            raise InputError(f"caching {source!r} needs {needed / 1e9:.1f} GB and {folder} has {free / 1e9:.1f} GB")
        for name, value in fields.items():
            np.lib.format.open_memmap(
                folder / f"{name}.npy", mode="w+", dtype=value.dtype, shape=(len(source), *value.shape)
            ).flush()
        np.lib.format.open_memmap(folder / "done.npy", mode="w+", dtype=bool, shape=(len(source),)).flush()
        with atomic_path(folder / "fields.json") as temporary:
            temporary.write_text(json.dumps(list(fields)), encoding="utf-8")
    return np.load(folder / "done.npy", mmap_mode="r+")


def _open(folder: Path, mode: str) -> dict[str, np.ndarray]:
    fields = json.loads((folder / "fields.json").read_text(encoding="utf-8"))
    return {name: np.load(folder / f"{name}.npy", mmap_mode=mode) for name in fields}


def _compute(source: Source, folder: Path, pieces: list[list[int]], processes: int) -> Iterator[list[int]]:
    """Yields each piece of indices when its elements are in the files."""
    if processes == 1 or len(pieces) <= 1:
        for piece in pieces:
            yield _write(source, folder, piece)
        return
    # Spawned, for a process that has started JAX's threads must not be forked.
    context = multiprocessing.get_context("spawn")
    pool = concurrent.futures.ProcessPoolExecutor(min(processes, len(pieces)), context, _start_worker)
    try:
        futures = [pool.submit(_write, source, folder, piece) for piece in pieces]
        for future in concurrent.futures.as_completed(futures):
            yield future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _start_worker() -> None:
    """A worker computes on one thread, leaves Ctrl-C to the program that started it, and ends with it."""
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def follow():
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def _write(source: Source, folder: Path, piece: list[int]) -> list[int]:
    arrays = _open(folder, "r+")
    for index in piece:
        element = {name: np.asarray(value) for name, value in source[index].items()}
        form = {name: (value.shape, value.dtype.str) for name, value in element.items()}
        wanted = {name: (array.shape[1:], array.dtype.str) for name, array in arrays.items()}
        if form != wanted:
            raise InputError(f"element {index} of {source!r} has the form {form}, and element 0 has {wanted}")
        for name, value in element.items():
            arrays[name][index] = value
    for array in arrays.values():
        array.flush()
    return piece
