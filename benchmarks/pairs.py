"""The pairs of pictures that the benchmarks run on."""

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from napari_neural_style.images import read_image, to_rgb, to_uint8
from napari_neural_style.plugin import samples

Picture = npt.NDArray[np.uint8]

_FILES = (
    ("dancing.jpg", "picasso.jpg"),
    ("golden_gate.jpg", "starry_night.jpg"),
    ("tuebingen.jpg", "the_scream.jpg"),
)
_SAMPLES = ("histology", "cells", "cat")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Let a command line choose the pairs."""
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument(
        "--pair",
        type=Path,
        nargs=2,
        action="append",
        metavar=("CONTENT", "STYLE"),
        help="two image files; may be given several times",
    )
    chosen.add_argument(
        "--images",
        type=Path,
        metavar="FOLDER",
        help="folder with " + ", ".join("/".join(pair) for pair in _FILES),
    )


def read_pairs(options: argparse.Namespace) -> dict[str, tuple[Picture, Picture]]:
    """Contents and styles by the pair's name; without a choice, pairs of Open Sample."""
    if options.images:
        options.pair = [[options.images / name for name in names] for names in _FILES]
    if options.pair:
        return {
            f"{content.stem}-{style.stem}": (_read(content), _read(style))
            for content, style in options.pair
        }
    return {name: _sample(name) for name in _SAMPLES}


def fit(picture: Picture, size: int) -> Picture:
    """Resize a picture to a longest side in pixels."""
    height, width = picture.shape[:2]
    factor = size / max(height, width)
    return stretch(picture, max(1, round(height * factor)), max(1, round(width * factor)))


def stretch(picture: Picture, height: int, width: int) -> Picture:
    """Resize a picture to a height and a width, as the published programs do."""
    resized = Image.fromarray(picture).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(resized)


def _read(path: Path) -> Picture:
    return to_uint8(to_rgb(read_image(path), path.name))


def _sample(name: str) -> tuple[Picture, Picture]:
    (content, shown, _), (style, _, _) = getattr(samples, name)()
    return to_uint8(to_rgb(content, contrast_limits=shown.get("contrast_limits"))), style
