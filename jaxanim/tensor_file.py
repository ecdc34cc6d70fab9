"""Safetensors files: read by memory map, one tensor at a time, and written the same way.

The format (https://github.com/huggingface/safetensors): the header's length in eight bytes, little endian, then
the header in JSON, {name: {"dtype", "shape", "data_offsets": [begin, end]}}, then the tensors' bytes.
"""

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from jaxanim.errors import InputError
from jaxanim.media.files import atomic_path

DTYPES: dict[str, np.dtype] = {
    name: np.dtype(dtype)
    for name, dtype in {
        "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": ml_dtypes.bfloat16, "F8_E4M3": ml_dtypes.float8_e4m3fn,
        "F8_E5M2": ml_dtypes.float8_e5m2, "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U64": "<u8",
        "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "?",
    }.items()
}  # fmt: skip
NAMES = {dtype: name for name, dtype in DTYPES.items()}
# Larger headers are damage: SD1.5's single file, of 1,131 tensors, has 0.1 MB.
LARGEST_HEADER = 100_000_000


class LazyTensor(NamedTuple):
    """A tensor that is still in its file.

    Attributes:
      name: its name in that file.
      shape, dtype: known from the file's header.
      read: gives the values, as a read-only memory map where that is possible. Dropping the array drops the
        mapped pages from the process's memory too.
      entries: of a tensor that is put together along a new first axis, the tensors that it is put together from.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    read: Callable[[], np.ndarray]
    entries: tuple["LazyTensor", ...] = ()

    @property
    def size(self) -> int:
        """Number of values."""
        return int(np.prod(self.shape, dtype=np.int64))


def map_values(path: Path, dtype: np.dtype, shape: tuple[int, ...], offset: int) -> np.ndarray:
    """`shape` values at byte `offset` of a file, mapped read-only; a fresh map for every call."""
    if 0 in shape:
        return np.empty(shape, dtype)
    return np.memmap(path, dtype, "r", offset, shape)


def read_tensors(path: str | os.PathLike, kind: str = "weights file") -> dict[str, LazyTensor]:
    """The tensors of a safetensors file, by name; only the header is read. `kind` is what an error calls it.

    Raises InputError, naming the file, where it is missing, cut short or damaged.
    """
    path = Path(path)
    try:
        start, header = _read_header(path)
        size = path.stat().st_size - start
        return {
            name: _lazy(path, name, start, size, entry) for name, entry in header.items() if name != "__metadata__"
        }
    except FileNotFoundError:
        raise InputError(f"{kind} {path} is missing") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{kind} {path} is cut short or damaged: {error}") from None


def _read_header(path: Path) -> tuple[int, dict[str, Any]]:
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= LARGEST_HEADER:
            raise ValueError(f"its header would have {length} bytes")
        header = file.read(length)
    if len(header) < length:
        raise ValueError("it ends within its header")
    return 8 + length, json.loads(header)


def _lazy(path: Path, name: str, start: int, size: int, entry: dict[str, Any]) -> LazyTensor:
    dtype, shape, (begin, end) = DTYPES[entry["dtype"]], tuple(entry["shape"]), entry["data_offsets"]
    if not all(isinstance(n, int) and n >= 0 for n in (*shape, begin, end)):
        raise ValueError(f"shape {shape} and offsets {begin}, {end} must be whole numbers, none negative")
    if end > size:
        raise ValueError(f"its tensors should have {end} bytes or more; it has {size}")
    tensor = LazyTensor(name, shape, dtype, lambda: map_values(path, dtype, shape, start + begin))
    if end - begin != tensor.size * dtype.itemsize:
        raise ValueError(f"{end - begin} bytes are not a {dtype} tensor of shape {shape}")
    return tensor


def write_tensors(
    path: str | os.PathLike,
    tensors: Mapping[str, LazyTensor],
    report: Callable[[str, int], None] | None = None,
) -> None:
    """Writes a safetensors file, reading one tensor (or one entry of a stack) at a time, aside; it gets its name
    when it is whole.

    Args:
      report: called after each tensor, or entry, with the tensor's name and the number of bytes.
    """
    # Wide types first, so that every tensor lies at a multiple of its own width.
    order = sorted(tensors, key=lambda name: -tensors[name].dtype.itemsize)
    header, end = {}, 0
    for name in order:
        shape, dtype, begin = tensors[name].shape, tensors[name].dtype, end
        end += tensors[name].size * dtype.itemsize
        header[name] = {"dtype": NAMES[dtype], "shape": list(shape), "data_offsets": [begin, end]}
    encoded = json.dumps(header, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % 8)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(len(encoded).to_bytes(8, "little") + encoded)
        for name in order:
            for entry in tensors[name].entries or (tensors[name],):
                values = entry.read()
                _check(name, values, entry)
                file.write(np.ascontiguousarray(values).reshape(-1).view(np.uint8).data)
                size = values.nbytes
                del values
                if report is not None:
                    report(name, size)


def _check(name: str, values: np.ndarray, tensor: LazyTensor) -> None:
    if values.shape != tensor.shape or values.dtype != tensor.dtype:
        raise ValueError(
            f"{name} reads as {values.dtype} {values.shape}, not the {tensor.dtype} {tensor.shape} announced"
        )


def held(arrays: Iterable[tuple[str, np.ndarray]]) -> dict[str, LazyTensor]:
    """Arrays in memory, as `write_tensors` takes them."""
    return {name: LazyTensor(name, value.shape, value.dtype, lambda value=value: value) for name, value in arrays}


def stack_of(entries: Sequence[LazyTensor]) -> LazyTensor:
    """Tensors of one shape and dtype as one with a new first axis, of which `write_tensors` holds one at a time.

    Raises InputError where dtypes differ.
    """
    first = entries[0]
    for other in entries:
        if other.dtype != first.dtype:
            raise InputError(f"{first.name} is {first.dtype} and {other.name} {other.dtype}; they form one stack")
    shape = (len(entries), *first.shape)
    return LazyTensor(first.name, shape, first.dtype, lambda: np.stack([e.read() for e in entries]), tuple(entries))
