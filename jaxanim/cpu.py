"""What jaxanim's programs ask of a CPU and its allocator before they begin."""

import ctypes
import importlib.metadata
import importlib.util
import mmap
import os

import jaxlib

WIDE_VECTORS = "--xla_cpu_prefer_vector_width=512"
# Releases from this one on have not been tried; XLA ends a program that names a flag it does not know.
UNTRIED_JAXLIB = (0, 13)

# Parameters of mallopt, from glibc's malloc.h, and what they are set to.
TRIM_THRESHOLD, TOP_PAD, MMAP_MAX, ARENA_MAX = -1, -2, -4, -8
SETTINGS = {TRIM_THRESHOLD: -1, TOP_PAD: 2**26, MMAP_MAX: 0, ARENA_MAX: 1}


def prepare_cpu() -> None:
    """Both settings below; for programs, before their first use of JAX. Beside an accelerator neither: there the
    threads of a host, in one arena, would only wait for each other to allocate."""
    if not beside_accelerator():
        keep_freed_memory()
    use_wide_vectors()


def beside_accelerator() -> bool:
    """Whether JAX has a plugin for an accelerator and may use it."""
    plugin = importlib.util.find_spec("libtpu") or importlib.metadata.entry_points(group="jax_plugins")
    return bool(plugin) and os.environ.get("JAX_PLATFORMS") != "cpu"


def use_wide_vectors() -> bool:
    """Lets what XLA compiles for the CPU use vectors of 512 bits, where the CPU has them; XLA prefers 256.

    A flag in XLA_FLAGS, which JAX reads at its first use. Returns whether it is there: it is not added beside an
    accelerator's plugin, which need not know it, unless JAX_PLATFORMS is "cpu", nor for an untried jaxlib, and what
    the user has set stays.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if "xla_cpu_prefer_vector_width" in flags:
        return WIDE_VECTORS in flags
    if beside_accelerator():
        return False
    if tuple(map(int, jaxlib.__version__.split(".")[:2])) >= UNTRIED_JAXLIB:
        return False
    os.environ["XLA_FLAGS"] = f"{flags} {WIDE_VECTORS}".strip()
    return True


def keep_freed_memory() -> bool:
    """Lets this process keep the memory that it frees, for the next allocation, and have it in huge pages; for
    programs, at their start.

    glibc gives large blocks back to the system at once. A network's working memory, gigabytes in a call, is then
    mapped and cleared anew, page by page, in every step; and pages of 4 KiB are more than a CPU can keep track of.
    Returns whether it could be set: only where glibc is.
    """
    try:
        libc = ctypes.CDLL(None)
        done = [libc.mallopt(ctypes.c_int(name), ctypes.c_int(value)) for name, value in SETTINGS.items()]
    except (AttributeError, OSError, TypeError):
        return False
    _ask_for_huge_pages(libc)
    return all(done)


def _ask_for_huge_pages(libc) -> None:
    """Advises the kernel to back the heap to come by huge pages: addresses are reserved, no memory is taken.

    A freed block stays part of the heap under `SETTINGS`, and with it the advice on its addresses.
    """
    if not hasattr(mmap, "MADV_HUGEPAGE"):
        return
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    libc.free.restype, libc.free.argtypes = None, [ctypes.c_void_p]
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    size = os.sysconf("SC_PHYS_PAGES") * mmap.PAGESIZE // 4 * 3
    block = libc.malloc(size)
    if not block:  # the system does not promise that much: pages stay as they are
        return
    start = -(-block // mmap.PAGESIZE) * mmap.PAGESIZE
    libc.madvise(start, (block + size - start) // mmap.PAGESIZE * mmap.PAGESIZE, mmap.MADV_HUGEPAGE)
    libc.free(block)
