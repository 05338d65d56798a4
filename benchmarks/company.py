"""What a step takes beside another program that is busy: threads that wait for each other.

    python benchmarks/company.py [--sizes 96 256 512] [--precision float32] [--programs 1]

Each time alone and beside some programs that count, in a process of its own: with the engine's
setting of GNU's OpenMP (see :mod:`napari_neural_style.transfer`), and with OpenMP's own.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time

import numpy as np

from napari_neural_style import StyleTransfer

OPENMPS_OWN = "300000"
SECONDS = 6.0


def median_step(side: int, precision: str) -> float:
    """Median time of the steps that some seconds allow, in seconds."""
    content, style = np.random.default_rng(0).random((2, side, side, 3), np.float32)
    settings = {"scales": (side,), "steps": 10**6, "precision": precision, "device": "cpu"}
    transfer = StyleTransfer(content, style, **settings)
    times: list[float] = []
    while len(times) < 5 or sum(times) < SECONDS:
        start = time.perf_counter()
        next(transfer)
        times.append(time.perf_counter() - start)
    return statistics.median(times[2:])


def measured(side: int, precision: str, programs: int, environment: dict[str, str]) -> float:
    """Do that in a process of its own, beside some programs."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(programs)]
    try:
        command = [sys.executable, __file__, "--step", str(side), "--precision", precision]
        environment = {**os.environ, **environment}
        return float(
            subprocess.run(command, env=environment, capture_output=True, check=True).stdout
        )
    finally:
        for program in busy:
            program.kill()
            program.wait()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[96, 256, 512])
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--programs", type=int, default=1)
    parser.add_argument("--step", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        print(median_step(options.step, options.precision))
        return
    print("side   OpenMP's own, alone  beside   the engine's, alone  beside   (seconds a step)")
    for side in options.sizes:
        times = [
            measured(side, options.precision, programs, environment)
            for environment in ({"GOMP_SPINCOUNT": OPENMPS_OWN}, {})
            for programs in (0, options.programs)
        ]
        print(f"{side:4}   {times[0]:19.3f}  {times[1]:6.3f}   {times[2]:19.3f}  {times[3]:6.3f}")


if __name__ == "__main__":
    main()
