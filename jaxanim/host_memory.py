"""How a program on the CPU gets its memory."""

import ctypes

# Parameters of mallopt, from glibc's malloc.h, and what they are set to.
TRIM_THRESHOLD, TOP_PAD, MMAP_MAX, ARENA_MAX = -1, -2, -4, -8
SETTINGS = {TRIM_THRESHOLD: -1, TOP_PAD: 2**26, MMAP_MAX: 0, ARENA_MAX: 1}


def keep_freed_memory() -> bool:
    """Lets this process keep the memory that it frees, for the next allocation; for programs, at their start.

    glibc gives large blocks back to the system at once. A network's working memory, gigabytes in a call, is then
    mapped and cleared anew, page by page, in every step. Returns whether it could be set: only where glibc is.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    done = [mallopt(ctypes.c_int(name), ctypes.c_int(value)) for name, value in SETTINGS.items()]
    return all(done)
