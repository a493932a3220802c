"""The same allocator settings for all that is compared: memory that is freed stays with the process.

glibc may give large blocks back to the system as soon as they are free, and a tool whose next pass then gets fresh
pages pays for its predecessor's sizes. Measured on ConvLens alone this changes nothing.
"""

import ctypes
import sys

# The parameters of mallopt(3), as malloc.h numbers them.
TRIM_THRESHOLD, TOP_PAD, MMAP_THRESHOLD, ARENA_MAX = -1, -2, -3, -8
MEGABYTE = 1 << 20


def keep_memory() -> bool:
    """Let malloc keep what is freed, up to 2 GB, for all threads together; True where that could be set.

    Does nothing where the C library is not glibc.
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
