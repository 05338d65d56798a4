"""What the C library does with the memory of large tensors and images that were freed."""

import ctypes
import functools
import sys
from typing import Final

# Options of the mallopt of GNU's library: the largest block that is kept as it is freed, at its
# most, and how much is kept at the end of a heap.
_MMAP_THRESHOLD: Final = -3
_LARGEST_KEPT: Final = 32 << 20
_TRIM_THRESHOLD: Final = -1
_MOST_AT_END: Final = 64 << 20
# From a block of this size on it looks, as the block is freed, at how much is kept at the end.
_LOOKED_AT: Final = 128 << 10


@functools.cache
def _glibc() -> ctypes.CDLL | None:
    """GNU's C library, if it is the one in use."""
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    if not hasattr(library, "malloc_trim"):  # as musl's
        return None
    assert library is not None
    library.malloc.restype = ctypes.c_void_p
    library.free.argtypes = [ctypes.c_void_p]
    return library


@functools.cache
def keep_freed() -> None:
    """Have what comes and goes use the same memory, where that can be.

    GNU's C library gives large blocks back to the system as they are freed, and to take them
    again costs more than what is done in them. Others keep them by themselves.
    """
    glibc = _glibc()
    if glibc is not None:
        glibc.mallopt(_MMAP_THRESHOLD, _LARGEST_KEPT)
        glibc.mallopt(_TRIM_THRESHOLD, _MOST_AT_END)


def give_back() -> None:
    """Give the system what is kept of freed memory, where that can be; in the thread that used it.

    GNU's C library has several heaps, for threads that want memory at the same time: a viewer
    keeps hundreds of megabytes after runs of various sizes. ``malloc_trim`` returns what lies
    between the blocks in use, in all of them, but the end of the first heap alone. That of
    this thread's is returned as something is freed there while less may be kept.
    """
    glibc = _glibc()
    if glibc is not None:
        keep_freed()  # for what is chosen here stays so
        glibc.mallopt(_TRIM_THRESHOLD, _LOOKED_AT)
        glibc.free(glibc.malloc(_LOOKED_AT))
        glibc.mallopt(_TRIM_THRESHOLD, _MOST_AT_END)
        glibc.malloc_trim(0)
