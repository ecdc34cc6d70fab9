"""One tensor at a time: the peak memory of a conversion does not grow with the model."""

import json
import os
import subprocess
import sys
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
code = main(sys.argv[1:])
print("PEAK", re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])
sys.exit(code)
"""


def sparse_checkpoint(path, network, config):
    """A full-size safetensors file in transformers' names, all zeros, that takes no room on the disk; the size of
    its largest tensor."""
    leaves = flatten_dict(parameter_shapes(network, config))
    zeros = {leaf: np.broadcast_to(np.float32(0), shape.shape) for leaf, shape in leaves.items()}
    header, end, largest = {}, 0, 0
    for key, value in to_torch(unflatten_dict(zeros)).items():
        size = 4 * value.size
        header[key] = {"dtype": "F32", "shape": list(value.shape), "data_offsets": [end, end + size]}
        end, largest = end + size, max(largest, size)
    encoded = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(encoded).to_bytes(8, "little") + encoded)
        file.truncate(8 + len(encoded) + end)
    return largest


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from Linux's /proc")
def test_a_checkpoint_larger_than_the_memory_allowed(tmp_path):
    """1.4 GB: CLIP's image encoder, 28 layers deep. What holds it at once exceeds the bound."""
    config = CLIPVisionConfig(num_hidden_layers=28)
    largest = sparse_checkpoint(tmp_path / "model.safetensors", "image_encoder", config)
    assert (tmp_path / "model.safetensors").stat().st_size > 1.4e9
    arguments = [str(tmp_path / "model.safetensors"), str(tmp_path / "out"), "--dtype", "float16"]
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, check=True,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
    )  # fmt: skip
    peak = 1024 * int(run.stdout.split("PEAK")[1])
    assert peak < 1e9 + largest
    written = read_tensors(tmp_path / "out" / "image_encoder.safetensors")
    assert sum(tensor.size for tensor in written.values()) > 350e6
    assert {tensor.dtype for tensor in written.values()} == {np.dtype(np.float16)}
