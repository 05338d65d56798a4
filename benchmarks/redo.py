"""How far a picture moves when it is painted again by other means, and by other settings.

    python benchmarks/redo.py [--folder FOLDER] [--preset default …]

The means are those of other machines: another number of threads, the instructions of older
processors, half the digits. Each process is told of them by its environment, and its pictures
are kept in the folder, with which a later call goes on.
"""

import argparse
import itertools
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.float32]

CONTENTS = ("cells", "actin", "watercolour", "pointillism", "stained_glass")
STYLES = ("impasto", "woodcut", "mosaic", "stained_glass", "watercolour")
SIZES = (96, 112, 96, 128, 144)
PRESETS = ("fast", "default", "series-adam", "gatys")

FIRST = "one thread"
MEANS: dict[str, dict[str, str]] = {
    FIRST: {},
    "two threads": {"OMP_NUM_THREADS": "2"},
    "AVX2": {
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    },
    "SSE 4": {
        "ATEN_CPU_CAPABILITY": "default",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
    },
}
FROM_NOISE = "noise"
OTHERS: dict[str, dict[str, Any]] = {
    "bfloat16": {"precision": "bfloat16"},
    "strength 45": {"strength": 45},
    "strength 55": {"strength": 55},
    FROM_NOISE: {"init": "noise"},
    "noise, other seed": {"init": "noise", "seed": 1},
}


def content(name: str, size: int) -> Picture:
    """Return a micrograph, or a picture that was drawn, at some size."""
    from napari_neural_style.artwork import draw
    from napari_neural_style.artwork.fluorescence import expose
    from napari_neural_style.images import resized, to_rgb

    if name in ("cells", "actin"):
        counts = expose(256, np.random.default_rng(0)).astype(np.float32)
        low, high = np.percentile(counts, (1, 99.8), axis=(1, 2))[..., None, None]
        unit = np.clip((counts - low) / (high - low), 0, 1).astype(np.float32)
        picture = np.moveaxis(unit, 0, -1) if name == "cells" else to_rgb(unit[1])
    else:
        picture = to_rgb(draw(name, 256))
    return resized(picture, (size, size))


def work(preset: str, folder: Path, names: list[str]) -> None:
    """Paint the pairs by the means of this process, but for what is there."""
    from napari_neural_style import StyleTransfer
    from napari_neural_style.settings import strength_to_weight

    for name, pair in itertools.product(names, range(len(SIZES))):
        file = folder / f"{preset}, {pair}, {name}.npy"
        if file.exists():
            continue
        overrides: dict[str, Any] = {"precision": "float32", **OTHERS.get(name, {})}
        if strength := overrides.pop("strength", None):
            overrides["style_weight"] = strength_to_weight(strength, preset)
        size = SIZES[pair]
        transfer = StyleTransfer(
            content(CONTENTS[pair], size),
            content(STYLES[pair], size),
            preset,
            **{"scales": (size,)} if preset not in ("fast", "default") else {},
            **overrides,
            device="cpu",
        )
        np.save(file, transfer.run())


def paint(preset: str, folder: Path) -> None:
    """Paint all pairs by all means, in a process for each."""
    for names, means in (
        *(([name], means) for name, means in MEANS.items()),
        ([*OTHERS], {}),
    ):
        environment = {**os.environ, "OMP_NUM_THREADS": "1", **means}
        arguments = ["--work", preset, "--folder", str(folder), *names]
        subprocess.run([sys.executable, __file__, *arguments], env=environment, check=True)


def rows(preset: str, folder: Path) -> Iterator[str]:
    """Return lines of a table in Markdown, of what `redo` tells of the pairs."""
    from napari_neural_style.redo import compare

    def read(name: str) -> dict[int, Picture]:
        files = {pair: folder / f"{preset}, {pair}, {name}.npy" for pair in range(len(SIZES))}
        return {pair: np.load(file) for pair, file in files.items() if file.exists()}

    for name in (*list(MEANS)[1:], *OTHERS):
        if name == FROM_NOISE:
            continue
        before, after = read(FROM_NOISE if "seed" in name else FIRST), read(name)
        verdicts = [compare(after[pair], before[pair]) for pair in before.keys() & after.keys()]
        if verdicts:
            means, details = ([getattr(v, part) for v in verdicts] for part in ("mean", "detail"))
            lightest = max(verdict.colour for verdict in verdicts)
            colours, finest = (max(v.parts[i] for v in verdicts) for i in (0, 1))
            yield (
                f"| {preset} | {name} | {len(verdicts)} | {np.median(means):.1%} | "
                f"{min(means):.1%} to {max(means):.1%} | "
                f"{min(details):.2%} to {max(details):.2%} | {lightest:.1%} | "
                f"{finest:.0%} | {colours:.1%} |"
            )


def main() -> None:
    """Paint what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "redo")
    parser.add_argument("--preset", nargs="+", default=PRESETS)
    parser.add_argument("--work", metavar="PRESET", help=argparse.SUPPRESS)
    parser.add_argument("names", nargs="*", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    arguments.folder.mkdir(exist_ok=True)
    if arguments.work:
        work(arguments.work, arguments.folder, arguments.names)
        return
    print("| preset | by | pairs | median | distance | detail | colour |", end="")
    print(" a part's detail | a part's colour |")
    print("|---|---|---|---|---|---|---|---|---|")
    for preset in arguments.preset:
        paint(preset, arguments.folder)
        print("\n".join(rows(preset, arguments.folder)), flush=True)


if __name__ == "__main__":
    main()
