"""Settings for the whole suite; jaxanim is not imported here, because the typing hook is installed afterwards."""

import gc
import os
import sys
import tempfile

import jaxlib
import pytest

# The comparisons are made in float32 on the CPU, whatever else the machine has.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Nearly all of the suite's time is spent in the compiler, on programs that run once on small arrays.
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_backend_optimization_level=0"
# The older way to emit loops, which later releases have no longer, compiles in two thirds of the time, and one core
# for each process is all there is.
if tuple(map(int, jaxlib.__version__.split(".")[:2])) < (0, 11):
    os.environ["XLA_FLAGS"] += " --xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
# Tracing makes many small objects, and looking for garbage among them after every few hundred takes its time.
gc.set_threshold(50_000, 20, 50)


def pytest_collection_finish():
    """What the imports made is there to stay, and is not looked through again."""
    gc.collect()
    gc.freeze()


# What one test file or process has compiled, the others load, for as long as the suite runs.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    _compiled = tempfile.TemporaryDirectory(prefix="jaxanim-compiled-")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _compiled.name
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.3"


@pytest.fixture(autouse=True, scope="module")
def programs_are_not_kept():
    """Every compiled program holds memory maps, of which a process may have only so many."""
    yield
    jax = sys.modules.get("jax")
    if jax is not None:
        jax.clear_caches()


@pytest.fixture(autouse=True)
def nothing_has_been_told():
    """What one test made the library say once, the next hears too."""
    told = sys.modules.get("jaxanim.media.tell")
    if told is not None:
        told.forget()
