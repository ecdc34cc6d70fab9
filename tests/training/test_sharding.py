import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from jax.sharding import AbstractMesh, AxisType
from jax.sharding import PartitionSpec as P

from jaxanim.errors import InputError
from jaxanim.models.vae import VAEConfig
from jaxanim.training import log
from jaxanim.training.loop import train
from jaxanim.training.sharding import (
    AXES,
    MeshShape,
    check_batch_size,
    make_mesh,
    parameter_sharding,
    placed,
    spec_for,
)
from jaxanim.weights import load_weights, save_weights
from tests.training.toy import config

MESH = AbstractMesh((2, 2, 2, 1), AXES, axis_types=(AxisType.Auto,) * 4)


@pytest.mark.parametrize(("path", "shape", "spec"), [
    ("unet/mid_block/attentions_0/transformer_blocks_0/attn1/to_q/kernel", (320, 320), P("fsdp", "tensor")),
    ("unet/mid_block/attentions_0/transformer_blocks_0/attn1/to_out_0/kernel", (320, 320), P("tensor", "fsdp")),
    ("unet/mid_block/attentions_0/transformer_blocks_0/ff/net_0/proj/bias", (2560,), P("tensor")),
    ("unet/conv_in/kernel", (3, 3, 4, 320), P(None, None, "fsdp", "tensor")),
    ("vae/conv_out/kernel", (3, 3, 128, 3), P(None, None, "fsdp", None)),
    ("clip/token_embedding/embedding", (49408, 768), P("fsdp", "tensor")),
    ("unet/norm1/scale", (320,), P()),
])  # fmt: skip
def test_the_table(path, shape, spec):
    assert spec_for(path, shape, MESH) == spec


def test_meshes_that_cannot_be():
    assert dict(make_mesh().shape) == {"data": len(jax.devices()), "fsdp": 1, "tensor": 1, "context": 1}
    with pytest.raises(InputError, match="does not cover"):
        make_mesh(MeshShape(fsdp=3, data=5))
    with pytest.raises(InputError, match="positive"):
        make_mesh(MeshShape(tensor=0))
    with pytest.raises(InputError, match="batch_size 6 in 1"):
        check_batch_size(6, 1, MESH)
    check_batch_size(8, 2, MESH)


def test_mapped_weights_are_placed_as_they_would_be_loaded_and_as_new_arrays(tmp_path):
    values = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
    save_weights(tmp_path, {"vae": (VAEConfig(), {"conv": {"kernel": values}})}, system="vae")
    config, mapped = load_weights(tmp_path, mapped=True)["vae"]
    expected, loaded = load_weights(tmp_path)["vae"]
    assert config == expected
    assert mapped["conv"]["kernel"].dtype == np.float16
    places = None, parameter_sharding(make_mesh())
    for place in places:
        first, second = (placed(mapped, place)["conv"]["kernel"] for _ in range(2))
        assert first.dtype == np.float32
        np.testing.assert_array_equal(first, loaded["conv"]["kernel"])
        # The loop gives the step its buffers to reuse.
        first.delete()
        np.testing.assert_array_equal(second, loaded["conv"]["kernel"])
    assert second.sharding == places[1]("conv/kernel", (4, 6))


def test_eight_devices_learn_what_one_learns(tmp_path):
    """Also when the run then goes on on one device."""
    short = dataclasses.replace(config, schedule="constant", steps=16)
    train(short, tmp_path / "one")

    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=8"
    subprocess.run(
        [sys.executable, "-m", "train.run", "tests/training/toy.py", "--workdir", str(tmp_path / "eight"),
         "schedule=constant", "steps=8", "mesh.fsdp=2", "mesh.tensor=2"],
        cwd=Path(__file__).parents[2], env=os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        check=True, capture_output=True,
    )  # fmt: skip
    assert train(short, tmp_path / "eight").step == 16

    one, eight = (log.read(tmp_path / name / "metrics.jsonl") for name in ("one", "eight"))
    np.testing.assert_allclose([row["loss"] for row in eight], [row["loss"] for row in one], rtol=1e-5)
    weights = [np.load(tmp_path / name / "weights" / "kernel.npy") for name in ("one", "eight")]
    np.testing.assert_allclose(*weights, rtol=1e-5, atol=1e-6)


def test_parameters_lie_where_the_table_says():
    """In another program, with eight devices."""
    program = """
import jax
from jaxanim.training.loop import initial
from jaxanim.training.sharding import MeshShape, make_mesh
from tests.training.toy import config
state, frozen = initial(config, config.task.open(), make_mesh(MeshShape(fsdp=4)))
for leaf in (state.params["fit/dense/kernel"], state.optimizer[1][0].mu["fit/dense/kernel"]):
    assert {shard.data.shape for shard in leaf.addressable_shards} == {(2, 4)}, leaf.sharding
assert {shard.data.shape for shard in frozen["frozen/scale"].addressable_shards} == {(4,)}
assert all(len(leaf.sharding.device_set) == 8 for leaf in jax.tree.leaves(state))
"""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=8"
    subprocess.run(
        [sys.executable, "-c", program], cwd=Path(__file__).parents[2], check=True, capture_output=True,
        env=os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
    )  # fmt: skip
