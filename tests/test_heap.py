"""What a thread has freed goes back to the system."""

import ctypes
import subprocess
import sys

import pytest

_IN_A_THREAD = """
import ctypes, threading
import psutil
from napari_neural_style.heap import give_back, keep_freed

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
process = psutil.Process()

def resident():
    return process.memory_info().rss / 2**20

def touched(megabytes):
    block = libc.malloc(megabytes << 20)
    ctypes.memset(block, 1, megabytes << 20)
    return ctypes.c_void_p(block)

def work():
    keep_freed()
    before = resident()
    for _ in range(2):
        for block in reversed([touched(1) for _ in range(50)]):
            libc.free(block)
        libc.malloc_trim(0)
        trimmed = resident()
        give_back()
        print(trimmed - before, resident() - before)

thread = threading.Thread(target=work)
thread.start()
thread.join()
"""


@pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="not the C library of GNU"
)
def test_the_heap_of_a_thread_is_given_back_again_and_again():
    child = [sys.executable, "-c", _IN_A_THREAD]
    printed = subprocess.run(child, capture_output=True, text=True, check=True).stdout
    rounds = [[float(n) for n in line.split()] for line in printed.splitlines()]
    assert len(rounds) == 2
    for trimmed, left in rounds:
        assert trimmed > 40  # malloc_trim alone leaves it
        assert left < 5
