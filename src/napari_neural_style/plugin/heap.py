"""Memory that was freed, given back to the system."""

import ctypes
import sys
from typing import Final

# Options of glibc's mallopt, and what they are while a run goes on: the largest block that is
# kept as it is freed, and how much may be kept at the end of a heap.
_MMAP_THRESHOLD: Final = -3, 32 << 20
_TRIM_THRESHOLD: Final = -1, 64 << 20
# A block from which on glibc looks at how much that is.
_LOOKED_AT: Final = 128 << 10


def give_back() -> None:
    """Let malloc give back what it keeps of freed memory; at the end of a thread that used much.

    glibc has several heaps, for threads that want memory at the same time: a viewer keeps
    hundreds of megabytes after runs of various sizes. ``malloc_trim`` returns what lies between
    what is used, in all of them, but the end of the first heap alone; that of this thread's is
    returned when something is freed there while less may be kept. Other systems return more
    by themselves; there nothing happens.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "malloc_trim"):  # musl
        return
    libc.malloc.restype = ctypes.c_void_p
    option, kept = _TRIM_THRESHOLD
    libc.mallopt(option, _LOOKED_AT)
    libc.free(ctypes.c_void_p(libc.malloc(_LOOKED_AT)))
    libc.mallopt(option, kept)
    libc.mallopt(*_MMAP_THRESHOLD)  # which the other option has fixed
    libc.malloc_trim(0)
