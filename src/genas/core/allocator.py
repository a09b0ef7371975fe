"""Keeps freed memory in the process, so that large tensors are not paged in anew at every operation.

The C library of Linux hands blocks of many megabytes back to the kernel when they are freed; the next operation then
waits for the kernel to clear the same pages again. Asking it to keep them changes no result. The environment variable
``GENAS_ALLOCATOR=system`` leaves everything as it is.
"""

import ctypes
import os
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # names of mallopt(3)


def keep_freed_memory() -> bool:
    """Asks glibc to keep freed memory; does nothing where there is no glibc or the user said no.

    Returns:
        Whether the C library took all three settings.
    """
    if os.environ.get("GENAS_ALLOCATOR") == "system" or not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False  # musl and others
    settings = (
        (_MMAP_THRESHOLD, 32 << 20),  # the largest it takes: blocks below come from the heap
        (_TRIM_THRESHOLD, (1 << 31) - 1),  # and the heap's end is not given back
        (_ARENA_MAX, 1),  # one heap for all threads: those of other threads are given back whole
    )
    taken = [bool(mallopt(name, value)) for name, value in settings]
    return all(taken)
