"""Attention over eight simulated devices: equal to one device's, forward and backward."""

import os
import subprocess
import sys
from pathlib import Path

# In a process of its own: how many devices there are is settled when JAX starts.
PROGRAM = """
import functools
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import NamedSharding, PartitionSpec as P
from jaxanim.attention import attention
from jaxanim.attention.contract import make_request
from jaxanim.attention.kernels import splash
from jaxanim.attention.sharded import over_devices
from jaxanim.mesh import tracing_on
from jaxanim.training.sharding import MeshShape, make_mesh

assert jax.device_count() == 8
draw = np.random.default_rng(0)

def inputs(batch, q_tokens, kv_tokens, heads=4, head_dim=8):
    sizes = [(batch, tokens, heads, head_dim) for tokens in (q_tokens, kv_tokens, kv_tokens, q_tokens)]
    return [jnp.asarray(draw.normal(size=size), jnp.float32) for size in sizes]

def step(kernel, mesh, q, k, v, cotangent, options):
    def run(q, k, v):
        with tracing_on(mesh):
            if kernel != "splash":
                return attention(q, k, v, kernel=kernel, **options)
            # Off a TPU, step by step in JAX; the contract would object.
            request = make_request(q, k, v, backend="tpu", **options)
            return over_devices(functools.partial(splash.run, interpret=True), request)[0]
    out, pull = jax.vjp(run, q, k, v)
    return out, *pull(cotangent)

def check(kernel, shape, batch, q_tokens, kv_tokens, options, at_least):
    arrays, mesh, one = inputs(batch, q_tokens, kv_tokens), make_mesh(shape), make_mesh(devices=jax.devices()[:1])
    rows = NamedSharding(mesh, P(("data", "fsdp") if batch > 1 else None))
    placed = [jax.device_put(x, rows) for x in arrays]
    program = jax.jit(functools.partial(step, kernel, mesh)).lower(*placed, options).compile()
    # As if on one device, by the plain kernel.
    expected = jax.jit(functools.partial(step, "xla", one))(*arrays, options)
    for found, true in zip(program(*placed, options), expected, strict=True):
        np.testing.assert_allclose(found, true, rtol=0, atol=1e-5 * max(1, np.abs(true).max()))
        # Every device has its part, and no more, of what can be cut.
        assert found.addressable_shards[0].data.size * at_least <= found.size, (kernel, shape, found.sharding)

def restricted(batch, q_tokens, kv_tokens):
    return {
        "q_segment_ids": jnp.asarray(draw.integers(0, 3, (batch, q_tokens)), jnp.int32),
        "kv_segment_ids": jnp.asarray(draw.integers(0, 2, (batch, kv_tokens)), jnp.int32),
        "kv_lengths": jnp.asarray(draw.integers(1, kv_tokens, batch), jnp.int32),
    }

mixed, long = MeshShape(fsdp=2, tensor=2), MeshShape(context=4)
check("splash", mixed, 4, 20, 30, restricted(4, 20, 30), 8)
check("blocked", mixed, 4, 20, 30, {}, 8)
# Four heads do not divide over eight devices, nor one entry: these are whole.
check("splash", MeshShape(tensor=8), 1, 20, 30, {}, 1)
# Queries over devices, which need not come out even.
for kernel in ("splash", "blocked", "xla"):
    check(kernel, long, 2, 22, 31, restricted(2, 22, 31), 1)
# The logsumexp and its gradient, and a bias.
q, k, v, cotangent = inputs(4, 21, 30)
bias = jnp.asarray(draw.normal(size=(1, 4, 21, 30)), jnp.float32)

def both(kernel, mesh, bias, q, k, v):
    with tracing_on(mesh):
        out, lse = attention(q, k, v, kernel=kernel, bias=bias, return_lse=True)
    return jnp.sum(out * cotangent) + jnp.sum(jnp.sin(lse))

meshes = make_mesh(MeshShape(tensor=2, context=2)), make_mesh(devices=jax.devices()[:1])
for kernel, add in (("blocked", None), ("xla", bias)):
    grads = [
        jax.jit(jax.grad(functools.partial(both, name, mesh, add), (0, 1, 2)))(
            *jax.device_put((q, k, v), NamedSharding(mesh, P()))
        )
        for name, mesh in zip((kernel, "xla"), meshes, strict=True)
    ]
    for found, true in zip(*grads, strict=True):
        np.testing.assert_allclose(found, true, rtol=0, atol=2e-5)
"""


def test_kernels_over_devices_give_what_one_gives():
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=8"
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False,
        env=os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-3000:]
