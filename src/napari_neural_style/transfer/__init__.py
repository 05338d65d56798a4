"""The engine: neural style transfer on torch, without Qt or napari."""

import os

# GNU's OpenMP, which torch brings along on Linux, reads this when it is loaded. Its threads wait
# for each other by counting, by default for milliseconds, and hold up the very one they wait for
# where another program has its core: a step takes four times as long. With a sixtieth of that
# it takes twice as long there, and no longer alone.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "5000")
