"""What the benchmarks of whole networks share: turns, peak memory, and compile times, for JAX and PyTorch alike."""

import ctypes
import statistics
import threading
import time
from collections.abc import Callable

import jax
import numpy as np

from jaxanim.cpu import keep_freed_memory

PAGE = 4096
GIB = 2**30
KEEP_MEMORY = "let PyTorch too keep the memory that it frees, as jaxanim's programs do"


class Candidate:
    """One way to compute something: `run()` returns its result once it is there.

    The first call is reported apart, as `compile_s` (for PyTorch eager it is merely the first call).
    """

    def __init__(self, run: Callable, memory: dict | None = None):
        self.run, self.memory, self.seconds = run, memory or {}, []

    def start(self):
        self.result, self.first, peak = watched(self.run)
        self.memory |= {"rise_of_resident_memory_gib": round(peak / GIB, 2)}

    def turn(self):
        begin = time.perf_counter()
        self.run()
        self.seconds.append(time.perf_counter() - begin)

    def report(self) -> dict:
        times = {"median_s": statistics.median(self.seconds), "best_s": min(self.seconds)}
        times["compile_s"] = max(0.0, self.first - times["median_s"])
        return {name: round(value, 4) for name, value in times.items()} | self.memory


def compiled(fn: Callable, *args) -> Candidate:
    """`fn(*args)` compiled by XLA, with the compiler's own figures of its memory and of its operations.

    `tflop`: floating point operations of the program as it was written, in units of 10^12, a loop's body counted once.
    """
    begin = time.perf_counter()
    lowered = jax.jit(fn).lower(*args)
    program = lowered.compile()
    seconds = time.perf_counter() - begin
    figures = memory_of(program) | {"tflop": round(lowered.cost_analysis()["flops"] / 1e12, 3)}
    candidate = Candidate(lambda: jax.block_until_ready(program(*args)), figures)
    candidate.report = lambda: Candidate.report(candidate) | {"compile_s": round(seconds, 2)}
    return candidate


def memory_of(program) -> dict:
    """What XLA says a compiled program needs: its working memory beside arguments and result."""
    analysis = program.memory_analysis()
    return {
        "xla_temporary_gib": round(analysis.temp_size_in_bytes / GIB, 3),
        "xla_arguments_gib": round(analysis.argument_size_in_bytes / GIB, 3),
    }


def compare(
    theirs: dict[str, Candidate],
    ours: Callable[[], Candidate],
    rounds: int,
    keep_memory: bool = False,
    tolerance: float = 1e-3,
) -> dict:
    """Times and memory of PyTorch's candidates, in turns, and then of ours; ratios are theirs over ours.

    Each side gets its memory as its users' processes do: PyTorch's freed blocks go back to the system, as glibc has
    it, unless `keep_memory`; ours are kept, as jaxanim's programs ask for. `ours()` is called last: it may take the
    weights away from PyTorch, so that they exist once. Ends the program where results disagree: the times would mean
    nothing.
    """
    if keep_memory:
        keep_freed_memory()
    _run(theirs, rounds)
    give_back_freed_memory()
    keep_freed_memory()
    mine = {"jaxanim": ours()}
    give_back_freed_memory()
    _run(mine, rounds)
    expected = np.asarray(mine["jaxanim"].result, np.float64)
    for name, candidate in theirs.items():
        error = np.abs(np.asarray(candidate.result, np.float64) - expected).max() / np.abs(expected).max()
        if not error < tolerance:
            raise SystemExit(f"{name} computes something else than jaxanim: relative difference {error:.1e}")
        candidate.memory["relative_difference"] = float(f"{error:.1e}")
    report = {"PyTorch keeps freed memory": keep_memory}
    report |= {name: candidate.report() for name, candidate in (mine | theirs).items()}
    for name in theirs:
        report[f"{name} over jaxanim"] = round(report[name]["median_s"] / report["jaxanim"]["median_s"], 2)
    return report


def _run(candidates: dict[str, Candidate], rounds: int) -> None:
    for candidate in candidates.values():
        candidate.start()
    for _ in range(rounds):
        for candidate in candidates.values():
            candidate.turn()


def watched(run: Callable):
    """(result, seconds, largest rise of the process's resident memory in bytes) of one call."""
    start, peak, done = resident(), [0], threading.Event()

    def watch():
        while not done.wait(0.02):
            peak[0] = max(peak[0], resident() - start)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    begin = time.perf_counter()
    result = run()
    seconds = time.perf_counter() - begin
    done.set()
    thread.join()
    return result, seconds, max(peak[0], resident() - start)


def give_back_freed_memory() -> None:
    """Hands what has been freed inside the allocator's heap to the system; only where glibc is.

    Not what is free at its top, whose addresses `keep_freed_memory` has advised to be huge pages.
    """
    try:
        ctypes.CDLL(None).malloc_trim(ctypes.c_size_t(2**62))
    except (AttributeError, OSError, TypeError):
        return


def resident() -> int:
    """Bytes of this process that are in memory."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * PAGE
