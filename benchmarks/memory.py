"""Peak memory of whole runs, watched from outside the process that makes them.

    python benchmarks/memory.py [--sizes 512 1024 2048 4096] [--steps 3] [--precision auto]

Beside it stands what ``StyleTransfer.estimate`` promises, and the time of a step.
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


def run(size: int, steps: int, precision: str) -> tuple[int, int, float]:
    """Peak resident bytes of a run, its estimate, and the seconds of a step."""
    command = [sys.executable, "-c", _RUN, str(size), str(steps), precision]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        watched, peak = psutil.Process(child.pid), 0
        while child.poll() is None:
            peak = max(peak, watched.memory_info().rss)
            time.sleep(0.02)
        assert child.stdout is not None
        estimate, seconds = child.stdout.read().split()
    return peak, int(estimate), float(seconds)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[512, 1024, 2048, 4096])
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--precision", default="auto")
    options = parser.parse_args()
    print("size    peak GB    estimated GB    s/step    microseconds/pixel")
    for size in options.sizes:
        peak, estimate, seconds = run(size, options.steps, options.precision)
        print(
            f"{size:4d} {peak / 2**30:10.2f} {estimate / 2**30:15.2f} {seconds:9.2f}"
            f" {seconds / size**2 * 1e6:21.2f}"
        )


if __name__ == "__main__":
    main()
