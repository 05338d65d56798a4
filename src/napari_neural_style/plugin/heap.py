"""Memory that was freed, given back to the system."""

import ctypes
import sys


def give_back() -> None:
    """Let malloc give back what it keeps of freed memory, in any thread.

    glibc has several heaps, for threads that want memory at the same time, and returns only
    the end of each: a viewer keeps hundreds of megabytes after runs of various sizes. Other
    systems return more by themselves; there nothing happens.
    """
    # musl has no such function.
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)
