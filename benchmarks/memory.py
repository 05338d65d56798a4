"""Peak memory of whole runs, watched from outside the process that makes them.

    python benchmarks/memory.py [--sizes 512 1024 2048 4096] [--steps 3] [--precision auto]
    python benchmarks/memory.py --sizes 2048 --steps 2 --planes 1 100

Beside it stands what ``StyleTransfer.estimate`` promises, and the time of a step. With
``--planes``, lazy stacks of so many planes are painted instead.
"""

import argparse
import subprocess
import sys
import time

import psutil

_RUN = """
import sys, time
import numpy as np
from napari_neural_style import StyleTransfer
size, steps, precision = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
rng = np.random.default_rng(0)
content = rng.random((size, size, 3), dtype=np.float32)
style = rng.random((512, 512, 3), dtype=np.float32)
transfer = StyleTransfer(content, style, scales=(size,), steps=steps, precision=precision)
del content
estimate = transfer.estimate()
times = [time.perf_counter() for _ in transfer]
assert np.isfinite(transfer.result).all()
print(estimate.memory, min(b - a for a, b in zip(times, times[1:])))
"""

# Cells that drift, each plane computed when it is asked for.
_STACK = """
import sys
import dask.array
import numpy as np
from napari_neural_style.stacks import StackTransfer
size, steps, precision, planes = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4])

def plane(block_info):
    t = block_info[None]["array-location"][0][0]
    y, x = np.mgrid[:size, :size] * (8 * np.pi / size)
    values = 30_000 * (1 + np.sin(x + 0.05 * t) * np.cos(y))
    return values.astype(np.uint16)[None]
chunks = ((1,) * planes, size, size)
stack = dask.array.map_blocks(plane, dtype=np.uint16, chunks=chunks)
style = np.random.default_rng(0).random((512, 512, 3), dtype=np.float32)
transfer = StackTransfer(
    stack, style, scales=(size,), steps=steps, precision=precision, client="here"
)
for update in transfer:
    if update.error:
        raise SystemExit(update.error)
assert transfer.done == planes and transfer.result.shape == (planes, size, size, 3)
"""


def watch(script: str, *arguments: object) -> tuple[int, str]:
    """Peak resident bytes of a process, and what it printed."""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        watched, peak = psutil.Process(child.pid), 0
        while child.poll() is None:
            peak = max(peak, watched.memory_info().rss)
            time.sleep(0.02)
        assert child.stdout is not None
        printed = child.stdout.read()
    if child.returncode:
        raise SystemExit(f"The run ended with status {child.returncode}.")
    return peak, printed


def run(size: int, steps: int, precision: str) -> tuple[int, int, float]:
    """Peak resident bytes of a run, its estimate, and the seconds of a step."""
    peak, printed = watch(_RUN, size, steps, precision)
    estimate, seconds = printed.split()
    return peak, int(estimate), float(seconds)


def run_stacks(sizes: list[int], numbers: list[int], steps: int, precision: str) -> None:
    """Measure stacks and print."""
    print("size    planes    peak GB    s/plane")
    for size in sizes:
        for number in numbers:
            begun = time.monotonic()
            peak, _ = watch(_STACK, size, steps, precision, number)
            seconds = (time.monotonic() - begun) / number
            print(f"{size:4d} {number:9d} {peak / 2**30:10.2f} {seconds:10.1f}", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[512, 1024, 2048, 4096])
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--planes", type=int, nargs="+")
    options = parser.parse_args()
    if options.planes:
        run_stacks(options.sizes, options.planes, options.steps, options.precision)
        return
    print("size    peak GB    estimated GB    s/step    microseconds/pixel")
    for size in options.sizes:
        peak, estimate, seconds = run(size, options.steps, options.precision)
        print(
            f"{size:4d} {peak / 2**30:10.2f} {estimate / 2**30:15.2f} {seconds:9.2f}"
            f" {seconds / size**2 * 1e6:21.2f}"
        )


if __name__ == "__main__":
    main()
