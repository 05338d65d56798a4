"""Map where a painted picture has other structures than its content."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_neural_style.cli.channels import read_pixels
from napari_neural_style.cli.content import shown_limits
from napari_neural_style.cli.options import check_distinct
from napari_neural_style.images import check_output, read_calibration, read_image, write_image
from napari_neural_style.images.drift import Drift, draw_drift, measure_drift
from napari_neural_style.images.pixels import normalize

MAP = (
    "Map of the drift: .png or .jpg, a picture with the edges lost in blue and those invented in "
    "orange; or .tif, the values, 0 where the structure is that of CONTENT, to 1."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the two images and the map."""
    parser.usage = "%(prog)s CONTENT RESULT [-o MAP]"
    parser.add_argument("content", metavar="CONTENT", help="Image that was painted.")
    parser.add_argument("result", metavar="RESULT", help="What was painted of it, at any size.")
    parser.add_argument("-o", "--out", metavar="MAP", type=Path, help=MAP)


def run(arguments: argparse.Namespace) -> int:
    """Compare the two, and tell how far they are apart."""
    out = arguments.out
    if out is not None:
        check_map(out)
        check_distinct([arguments.content, arguments.result], [out])
    print(f"{map_drift(arguments.content, arguments.result, out)}.")
    return 0


def check_map(path: Path) -> None:
    """Raise now what :func:`map_drift` would raise of the file to write."""
    check_output(path, dtype=np.float32 if _has_values(path) else None)


def map_drift(content: str | Path, result: str | Path, out: Path | None) -> Drift:
    """Compare two image files, and write the map if a file is named for it.

    Raises
    ------
    ValueError, OSError
        If they cannot be read or compared, or the map not be written.
    """
    drift = measure_drift(*_as_seen(content, result))
    if out is not None:
        # Without their folders, which are nobody's business.
        names = {"content": Path(content).name, "result": Path(result).name}
        write_image(
            out,
            drift.map if _has_values(out) else draw_drift(drift),
            metadata={"drift": {**names, **drift.summary}},
            calibration=read_calibration(result),
        )
    return drift


def _has_values(path: Path) -> bool:
    return path.suffix.lower() in (".tif", ".tiff")


def _as_seen(content: str | Path, result: str | Path) -> list[NDArray[np.float32]]:
    """Read both as colours over black; a channel of the content's dtype has its limits."""
    before, after = read_pixels(content), read_image(result)
    limits = shown_limits(before)
    alike = after.ndim == 2 and after.dtype == before.dtype
    own_limits = limits if before.ndim == 2 and alike else shown_limits(after)
    return [
        _colors(before, f"image {content}", limits),
        _colors(after, f"image {result}", own_limits),
    ]


def _colors(pixels: NDArray[Any], name: str, limits: Sequence[float] | None) -> NDArray[np.float32]:
    values, alpha = normalize(pixels, name, limits)
    colors = np.broadcast_to(values.reshape(*values.shape[:2], -1), (*values.shape[:2], 3))
    return colors if alpha is None else colors * alpha[..., np.newaxis]
