import dataclasses
import math
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from jax.sharding import AbstractMesh, AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from jaxanim.errors import InputError
from jaxanim.mesh import AXES
from jaxanim.models.clip_text import CLIPTextConfig
from jaxanim.models.clip_vision import CLIPVisionConfig
from jaxanim.models.cogvideox.vae import CogVideoXVAEConfig
from jaxanim.models.shapes import parameter_shapes
from jaxanim.models.t5 import UMT5_XXL, T5Config
from jaxanim.models.unet_config import MAGICANIMATE, ControlNetConfig, UNetConfig
from jaxanim.models.vae import VAEConfig
from jaxanim.models.wan.config import WanConfig
from jaxanim.models.wan.vae_config import WanVAEConfig
from jaxanim.systems.directanimator.network import CueTransformerConfig
from jaxanim.training import log
from jaxanim.training.layout import PARAMETERS, spec_for
from jaxanim.training.loop import train
from jaxanim.training.sharding import (
    MeshShape,
    check_batch_size,
    check_tensor_axis,
    make_mesh,
    parameter_sharding,
    placed,
)
from jaxanim.weights import load_weights, save_weights
from tests.training.toy import config

MESH = AbstractMesh((2, 2, 2, 1), AXES, axis_types=(AxisType.Auto,) * 4)


@pytest.mark.parametrize(("path", "shape", "spec"), [
    ("unet/mid_block/attentions_0/transformer_blocks_0/attn1/to_q/kernel", (320, 320), P("fsdp", "tensor")),
    ("unet/mid_block/attentions_0/transformer_blocks_0/attn1/to_out_0/kernel", (320, 320), P("tensor", "fsdp")),
    ("unet/mid_block/attentions_0/transformer_blocks_0/ff/net_0/proj/bias", (2560,), P("tensor")),
    ("unet/down_blocks_0/attentions_0/proj_in/kernel", (1, 1, 320, 320), P(None, None, "fsdp", "tensor")),
    ("unet/down_blocks_0/motion_modules_0/proj_out/kernel", (320, 320), P("tensor", "fsdp")),
    ("unet/down_blocks_0/resnets_0/conv2/kernel", (3, 3, 320, 320), P(None, None, "tensor", "fsdp")),
    ("controlnet/controlnet_down_blocks_3/kernel", (1, 1, 320, 320), P(None, None, "tensor", "fsdp")),
    ("unet/conv_in/kernel", (3, 3, 4, 320), P(None, None, "fsdp", "tensor")),
    # 3 is odd: both axes go to what comes in.
    ("vae/conv_out/kernel", (3, 3, 128, 3), P(None, None, ("tensor", "fsdp"), None)),
    ("vae/decoder/up_blocks_0/resnets_0/conv1/conv/kernel", (3, 3, 3, 8, 8), P(*[None] * 3, "fsdp", "tensor")),
    ("transformer/blocks/ffn/net_2/kernel", (30, 14336, 3072), P(None, "tensor", "fsdp")),
    ("transformer/blocks/attn1/to_q/bias", (30, 3072), P(None, "tensor")),
    ("transformer/patch_embedding/kernel", (1, 2, 2, 96, 3072), P(None, None, None, "fsdp", "tensor")),
    ("transformer/transformer/fusion_blocks/linear/kernel", (42, 512, 18432), P(None, "fsdp", "tensor")),
    ("text_encoder/encoder/block/layer_0/SelfAttention/o/kernel", (24, 4096, 4096), P(None, "tensor", "fsdp")),
    ("text_encoder/encoder/block/layer_0/SelfAttention/k/kernel", (24, 4096, 4096), P(None, "fsdp", "tensor")),
    ("image_encoder/embeddings/patch_embedding/kernel", (14, 14, 3, 64), P(None, None, None, ("tensor", "fsdp"))),
    ("clip/token_embedding/embedding", (49408, 768), P("fsdp", "tensor")),
    ("unet/norm1/scale", (320,), P(None)),
])  # fmt: skip
def test_the_tables(path, shape, spec):
    assert spec_for(path, shape, MESH) == spec


def networks():
    """Every network of the systems at its real size, by the name of its role."""
    return {
        "unet": UNetConfig(motion=MAGICANIMATE), "controlnet": ControlNetConfig(), "vae": VAEConfig(),
        "text_encoder": CLIPTextConfig(), "image_encoder": CLIPVisionConfig(), "umt5": UMT5_XXL, "t5": T5Config(),
        "transformer": WanConfig(in_channels=96, part_attention=True), "wan_vae": WanVAEConfig(),
        "cue_transformer": CueTransformerConfig(), "cogvideox_vae": CogVideoXVAEConfig(),
    }  # fmt: skip


@pytest.mark.parametrize("name", networks())
def test_real_networks_are_cut_evenly(name):
    """Nothing large lies whole: a device's share is near a 32nd; and no block of a scan, no tap of a kernel is cut."""
    mesh = AbstractMesh((1, 8, 4, 1), AXES, axis_types=(AxisType.Auto,) * 4)
    shapes = flatten_dict(parameter_shapes(name, networks()[name]), sep="/")
    total = share = 0
    for path, leaf in shapes.items():
        spec = spec_for(path, leaf.shape, mesh)
        axes = [axis if isinstance(axis, tuple) else (axis,) for axis in spec if axis is not None]
        ways = math.prod(mesh.shape[axis] for names in axes for axis in names)
        assert len(leaf.shape) < 3 or not any(spec[:-2]), path
        total, share = total + leaf.size, share + leaf.size / ways
        # All kernels are known by name: the last pattern is for networks of others.
        assert spec == spec_for(path, leaf.shape, mesh, PARAMETERS[:-1]), path
    assert share < 1.1 * total / 32
    odd = AbstractMesh((1, 1, 11, 1), AXES, axis_types=(AxisType.Auto,) * 4)
    path, largest = max(shapes.items(), key=lambda item: item[1].size)
    with pytest.raises(InputError, match=f"tensor is 11, which cannot cut {path} of"):
        spec_for(path, largest.shape, odd)


def test_a_large_parameter_that_no_table_knows_is_told():
    with pytest.raises(InputError, match="tensor is 2, which cannot cut memory/bank of shape"):
        spec_for("memory/bank", (1024, 1024), MESH)
    assert spec_for("memory/bank", (8, 8), MESH) == P(None, None)


def test_meshes_that_cannot_be():
    assert dict(make_mesh().shape) == {"data": len(jax.devices()), "fsdp": 1, "tensor": 1, "context": 1}
    with pytest.raises(InputError, match="does not cover"):
        make_mesh(MeshShape(fsdp=3, data=5))
    with pytest.raises(InputError, match="positive"):
        make_mesh(MeshShape(tensor=0))
    whole, three = jax.device_put(np.zeros(4), NamedSharding(make_mesh(), P())), (1, 1, 3, 1)
    with pytest.raises(InputError, match="tensor is 3, which divides no axis"):
        check_tensor_axis([whole], AbstractMesh(three, AXES, axis_types=(AxisType.Auto,) * 4))
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
import dataclasses
import jax
from jaxanim.training.loop import initial
from jaxanim.training.sharding import MeshShape, make_mesh
from tests.training.toy import config
config = dataclasses.replace(config, frozen_dtype="bfloat16")
state, frozen = initial(config, config.task.open(), make_mesh(MeshShape(fsdp=4)))
adam = state.optimizer[1][0]
for tree in (state.params, state.ema, adam.mu, adam.nu):
    leaf = tree["fit/dense/kernel"]
    assert tree.keys() == {"fit/dense/kernel", "fit/dense/bias"}  # nothing is kept of what is frozen
    assert leaf.dtype == "float32"
    assert {shard.data.shape for shard in leaf.addressable_shards} == {(2, 4)}, leaf.sharding
assert {shard.data.shape for shard in frozen["frozen/scale"].addressable_shards} == {(4,)}
assert frozen["frozen/scale"].dtype == "bfloat16"
assert all(len(leaf.sharding.device_set) == 8 for leaf in jax.tree.leaves(state))
"""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=8"
    subprocess.run(
        [sys.executable, "-c", program], cwd=Path(__file__).parents[2], check=True, capture_output=True,
        env=os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
    )  # fmt: skip
