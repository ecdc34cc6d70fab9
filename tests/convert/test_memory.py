"""One tensor at a time: the peak memory of a conversion does not grow with the model."""

import io
import json
import os
import pickle
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict

from jaxanim.convert.layout import to_torch
from jaxanim.models.clip_vision import CLIPVisionConfig
from jaxanim.models.shapes import parameter_shapes
from jaxanim.tensor_file import read_tensors

# The largest resident size of this process alone; getrusage's would count the parent's from before exec.
PROGRAM = """
import re, sys
from jaxanim.convert.__main__ import main
def tell():
    print("PEAK", re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])
tell()
code = main(sys.argv[1:])
tell()
sys.exit(code)
"""


def sparse_safetensors(path, shapes):
    """A float32 file of zeros that takes no room on the disk."""
    header, end = {}, 0
    for key, shape in shapes.items():
        size = 4 * int(np.prod(shape))
        header[key] = {"dtype": "F32", "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    encoded = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(encoded).to_bytes(8, "little") + encoded)
        file.truncate(8 + len(encoded) + end)


def sparse_torch(path, shapes):
    """The same as torch.save lays it out: a stored zip record for each tensor."""
    torch = pytest.importorskip("torch")

    class Tensor:
        def __init__(self, key, shape):
            self.key, self.shape = key, shape

        def __reduce__(self):
            strides = tuple(int(np.prod(self.shape[axis + 1 :])) for axis in range(len(self.shape)))
            return torch._utils._rebuild_tensor_v2, (Storage(self), 0, self.shape, strides, False, {})

    class Storage:
        def __init__(self, tensor):
            self.tensor = tensor

    class Pickler(pickle._Pickler):
        def persistent_id(self, value):
            if not isinstance(value, Storage):
                return None
            return "storage", torch.FloatStorage, value.tensor.key, "cpu", int(np.prod(value.tensor.shape))

    pickled = io.BytesIO()
    Pickler(pickled, 2).dump({key: Tensor(str(i), shape) for i, (key, shape) in enumerate(shapes.items())})
    with path.open("wb") as file, zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", pickled.getvalue())
        for i, shape in enumerate(shapes.values()):
            record = zipfile.ZipInfo(f"archive/data/{i}")
            record.header_offset = file.tell()
            record.file_size = record.compress_size = 4 * int(np.prod(shape))
            record.CRC = 0
            file.write(record.FileHeader())
            file.seek(record.file_size, os.SEEK_CUR)
            archive.filelist.append(record)
            archive.NameToInfo[record.filename] = record
            archive.start_dir = file.tell()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from Linux's /proc")
@pytest.mark.parametrize(("suffix", "write"), [("safetensors", sparse_safetensors), ("bin", sparse_torch)])
def test_a_checkpoint_larger_than_the_memory_allowed(tmp_path, suffix, write):
    """0.6 GB: CLIP's image encoder, 12 layers deep. Its float16 values alone, held at once, exceed the bound twice."""
    leaves = flatten_dict(parameter_shapes("image_encoder", CLIPVisionConfig(num_hidden_layers=12)))
    zeros = {leaf: np.broadcast_to(np.float32(0), shape.shape) for leaf, shape in leaves.items()}
    shapes = {key: value.shape for key, value in to_torch(unflatten_dict(zeros)).items()}
    src = tmp_path / f"model.{suffix}"
    write(src, shapes)
    assert src.stat().st_size > 0.6e9
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(src), str(tmp_path / "out"), "--dtype", "float16"],
        capture_output=True, text=True, env=os.environ | {"JAX_PLATFORMS": "cpu"},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    before, peak = (1024 * int(told.split()[0]) for told in run.stdout.split("PEAK")[1:])
    assert peak - before < 0.15e9
    written = read_tensors(tmp_path / "out" / "image_encoder.safetensors")
    assert sum(tensor.size for tensor in written.values()) == sum(map(np.prod, shapes.values()))
    assert {tensor.dtype for tensor in written.values()} == {np.dtype(np.float16)}
    shutil.rmtree(tmp_path / "out")  # it is the one large file here that is not sparse
