"""A run of ours, every picture of it kept with its time.

    python benchmarks/ours.py CONTENT STYLE OUT.npz

As a program it runs the default preset; time then counts from the start of the process.
"""

import sys
import time
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil
from curves import Recording

from napari_neural_style import StyleTransfer
from napari_neural_style.images import read_image


def run(
    content: npt.NDArray[Any], style: npt.NDArray[Any], recording: Recording, **settings: Any
) -> None:
    """Run to the end, each step's picture kept."""
    transfer = StyleTransfer(content, style, **settings)

    def picture() -> npt.NDArray[np.float32]:
        assert transfer.result is not None
        return transfer.result

    for _ in transfer:
        recording.show(picture)


def load(path: str) -> Recording:
    """Take back what this program wrote."""
    recording = Recording()
    with np.load(path) as file:
        recording.times = file["times"].tolist()
        names = map(str, range(len(recording.times)))
        recording.pictures = [file.get(name) for name in names]
    return recording


def main() -> None:
    """Run the default and write its pictures."""
    age = time.time() - psutil.Process().create_time()
    recording = Recording(time.perf_counter() - age)
    content, style, output = sys.argv[1:]
    run(read_image(content), read_image(style), recording, device="cpu")
    kept: dict[str, Any] = {"times": np.array(recording.times)}
    kept |= {str(i): image for i, image in enumerate(recording.pictures) if image is not None}
    np.savez(output, **kept)


if __name__ == "__main__":
    main()
