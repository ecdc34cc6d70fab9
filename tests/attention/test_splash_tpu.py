"""Splash attention through the real TPU compiler, ahead of time; no TPU needed, only libtpu."""

import json
import subprocess
import sys

import pytest

pytest.importorskip("libtpu")

# In a process of its own: libtpu reads its settings when JAX starts, and only one process may load it otherwise.
PROGRAM = """
import json, sys
import jax, jax.numpy as jnp, numpy as np
from jax.experimental import topologies
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxanim.attention import attention, choose_kernel, compiling_for
from jaxanim.mesh import AXES, tracing_on

topology = topologies.get_topology_desc(platform="tpu", topology_name="v5e:2x2")
one_chip = NamedSharding(Mesh(np.array(topology.devices)[:1], ("x",)), PartitionSpec())

def shape(*sizes, dtype=jnp.bfloat16):
    return jax.ShapeDtypeStruct(sizes, dtype, sharding=one_chip)

def step(q, k, v, lengths):
    out, pull = jax.vjp(lambda q, k, v: attention(q, k, v, kernel="splash", kv_lengths=lengths), q, k, v)
    return pull(out)

calls = {}
for head_dim in (40, 64, 80, 128, 160):
    q, kv = shape(1, 1000, 2, head_dim), shape(1, 1300, 2, head_dim)
    with compiling_for("tpu"):
        text = jax.jit(step).lower(q, kv, kv, shape(1, dtype=jnp.int32)).compile().as_text()
    calls[head_dim] = text.count('custom_call_target="tpu_custom_call"')

# On four chips: "auto" takes splash, which JAX refuses outside of shard_map; each chip has one entry and one head.
devices = np.array(topology.devices).reshape(2, 1, 2, 1)
mesh = Mesh(devices, AXES, axis_types=(AxisType.Auto,) * 4)
cut = NamedSharding(mesh, PartitionSpec("data", None, "tensor"))
q, kv = (jax.ShapeDtypeStruct((2, n, 2, 64), jnp.bfloat16, sharding=cut) for n in (1500, 1300))

def on_mesh(q, k, v):
    with tracing_on(mesh):
        assert choose_kernel(q, k) == "splash"
        out, pull = jax.vjp(lambda q, k, v: attention(q, k, v), q, k, v)
        return pull(out)

with compiling_for("tpu"):
    text = jax.jit(on_mesh).lower(q, kv, kv).compile().as_text()
kernels = [line for line in text.splitlines() if 'custom_call_target="tpu_custom_call"' in line]
calls["mesh"] = len(kernels)
# What they return: the one head's queries, or its keys and values, of the one entry.
calls["local"] = sum("bf16[1,1536,64]" in line or "bf16[1,1408,64]" in line for line in kernels)
calls["gathers"] = text.count("all-gather(") + text.count("all-reduce(")
print(json.dumps(calls))
"""


def test_forward_and_backward_compile_for_the_backbones_head_sizes(monkeypatch):
    settings = {"TPU_SKIP_MDS_QUERY": "1", "JAX_PLATFORMS": "cpu", "ALLOW_MULTIPLE_LIBTPU_LOAD": "1"}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    run = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=300, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    calls = json.loads(run.stdout.splitlines()[-1])
    on_mesh = {name: calls.pop(name) for name in ("mesh", "local", "gathers")}
    assert calls == dict.fromkeys(("40", "64", "80", "128", "160"), 3)  # forward, dq, dk and dv
    assert on_mesh == {"mesh": 3, "local": 3, "gathers": 0}
