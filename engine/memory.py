"""Keep the memory that large values leave, in a process that is ours.

glibc gives large blocks back to the system as soon as they are free, and the next pass gets fresh pages for each
of its activations: zeroing them costs more than all gates together. A process that does little else keeps them.
"""

import ctypes
import sys

# The parameters of mallopt(3), as malloc.h numbers them.
TRIM_THRESHOLD, TOP_PAD, MMAP_THRESHOLD, ARENA_MAX = -1, -2, -3, -8
MEGABYTE = 1 << 20


def keep_memory() -> bool:
    """Let malloc keep what is freed, up to 2 GB, for all threads together; True where that could be set.

    For whole processes (the demo, a benchmark, a command), never for a library: it is everybody's malloc. Does
    nothing where the C library is not glibc.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    settings = {
        MMAP_THRESHOLD: 1024 * MEGABYTE,
        TRIM_THRESHOLD: 2047 * MEGABYTE,
        TOP_PAD: 64 * MEGABYTE,
        ARENA_MAX: 1,
    }
    done = [mallopt(parameter, value) == 1 for parameter, value in settings.items()]
    return all(done)
