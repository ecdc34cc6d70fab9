"""Freed memory is used again rather than mapped and cleared anew, and lies in huge pages; wide vectors are asked for where
XLA knows the flag."""

import importlib.metadata
import os
import subprocess
import sys

import pytest

from jaxanim import cpu
from jaxanim.cpu import WIDE_VECTORS, use_wide_vectors

PROGRAM = """
import resource
import numpy as np
from jaxanim.cpu import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.full(2**25, 1.0)  # 256 MiB, freed at once
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

if {keep}:
    print(keep_freed_memory())
print(*[faults() for _ in range(4)])
"""

# A bytearray, since NumPy itself asks for huge pages.
FLAGS_OF_A_BLOCK = """
import ctypes
from jaxanim.cpu import keep_freed_memory

if {keep}:
    keep_freed_memory()
    keep_freed_memory()  # as often as one likes
block = bytearray(2**26)
middle, inside = ctypes.addressof(ctypes.c_char.from_buffer(block)) + 2**25, False
for line in open("/proc/self/smaps"):
    bounds = line.split()[0].split("-")
    if len(bounds) == 2:
        inside = int(bounds[0], 16) <= middle < int(bounds[1], 16)
    if inside and line.startswith("VmFlags"):
        print(line)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's settings")
def test_large_blocks_are_mapped_once():
    def run(keep):
        lines = subprocess.check_output([sys.executable, "-c", PROGRAM.format(keep=keep)], text=True).split("\n")
        if keep and lines.pop(0) != "True":
            pytest.skip("not glibc")
        return [int(count) for count in lines[0].split()]

    given_back, kept = run(keep=False), run(keep=True)
    assert min(*given_back, kept[0]) > 50
    assert max(kept[1:]) < min(given_back) / 10


@pytest.mark.skipif(not os.path.exists("/sys/kernel/mm/transparent_hugepage"), reason="a kernel without huge pages")
def test_kept_memory_is_to_lie_in_huge_pages():
    def flags(keep):
        program = FLAGS_OF_A_BLOCK.format(keep=keep)
        return subprocess.check_output([sys.executable, "-c", program], text=True).split()

    if not flags(keep=False):
        pytest.skip("the system does not tell")
    assert "hg" not in flags(keep=False)
    assert "hg" in flags(keep=True)


def test_jax_takes_the_flag_for_wide_vectors():
    program = "from jaxanim.cpu import use_wide_vectors; print(use_wide_vectors()); import jax; print(jax.numpy.ones(2).sum())"
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": ""}
    lines = subprocess.check_output([sys.executable, "-c", program], text=True, env=environment).split()
    assert lines == ["True", "2.0"]


def test_memory_is_left_to_the_system_beside_an_accelerator(monkeypatch):
    kept = []
    monkeypatch.setattr(cpu, "keep_freed_memory", lambda: kept.append(True))
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: ["a plugin"])
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    cpu.prepare_cpu()
    assert kept == []
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    cpu.prepare_cpu()
    assert kept == [True]


def test_the_flag_stays_away_from_accelerators_and_from_the_users_own(monkeypatch):
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: ["a plugin"])
    monkeypatch.setenv("XLA_FLAGS", "--xla_other=1")
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    assert not use_wide_vectors()
    assert os.environ["XLA_FLAGS"] == "--xla_other=1"
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    assert use_wide_vectors()
    assert os.environ["XLA_FLAGS"] == f"--xla_other=1 {WIDE_VECTORS}"
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_prefer_vector_width=256")
    assert not use_wide_vectors()
    assert os.environ["XLA_FLAGS"] == "--xla_cpu_prefer_vector_width=256"
