"""Compiling a run's programs for a TPU topology, with the TPU's own compiler, on a machine without one.

Needs the package libtpu, in the version that `pip install jax[tpu]` has beside this jax. Nothing is computed and no
parameter is allocated: a pod's program for 5 B parameters compiles on a laptop, if slowly.
"""

import dataclasses
import importlib.util
import os
import re
import time
from typing import Any, NamedTuple

import jax
from jax.experimental import topologies
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree

from jaxanim.backend import compiling_for
from jaxanim.errors import InputError
from jaxanim.flops import model_flops
from jaxanim.mesh import batch_cut, tracing_on
from jaxanim.training import sharding
from jaxanim.training.chips import GIB, chip_of
from jaxanim.training.collectives import traffic
from jaxanim.training.experiment import Experiment
from jaxanim.training.loop import placement
from jaxanim.training.partition import combine, partition
from jaxanim.training.state import state_shapes, step_function
from jaxanim.training.task import Plan, Planned

# Clouds' names of whole slices; v4's and v5p's count two cores for each chip.
SLICES = {
    "v5e-16": "v5e:4x4", "v5e-64": "v5e:8x8", "v5e-256": "v5e:16x16",
    "v6e-8": "v6e:2x4", "v6e-16": "v6e:4x4", "v6e-64": "v6e:8x8", "v6e-256": "v6e:16x16",
    "v5p-8": "v5p:2x2x1", "v5p-64": "v5p:2x4x4", "v5p-128": "v5p:4x4x4", "v5p-512": "v5p:4x8x8",
}  # fmt: skip


class Program(NamedTuple):
    """A lowered program and the operations of the model in one run of it, on all chips together."""

    lowered: Any
    flops: int


def devices_of(topology: str) -> list[Any]:
    """The described chips of a topology such as "v5e:16x16", or of a slice such as "v5e-256".

    Raises InputError where there is no compiler for it, or no such topology.
    """
    if importlib.util.find_spec("libtpu") is None:
        raise InputError("the TPU's compiler is missing: install libtpu as `pip install 'jax[tpu]'` does")
    # There is no chip to ask about, nor to be held by one process alone.
    os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
    os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")
    os.environ.setdefault("TPU_STDERR_LOG_LEVEL", "3")
    name = SLICES.get(topology, topology)
    known = ", ".join(f"{slice_} ({name})" for slice_, name in SLICES.items())
    if not re.fullmatch(r"(v5e|v5p|v6e):\d+x\d+(x\d+)?", name):
        raise InputError(f"--topology {topology} is not known: give one of {known}, or other sides in that form")
    try:
        return list(topologies.get_topology_desc(platform="tpu", topology_name=name).devices)
    except (jax.errors.JaxRuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"--topology {topology} is none that there is ({reason}): give one of {known}") from error


def compile_step(experiment: Experiment, topology: str, step: str = "train", effort: float = 0.0) -> dict[str, Any]:
    """Compiles the run's training step, or one step of sampling, and says what the compiler found.

    `effort`, -1 to 1, is what the compiler spends on the program's speed; at -1 it is done sooner, and the program
    takes more memory.

    "flops" are the model's in one step, per chip, as papers count them (`jaxanim.flops`); "received" the bytes that
    come to a chip in one step. What does not fit is no error: "fits" is False then.

    Raises InputError for a recipe without a plan, a topology that is unknown, and a mesh that does not fit.
    """
    if not isinstance(experiment.task, Planned):
        raise InputError(f"{type(experiment.task).__name__} has no plan: it cannot be compiled ahead of time")
    devices = devices_of(topology)
    mesh = sharding.make_mesh(experiment.mesh, devices)
    plan = experiment.task.plan(experiment.batch_size)
    chip = chip_of(devices[0])
    report = {
        "config": experiment.name, "step": step, "topology": topology, "chips": len(devices),
        "mesh": {axis: size for axis, size in mesh.shape.items() if size > 1},
        "limit_gib": _gib(chip.memory) if chip else None,
    }  # fmt: skip
    if effort:
        report["effort"] = effort
    if step == "train":
        report |= {"batch_size": experiment.batch_size, "accumulate": experiment.accumulate}
    begin = time.monotonic()
    with compiling_for("tpu"):
        program = (training if step == "train" else sampling)(experiment, plan, mesh)
        report |= {"flops": program.flops // len(devices), "lower_s": round(time.monotonic() - begin, 1)}
        begin = time.monotonic()
        try:
            compiled = program.lowered.compile({"exec_time_optimization_effort": effort} if effort else None)
        except jax.errors.JaxRuntimeError as error:
            report["compile_s"] = round(time.monotonic() - begin, 1)
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            return report | {"fits": False, "needs_gib": asked_for(str(error))}
    report["compile_s"] = round(time.monotonic() - begin, 1)
    memory, text = compiled.memory_analysis(), compiled.as_text()
    parts = {
        "state_gib": memory.argument_size_in_bytes,
        "working_gib": memory.temp_size_in_bytes,
        "result_gib": memory.output_size_in_bytes - memory.alias_size_in_bytes,
    }
    report |= {name: _gib(size) for name, size in parts.items()}
    found, needed = traffic(text), sum(parts.values())
    # By this account the compiler takes programs that are some larger.
    fits = chip is None or needed <= chip.memory
    return report | {
        "needs_gib": _gib(needed), "fits": fits, "collectives": found.calls, "received": found.bytes,
        "pallas_kernels": text.count('custom_call_target="tpu_custom_call"'),
    }  # fmt: skip


def training(experiment: Experiment, plan: Plan, mesh: Mesh) -> Program:
    """The training step of a run on a mesh."""
    sharding.check_batch_size(experiment.batch_size, experiment.accumulate, mesh)
    task, place = plan.task, placement(experiment, plan.task, mesh)
    choice = {"hold": experiment.hold, "thaw": experiment.thaw}
    trainable, frozen = (
        {path: _laid(leaf, place(path, leaf.shape), place.dtype(path)) for path, leaf in part.items()}
        for part in partition(plan.params, task.trainable, **choice)
    )
    batch = {
        name: _laid(leaf, NamedSharding(mesh, batch_cut(leaf.shape, mesh))) for name, leaf in plan.batch.items()
    }
    state = state_shapes(experiment, trainable, mesh)

    def gradient(trainable, frozen, batch, key):
        return jax.grad(lambda params: task.loss(combine(params, frozen), batch, key)[0])(trainable)

    flops = model_flops(gradient, trainable, frozen, plan.batch, jax.eval_shape(jax.random.key, 0))
    return Program(step_function(experiment, task, state).lower(state, frozen, batch), flops)


def sampling(experiment: Experiment, plan: Plan, mesh: Mesh) -> Program:
    """One step of sampling one video on a mesh, parameters in `experiment.frozen_dtype`."""
    place = dataclasses.replace(placement(experiment, plan.task, mesh), frozen=lambda path: True)
    trainable, frozen = partition(plan.params, plan.task.trainable)
    laid = {
        path: _laid(leaf, place(path, leaf.shape), place.dtype(path)) for path, leaf in (trainable | frozen).items()
    }
    params = combine(laid)
    whole = NamedSharding(mesh, PartitionSpec())
    inputs = jax.tree.map(lambda leaf: _laid(leaf, whole), plan.inputs)

    def denoise(params: PyTree, *inputs: PyTree) -> PyTree:
        with tracing_on(mesh):
            return plan.denoise(params, *inputs)

    return Program(jax.jit(denoise).lower(params, *inputs), model_flops(plan.denoise, params, *inputs))


def _laid(leaf: jax.ShapeDtypeStruct, place: NamedSharding, dtype: Any = None) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(leaf.shape, dtype or leaf.dtype, sharding=place)


def _gib(size: int | None) -> float | None:
    return None if size is None else round(size / GIB, 3)


def asked_for(message: str) -> float | None:
    """GiB that a program would need, by the compiler's own message; None where it does not say."""
    found = re.search(r"(?:Used |temporaries \()([\d.]+)([GM])", message)
    return found and round(float(found[1]) / (1 if found[2] == "G" else 1024), 3)
