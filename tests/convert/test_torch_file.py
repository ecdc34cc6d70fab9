"""PyTorch's files are read as PyTorch reads them, and never run."""

import collections
import io
import os
import pickle
import sys
import zipfile

import numpy as np
import pytest

from jaxanim.convert.torch_file import MAGIC, PROTOCOL, read_torch
from jaxanim.errors import InputError

torch = pytest.importorskip("torch")


@pytest.mark.parametrize("zipped", [True, False], ids=["since 1.6", "before 1.6"])
def test_every_tensor_equals_torch_s(tmp_path, zipped):
    base = torch.arange(24.0)
    state = {
        "plain": base.reshape(4, 6),
        "a view of the same storage": base.reshape(4, 6).t()[1:4, ::2],
        "expanded": torch.tensor([1.0, 2.0]).expand(3, 2),
        "scalar": torch.tensor(3.5),
        "empty": torch.zeros(0, 3),
        "half": torch.randn(5).half(),
        "bfloat": torch.randn(5).bfloat16(),
        "double": torch.randn(2, 2).double(),
        "long": torch.arange(77)[None],
        "parameter": torch.nn.Parameter(torch.randn(3)),
    }
    torch.save(state, tmp_path / "x.ckpt", _use_new_zipfile_serialization=zipped)
    tensors, others = read_torch(tmp_path / "x.ckpt")
    assert others == []
    assert tensors.keys() == state.keys()
    for name, tensor in tensors.items():
        expected = state[name].detach()
        assert tensor.dtype.name == str(expected.dtype).removeprefix("torch.")
        assert tensor.shape == tuple(expected.shape)
        np.testing.assert_array_equal(tensor.read().astype(np.float64), expected.double().numpy())


def test_what_trainers_leave_beside_the_parameters_is_named_and_not_made(tmp_path):
    extras = {
        "epoch": 3, "dtype": torch.float16, "array": np.ones(3), "scalar": np.float32(2), "args": collections.defaultdict(list),
        "device": torch.device("cpu"), "optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}},
    }  # fmt: skip
    torch.save({"state_dict": collections.OrderedDict(w=torch.ones(2)), **extras}, tmp_path / "x.ckpt")
    tensors, others = read_torch(tmp_path / "x.ckpt")
    assert tensors.keys() == {"w"}
    assert set(others) == extras.keys()


def spoiled(path, pickled):
    """A checkpoint whose pickle is replaced."""
    torch.save({"w": torch.ones(2)}, path)
    with zipfile.ZipFile(path) as archive:
        records = {info.filename: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, data in records.items():
            archive.writestr(name, pickled if name.endswith("data.pkl") else data)


class Runs:
    """Unpickling this calls `function`."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("function", ["os.system", "eval", "exec", "open", "pickle.loads", "getattr", "by name"])
def test_a_pickle_that_would_run_code_is_refused_and_runs_nothing(tmp_path, function):
    mark = tmp_path / "it ran"
    evil = {
        "os.system": Runs(os.system, f"touch '{mark}'"),
        "eval": Runs(eval, f"__import__('pathlib').Path({str(mark)!r}).touch()"),
        "exec": Runs(exec, f"open({str(mark)!r}, 'w')"),
        "open": Runs(io.open, str(mark), "w"),
        "pickle.loads": Runs(pickle.loads, pickle.dumps(Runs(os.system, f"touch '{mark}'"))),
        "getattr": Runs(getattr, "x", "upper"),
        # A dotted name that starts with an allowed one: pickle's own look-up would walk along it.
        "by name": None,
    }[function]
    if evil is None:
        name = b"_sys.modules"
        data = b"\x80\x04\x8c\x0bcollections\x8c" + bytes([len(name)]) + name + b"\x93."
        assert pickle.loads(data) is sys.modules
    else:
        data = pickle.dumps({"state_dict": {"w": evil}}, protocol=2)
        if function not in ("getattr", "by name"):
            # The pickle does what it says where nothing holds it back; only then is the test one.
            pickle.loads(data)
            assert mark.exists()
            mark.unlink()
    spoiled(tmp_path / "x.ckpt", data)
    with pytest.raises(InputError, match=r"x\.ckpt (holds a pickle that asks for|is cut short or damaged)"):
        read_torch(tmp_path / "x.ckpt")
    assert not mark.exists()


def test_an_old_file_that_would_run_code_runs_nothing(tmp_path):
    mark, path = tmp_path / "it ran", tmp_path / "x.ckpt"
    evil = pickle.dumps({"w": Runs(os.system, f"touch '{mark}'")}, protocol=2)
    start = [pickle.dumps(part, protocol=2) for part in (MAGIC, PROTOCOL, {"little_endian": True})]
    for pickles in ([*start, evil, pickle.dumps([], protocol=2)], [evil], [*start[:2], evil]):
        path.write_bytes(b"".join(pickles))
        with pytest.raises(InputError, match="holds a pickle that asks for"):
            read_torch(path)
        assert not mark.exists()


def test_a_lightning_callback_stays_an_empty_object(tmp_path):
    """Its class is looked up nowhere, so its constructor and state cannot do anything."""
    data = (
        b"\x80\x02}(X\x05\x00\x00\x00otherc"
        b"pytorch_lightning.callbacks.model_checkpoint\nModelCheckpoint\n)R}X\x01\x00\x00\x00aK\x01sb"
        b"X\x0a\x00\x00\x00state_dict}u."
    )
    spoiled(tmp_path / "x.ckpt", data)
    with pytest.raises(InputError, match="holds no tensors under names"):
        read_torch(tmp_path / "x.ckpt")


def rebuild(shape, strides, count="2", offset=0):
    """A pickle of one tensor with this geometry, on the storage of two floats that `spoiled` writes."""

    class Pickler(pickle._Pickler):
        def persistent_id(self, value):
            return ("storage", torch.FloatStorage, "0", "cpu", int(count)) if value == "the storage" else None

    file = io.BytesIO()
    Pickler(file, 2).dump(
        {"w": Runs(torch._utils._rebuild_tensor_v2, "the storage", offset, shape, strides, False, {})}
    )
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (rebuild((2,), (1,)), None),
        (rebuild((3,), (1,)), "reaches beyond its storage"),
        (rebuild((2,), (100000,)), "reaches beyond its storage"),
        (rebuild((2,), (-1,)), "cannot be"),
        (rebuild((1,), (1,), offset=-5), "cannot be"),
        (rebuild((1000,), (1,), count="1000"), "has 8 bytes, not 4000"),
        (b"\x80\x02}", "cut short or damaged"),
        (pickle.dumps([1, 2]), "holds a list"),
        (pickle.dumps({"a": 1}), "holds no tensors"),
    ],
)
def test_tensors_that_reach_outside_their_storage_are_refused(tmp_path, data, message):
    spoiled(tmp_path / "x.ckpt", data)
    if message is None:
        np.testing.assert_array_equal(read_torch(tmp_path / "x.ckpt")[0]["w"].read(), [1, 1])
        return
    with pytest.raises(InputError, match=message):
        read_torch(tmp_path / "x.ckpt")


def test_other_files_are_named_for_what_they_are(tmp_path):
    path = tmp_path / "x.ckpt"
    for zipped in (True, False):
        torch.save({"w": torch.ones(1000)}, path, _use_new_zipfile_serialization=zipped)
        path.write_bytes(path.read_bytes()[:-100])
        with pytest.raises(InputError, match="cut short or damaged"):
            read_torch(path)
    path.write_bytes(pickle.dumps({"w": 1}))
    with pytest.raises(InputError, match="does not begin with PyTorch's magic number"):
        read_torch(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(InputError, match=r"without PyTorch's data\.pkl"):
        read_torch(path)
