import dataclasses
import json
import os
import subprocess
import sys

import chex
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from jaxanim import systems
from jaxanim.errors import InputError
from jaxanim.models.vae import VAEConfig
from jaxanim.stored import CONFIG_CLASSES, decode_config, encode_config, register_config
from jaxanim.systems.base import Sampling
from jaxanim.weights import (
    fingerprint,
    load_settings,
    load_weights,
    read_description,
    read_network_config,
    save_weights,
)


@register_config
@dataclasses.dataclass(frozen=True)
class Inner:
    heads: int = 8


@register_config
@dataclasses.dataclass(frozen=True)
class Outer:
    widths: tuple[int, ...] = (4, 8)
    nested: tuple[tuple[str, int], ...] = (("a", 1),)
    inner: Inner | None = Inner()
    eps: float = 1e-5
    name: str = "auto"
    flag: bool = False
    nothing: int | None = None
    dtype: object = jnp.float32


CONFIG = Outer(widths=(2, 3), inner=Inner(heads=2), flag=True, dtype=jnp.bfloat16)


@pytest.fixture
def params():
    rng = np.random.default_rng(0)
    return {
        "conv_in": {"kernel": rng.normal(size=(3, 3, 2, 4)).astype(np.float32), "bias": np.zeros(4, np.float32)},
        "scale": np.float32(0.5),
    }


@pytest.fixture
def folder(tmp_path, params):
    networks = {"unet": (CONFIG, params), "vae": (Outer(inner=None), {"a": np.ones((2, 2), np.float32)})}
    save_weights(
        tmp_path / "w",
        networks,
        system="magicanimate",
        settings={"defaults": Sampling(size=(64, 96), guidance=3.0)},
        metadata={"psnr": 21.5},
    )
    return tmp_path / "w"


def shapes_of(params):
    return lambda name, config: {
        "unet": {
            "conv_in": {"kernel": jnp.zeros((3, 3, 2, 4)), "bias": jnp.zeros(4)},
            "scale": jnp.zeros(()),
        },
        "vae": {"a": jnp.zeros((2, 2))},
    }[name]


def test_what_was_saved_comes_back(folder, params):
    loaded = load_weights(folder, system="magicanimate", shapes=shapes_of(params))
    assert list(loaded) == ["unet", "vae"]
    config, restored = loaded["unet"]
    assert dataclasses.replace(config, dtype=CONFIG.dtype) == CONFIG
    assert load_weights(folder, dtype=None)["unet"][0] == CONFIG
    assert config.widths == (2, 3)
    assert loaded["vae"][0].inner is None
    expected = {
        "conv_in": {
            "kernel": params["conv_in"]["kernel"].astype(np.float16).astype(np.float32),
            "bias": np.zeros(4, np.float32),
        },
        "scale": np.float32(0.5),
    }
    chex.assert_trees_all_equal(restored, expected)
    chex.assert_type(list(map(np.asarray, (restored["scale"], restored["conv_in"]["kernel"]))), np.float32)
    assert {name: read_network_config(folder, name) for name in loaded} == {
        name: one for name, (one, _) in loaded.items()
    }
    with pytest.raises(InputError, match="has no network 'controlnet', only unet, vae"):
        read_network_config(folder, "controlnet")
    assert load_settings(folder) == {"defaults": Sampling(size=(64, 96), guidance=3.0)}
    assert read_description(folder)["metadata"] == {"psnr": 21.5}


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16, jnp.float32])
def test_files_are_plain_safetensors_of_the_asked_dtype(tmp_path, params, dtype):
    save_weights(tmp_path, {"unet": (CONFIG, params)}, system="magicanimate", dtype=dtype)
    tensors = safetensors.numpy.load_file(tmp_path / "unet.safetensors")
    assert set(tensors) == {"conv_in/kernel", "conv_in/bias", "scale"}
    kernel = params["conv_in"]["kernel"].astype({"bfloat16": ml_dtypes.bfloat16}.get(jnp.dtype(dtype).name, dtype))
    assert tensors["conv_in/kernel"].dtype == kernel.dtype
    chex.assert_trees_all_equal(tensors["conv_in/kernel"], kernel)
    chex.assert_trees_all_equal(load_weights(tmp_path)["unet"][1]["conv_in"]["kernel"], kernel.astype(np.float32))


def test_values_beyond_float16_are_refused_and_leave_no_file(tmp_path):
    with pytest.raises(ValueError, match="big has values beyond float16"):
        save_weights(tmp_path, {"unet": (CONFIG, {"big": np.full(2, 1e6, np.float32)})}, system="magicanimate")
    assert list(tmp_path.iterdir()) == []


def test_every_config_class_that_a_folder_may_name_survives_the_way_there_and_back():
    for name in systems.names():
        assert systems.entry(name).module.Config
    known = {"UNetConfig", "ControlNetConfig", "VAEConfig", "CLIPTextConfig", "CLIPVisionConfig", "MotionConfig"}
    assert known | {"Sampling", "Betas", "MultiSourceConfig"} <= set(CONFIG_CLASSES)
    for cls in CONFIG_CLASSES.values():
        config = cls()
        assert decode_config(json.loads(json.dumps(encode_config(config))), "file") == config


def edit(folder, change):
    path = folder / "config.json"
    description = json.loads(path.read_text())
    change(description)
    path.write_text(json.dumps(description))


def rewrite(folder, change):
    path = folder / "unet.safetensors"
    tensors = safetensors.numpy.load_file(path)
    change(tensors)
    safetensors.numpy.save_file(tensors, path)


def cut(path, share):
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


DAMAGES = {
    "no folder": (lambda f: f.rename(f.with_name("gone")), "does not exist"),
    "no config": (lambda f: (f / "config.json").unlink(), "no config.json"),
    "config cut short": (lambda f: cut(f / "config.json", 0.5), "config.json cannot be read as JSON"),
    "config binary": (lambda f: (f / "config.json").write_bytes(b"\xff\xfe\x00"), "config.json cannot be read"),
    "config a list": (lambda f: (f / "config.json").write_text("[]"), "not of format 1"),
    "format of the future": (lambda f: edit(f, lambda d: d.update(format=2)), "not of format 1"),
    "no system": (lambda f: edit(f, lambda d: d.pop("system")), "does not name a system"),
    "another system": (lambda f: edit(f, lambda d: d.update(system="magicpose")), "of system 'magicpose', not of"),
    "missing network": (lambda f: edit(f, lambda d: d["networks"].pop("unet")), "no network 'unet', only vae"),
    "unknown class": (lambda f: edit(f, lambda d: d["networks"]["unet"].update({"class": "os"})), "class 'os'"),
    "unknown field": (lambda f: edit(f, lambda d: d["networks"]["unet"]["fields"].update(x=1)), "wrongly.*'x'"),
    "missing file": (lambda f: (f / "unet.safetensors").unlink(), "unet.safetensors is missing"),
    "cut in the data": (lambda f: cut(f / "unet.safetensors", 0.9), "unet.safetensors is cut short or damaged"),
    "cut in the header": (lambda f: cut(f / "unet.safetensors", 0.05), "unet.safetensors is cut short or damaged"),
    "empty": (lambda f: cut(f / "unet.safetensors", 0), "unet.safetensors is cut short or damaged"),
    "missing tensor": (lambda f: rewrite(f, lambda t: t.pop("scale")), "lacks 1 tensors, such as scale"),
    "extra tensor": (lambda f: rewrite(f, lambda t: t.update(x=np.ones(2))), "1 tensors too many, such as x"),
    "wrong shape": (
        lambda f: rewrite(f, lambda t: t.update(scale=np.ones(2))),
        r"scale has shape \(2,\), not \(\)",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_an_input_error_that_names_the_file(folder, params, damage):
    spoil, message = DAMAGES[damage]
    spoil(folder)
    with pytest.raises(InputError, match=message):
        load_weights(folder, system="magicanimate", networks=("unet", "vae"), shapes=shapes_of(params))


def test_fingerprint_tells_other_parameters(folder):
    before = fingerprint(folder)
    assert fingerprint(folder) == before
    rewrite(folder, lambda tensors: tensors.update(scale=np.array(0.25, np.float16)))
    assert fingerprint(folder) != before


def test_kept_dtype_is_a_memory_map_of_the_file(tmp_path, params):
    save_weights(tmp_path, {"unet": (CONFIG, params)}, system="magicanimate", dtype=jnp.bfloat16)
    stored = load_weights(tmp_path, dtype=None)["unet"][1]["conv_in"]["kernel"]
    assert isinstance(stored, np.memmap)
    assert not stored.flags.writeable
    assert stored.dtype == jnp.bfloat16
    chex.assert_trees_all_equal(stored, params["conv_in"]["kernel"].astype(jnp.bfloat16))
    half = load_weights(tmp_path, dtype=jnp.float16)["unet"][1]["conv_in"]["kernel"]
    assert half.dtype == np.float16


def test_what_is_loaded_in_half_precision_computes_in_it(tmp_path, params):
    save_weights(tmp_path, {"unet": (CONFIG, params)}, system="magicanimate")
    assert jnp.dtype(load_weights(tmp_path)["unet"][0].dtype) == jnp.float32
    config = load_weights(tmp_path, dtype="bfloat16")["unet"][0]
    assert jnp.dtype(config.dtype) == jnp.bfloat16


def test_a_value_beyond_the_asked_dtype_is_refused(tmp_path):
    tree = {"a": {"b": np.float32([7e4])}}
    save_weights(tmp_path, {"unet": (CONFIG, tree)}, system="magicanimate", dtype=jnp.float32)
    with pytest.raises(InputError, match="dtype is float16, and a/b has values beyond it; use bfloat16"):
        load_weights(tmp_path, dtype="float16")
    assert load_weights(tmp_path, dtype="bfloat16")["unet"][1]["a"]["b"].dtype == jnp.bfloat16
    with pytest.raises(InputError, match="dtype is int8: choose one of float32, bfloat16, float16"):
        load_weights(tmp_path, dtype="int8")


SHARDED = """
import sys
import jax, numpy as np
from jaxanim.training.sharding import MeshShape, make_mesh, parameter_sharding
from jaxanim.weights import load_weights
import jaxanim.weights

reads = []
inner = jax.make_array_from_callback
def watched(shape, sharding, callback):
    def once(index):
        part = callback(index)
        reads.append((shape, part.shape))
        return part
    return inner(shape, sharding, once)
jax.make_array_from_callback = watched

sharding = parameter_sharding(make_mesh(MeshShape(fsdp=4)))
config, tree = load_weights(sys.argv[1], sharding=sharding)["vae"]
whole = load_weights(sys.argv[1])["vae"][1]
kernel = tree["to_q"]["kernel"]
assert kernel.sharding.spec[0] == "fsdp", kernel.sharding
assert [shard.data.shape for shard in kernel.addressable_shards] == [(2, 6)] * 4
np.testing.assert_array_equal(kernel, whole["to_q"]["kernel"])
np.testing.assert_array_equal(tree["norm"]["scale"], whole["norm"]["scale"])
assert ((8, 6), (2, 6)) in reads and ((8, 6), (8, 6)) not in reads, reads
print("sharded")
"""


def test_each_device_reads_its_own_slice(tmp_path):
    rng = np.random.default_rng(0)
    params = {"to_q": {"kernel": rng.normal(size=(8, 6))}, "norm": {"scale": rng.normal(size=3)}}
    save_weights(tmp_path, {"vae": (VAEConfig(), params)}, system="vae")
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": "--xla_force_host_platform_device_count=4"}
    run = subprocess.run(
        [sys.executable, "-c", SHARDED, str(tmp_path)], capture_output=True, text=True, env=environment
    )
    assert run.stdout == "sharded\n", run.stderr
