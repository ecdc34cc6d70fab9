"""Freed memory is used again rather than mapped and cleared anew."""

import subprocess
import sys

import pytest

PROGRAM = """
import resource
import numpy as np
from jaxanim.host_memory import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.full(2**25, 1.0)  # 256 MiB, freed at once
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

if {keep}:
    print(keep_freed_memory())
print(*[faults() for _ in range(4)])
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
