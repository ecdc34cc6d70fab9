"""PyTorch's files (`torch.save`), read without PyTorch and without running what they hold.

Since 1.6 such a file is a zip archive, stored without compression: `*/data.pkl` is a pickle of everything but the
numbers, in which a tensor is a call of `torch._utils._rebuild_tensor_v2` on a storage, and `*/data/KEY` holds the
bytes of storage KEY. Before, it was five pickles in a row, a magic number, the protocol, the machine's byte order,
everything but the numbers, and the storages' keys, and after them each storage: its length in eight bytes, then its
bytes. Here the calls make `LazyTensor`s, and nothing that is not in the tables below is ever looked up.
"""

import collections
import pickle
import re
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from jaxanim.errors import InputError
from jaxanim.tensor_file import LazyTensor, map_values

STORAGES: dict[str, np.dtype] = {
    name: np.dtype(dtype)
    for name, dtype in {
        "FloatStorage": "<f4", "HalfStorage": "<f2", "BFloat16Storage": ml_dtypes.bfloat16, "DoubleStorage": "<f8",
        "LongStorage": "<i8", "IntStorage": "<i4", "ShortStorage": "<i2", "CharStorage": "i1", "ByteStorage": "u1",
        "BoolStorage": "?",
    }.items()
}  # fmt: skip
# What trainers leave beside the parameters. Each becomes an object that holds and does nothing.
BYSTANDERS = re.compile(
    r"(pytorch_lightning|lightning|lightning_fabric|lightning_utilities|omegaconf)\..+"
    r"|torch\.(Size|device|dtype|float16|float32|float64|bfloat16|int32|int64)"
    r"|torch\.optim\..+"
    r"|numpy\.dtype|numpy\._?core\.multiarray\.(scalar|_reconstruct)|numpy\.ndarray|_codecs\.encode"
    r"|argparse\.Namespace|pathlib\.\w+|datetime\.\w+|enum\.\w+|typing\.\w+"
    r"|collections\.(defaultdict|deque|Counter)"
    r"|(builtins|__builtin__)\.(set|frozenset|dict|list|tuple|int|float|complex|bool|str|bytes|bytearray|slice|object)"
)
RECORD_HEADER = struct.Struct("<4s22xHH")
# What files from before PyTorch 1.6 begin with.
MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001


class Refused(Exception):
    """The pickle asks for something that only running code could give."""


class Storage(NamedTuple):
    """Where a storage's numbers lie."""

    path: Path
    offset: int
    dtype: np.dtype
    count: int


def is_torch_file(path: Path) -> bool:
    """Whether the file starts like a zip archive or like a bare pickle."""
    with path.open("rb") as file:
        start = file.read(4)
    return start == b"PK\x03\x04" or start[:1] == b"\x80"


def read_torch(path: Path) -> tuple[dict[str, LazyTensor], list[str]]:
    """(tensors by key, names of what else the file held) of a checkpoint.

    The state dict may be the file's top level or its entry "state_dict", "model_state_dict" or "module".

    Raises InputError, naming the file, where it is cut short, damaged, holds no tensors, or holds a pickle that
    would run code.
    """
    try:
        with path.open("rb") as file:
            old = file.read(1) == b"\x80"
        if old:
            root = _unpickle_old(path)
        else:
            with zipfile.ZipFile(path) as archive:
                root = unpickle(path, archive)
    except Refused as error:
        raise InputError(
            f"checkpoint {path} holds a pickle that asks for {error}, which could run code; nothing of it was run: "
            "take the .safetensors file, or only trust what you made yourself and save its state_dict alone"
        ) from None
    except InputError:
        raise
    except Exception as error:  # a damaged pickle can raise anything
        raise InputError(f"checkpoint {path} is cut short or damaged: {type(error).__name__}: {error}") from None
    return _state_dict(path, root)


def _state_dict(path: Path, root: Any) -> tuple[dict[str, LazyTensor], list[str]]:
    others: list[str] = []
    for name in ("state_dict", "model_state_dict", "module"):
        if isinstance(root, Mapping) and isinstance(root.get(name), Mapping):
            others, root = [str(key) for key in root if key != name], root[name]
    if not isinstance(root, Mapping):
        raise InputError(f"checkpoint {path} holds a {type(root).__name__}; it should hold a dict of tensors")
    tensors = {
        key: value._replace(name=key)
        for key, value in root.items()
        if isinstance(value, LazyTensor) and isinstance(key, str)
    }
    if not tensors:
        raise InputError(f"checkpoint {path} holds no tensors under names; it should hold a network's state_dict")
    return tensors, others + [str(key) for key in root if key not in tensors]


def unpickle(path: Path, archive: zipfile.ZipFile, others: Mapping[str, type] | None = None) -> Any:
    """What a file that torch.save wrote holds, its tensors lazy.

    others: classes to make objects of, by the full names that the pickle has for them.
    """
    names = archive.namelist()
    pickles = [name for name in names if re.fullmatch(r"[^/]+/data\.pkl", name)]
    if len(pickles) != 1:
        raise InputError(f"checkpoint {path} is a zip file without PyTorch's data.pkl; it should be a checkpoint")
    folder = pickles[0].removesuffix("data.pkl")
    if f"{folder}byteorder" in names and archive.read(f"{folder}byteorder") != b"little":
        raise InputError(f"checkpoint {path} is big-endian; only little-endian files can be read")

    def storage(key: str, dtype: np.dtype, count: int) -> Storage:
        record = archive.getinfo(f"{folder}data/{key}")
        if record.compress_type != zipfile.ZIP_STORED:
            raise InputError(f"checkpoint {path} is compressed; torch.save stores its tensors uncompressed")
        if record.file_size < count * dtype.itemsize:
            raise ValueError(f"storage {key} has {record.file_size} bytes, not {count * dtype.itemsize}")
        offset = _data_offset(path, record)
        if offset + record.file_size > path.stat().st_size:
            raise ValueError(f"storage {key} ends behind the file's end")
        return Storage(path, offset, dtype, count)

    with archive.open(pickles[0]) as file:
        return _Unpickler(file, storage, others or {}).load()


def _unpickle_old(path: Path) -> Any:
    """What a file from before PyTorch 1.6 holds. Where its storages lie is known after a first reading."""
    places: dict[str, tuple[int, int]] = {}
    used: dict[str, tuple[np.dtype, int]] = {}

    def storage(key: str, dtype: np.dtype, count: int) -> Storage:
        used[key] = dtype, count
        offset, there = places.get(key, (0, count))
        if there != count:
            raise ValueError(f"storage {key} has {there} values, not {count}")
        return Storage(path, offset, dtype, count)

    with path.open("rb") as file:

        def load() -> Any:
            return _Unpickler(file, storage, {}).load()

        if load() != MAGIC or load() != PROTOCOL:
            raise ValueError("it does not begin with PyTorch's magic number and protocol 1001")
        if load().get("little_endian") is not True:
            raise InputError(f"checkpoint {path} is big-endian; only little-endian files can be read")
        start = file.tell()
        load()
        for key in load():
            dtype, count = used[key]
            (length,) = struct.unpack("<q", file.read(8))
            places[key] = file.tell(), length
            if file.tell() + count * dtype.itemsize > path.stat().st_size:
                raise ValueError(f"storage {key} ends behind the file's end")
            file.seek(length * dtype.itemsize, 1)
        file.seek(start)
        return load()


def _data_offset(path: Path, record: zipfile.ZipInfo) -> int:
    with path.open("rb") as file:
        file.seek(record.header_offset)
        magic, name_length, extra_length = RECORD_HEADER.unpack(file.read(RECORD_HEADER.size))
    if magic != b"PK\x03\x04":
        raise ValueError(f"{record.filename} has no header where the archive's directory says")
    return record.header_offset + RECORD_HEADER.size + name_length + extra_length


class _Unpickler(pickle.Unpickler):
    """Looks names up in this file's tables and nowhere else. What it hands out is made anew for each file, so that
    a pickle that sets attributes on it changes nothing that lasts."""

    def __init__(self, file, storage: Callable[[str, np.dtype, int], Storage], others: Mapping[str, type]):
        super().__init__(file, encoding="utf-8")
        self._storage = storage
        self._bystander = _bystander_class()
        self._types = {f"torch.{name}": type(name, (), {"dtype": dtype}) for name, dtype in STORAGES.items()}
        self._calls = {
            "torch._utils._rebuild_tensor_v2": lambda *args: _tensor(*args[:4]),
            "torch._utils._rebuild_tensor": lambda *args: _tensor(*args[:4]),
            "torch._utils._rebuild_parameter": lambda data, *_: data,
            "collections.OrderedDict": type("OrderedDict", (collections.OrderedDict,), {}),
            **others,
        }

    def find_class(self, module: str, name: str) -> Any:
        full = f"{module}.{name}"
        known = self._calls.get(full) or self._types.get(full)
        if known is not None:
            return known
        if BYSTANDERS.fullmatch(full):
            return self._bystander
        raise Refused(full)

    def persistent_load(self, pid: Any) -> Storage:
        kind, storage_type, key, _, count, *view = pid
        if kind != "storage" or storage_type not in self._types.values():
            raise Refused(f"the storage type {storage_type!r}")
        if any(part is not None for part in view):
            raise ValueError(f"storage {key} is a view of another one, as PyTorch wrote them before 0.4")
        return self._storage(key, storage_type.dtype, count)


def _bystander_class() -> type:
    """A class whose objects take whatever a pickle does to them and keep nothing of it."""

    def ignore(self, *args, **kwargs):
        return None

    def new(cls, *args, **kwargs):
        return object.__new__(cls)

    names = ("__init__", "__setstate__", "__setitem__", "append", "extend", "add", "update")
    return type("Bystander", (), {"__new__": new, "__hash__": object.__hash__, **dict.fromkeys(names, ignore)})


def _tensor(storage: Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> LazyTensor:
    if len(shape) != len(strides) or min((offset, *shape, *strides)) < 0:
        raise ValueError(f"a tensor of shape {shape}, strides {strides} and offset {offset} cannot be")
    last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    if 0 not in shape and last >= storage.count:
        raise ValueError(f"a tensor of shape {shape} reaches beyond its storage of {storage.count} values")

    def read() -> np.ndarray:
        width = storage.dtype.itemsize
        if 0 in shape:
            return np.empty(shape, storage.dtype)
        flat = map_values(storage.path, storage.dtype, (last + 1 - offset,), storage.offset + offset * width)
        return np.lib.stride_tricks.as_strided(flat, shape, [width * s for s in strides], writeable=False)

    return LazyTensor("", tuple(shape), storage.dtype, read)
