"""Paint a picture again from its own recipe, and say whether it is the same."""

import argparse
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from napari_neural_style.cli.originals import find_all
from napari_neural_style.cli.progress import Progress
from napari_neural_style.cli.signals import StopSignals
from napari_neural_style.cli.verdict import check_replayable, conclude
from napari_neural_style.images import check_output, read_image, to_uint8, write_image
from napari_neural_style.images.metadata import read_metadata
from napari_neural_style.record import Record
from napari_neural_style.redo import compare, prepare

if TYPE_CHECKING:
    from napari_neural_style.transfer.engine import StyleTransfer

_NAMES: Final = ("content", "styles", "style", "mask", "style_masks", "init", "output", "views")
_FORMATS: Final = (".png", ".tif", ".tiff", ".jpg", ".jpeg")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the picture, its images, and where to look for them."""
    parser.usage = "%(prog)s FILE [CONTENT STYLE ...] [-o OUT] [options]"
    parser.epilog = (
        "exit status:\n"
        "  0 bit-identical, or as near as stated where another machine or version painted it;\n"
        "  1 not the same; 2 bad usage or bad input; 130 interrupted."
    )
    parser.add_argument(
        "picture",
        metavar="FILE",
        type=Path,
        help="Picture with its recipe inside: .png, .tif or .jpg; or a stack, .zarr or OME-TIFF. "
        "Of a recipe in a JSON file, the picture is painted, and there is nothing to compare it "
        "with.",
    )
    parser.add_argument(
        "images",
        nargs="*",
        metavar="CONTENT STYLE",
        type=Path,
        help="What it was painted from: the content or stack, its styles, then images that the "
        "run was changed to. What is not given is looked for by the names in the recipe, beside "
        "FILE, in the current folder and in those of --search; only what has the same pixels is "
        "used.",
    )
    parser.add_argument(
        "-o",
        "--out",
        metavar="OUT",
        type=Path,
        help="Write what was painted again; a stack, to .zarr.",
    )
    parser.add_argument(
        "--search",
        metavar="FOLDER",
        type=Path,
        nargs="+",
        default=[],
        help="Folders to look for the images in.",
    )
    parser.add_argument(
        "--mask",
        metavar="FILE",
        help="Of a stack, the masks of its planes, if each had one of its own.",
    )
    parser.add_argument(
        "--weights",
        metavar="FILE",
        help="Weights, if FILE was painted with those of a file: no recipe chooses what is read.",
    )
    parser.add_argument(
        "--device",
        metavar="VALUE",
        help="Instead of the device that it was painted on: auto, cpu, cuda, cuda:N or mps.",
    )
    parser.add_argument("--quiet", action="store_true", help="Print nothing but errors.")


def run(arguments: argparse.Namespace) -> int:
    """Paint, compare and say what came of it."""
    from napari_neural_style.transfer.replay import same_threads

    path = arguments.picture
    data = read_metadata(path)
    if isinstance(data, Mapping) and data.get("axes"):
        from napari_neural_style.cli.redo_stack import run_stack

        return run_stack(arguments, data)
    record = Record.from_dict(data, arguments.weights, str(path))
    painted = None if path.suffix.lower() == ".json" else read_image(path)
    _check_out(arguments, painted)
    names = {name: data[name] for name in _NAMES if name in data}
    found = find_all(record, names, arguments)
    with StopSignals() as signals, same_threads(record.machine):
        images = {digest: image.rgb for digest, image in found.items()}
        transfer = prepare(record, images, arguments.device)
        if painted is not None and not record.changes:
            _check_size(painted, [*transfer.scales, found[record.content].rgb.shape[:2]], path)
        signals.stop = transfer.stop
        with Progress(transfer, arguments.quiet) as progress:
            for update in transfer:
                progress.show(update)
        others = transfer.others  # with the threads that it was painted with
    if signals.status:
        return signals.status
    image = transfer.result
    if image is None:
        raise ValueError(f"Cannot redo {path}: its recipe has no steps.")
    content = found[record.content]
    one_channel = names.get("output") == "intensity" if painted is None else painted.ndim == 2
    picture = content.develop(image, one_channel, transfer.settings.mask)
    if arguments.out is not None:
        _write(arguments.out, picture, transfer, names, painted)
    if painted is None:
        return conclude(arguments, None)
    return conclude(arguments, compare(_as_stored(picture, painted, path), painted, others))


def _check_out(arguments: argparse.Namespace, painted: NDArray[Any] | None) -> None:
    """Find out before the run whether its result can be written."""
    if arguments.out is not None:
        check_output(arguments.out)
    check_replayable(arguments, painted is not None)


def _check_size(painted: NDArray[Any], sizes: list[tuple[int, int]], path: Path) -> None:
    """Find out before the run whether its result could be compared; either way round."""
    height, width = painted.shape[:2]
    if sorted((height, width)) not in map(sorted, sizes):
        raise ValueError(
            f"{path} has {width} x {height} pixels, and a run by its recipe makes "
            f"{sizes[-2][1]} x {sizes[-2][0]}: it was resized or cut since."
        )


def _write(
    out: Path,
    picture: NDArray[Any],
    transfer: "StyleTransfer",
    names: dict[str, Any],
    painted: NDArray[Any] | None,
) -> None:
    bits = None
    if picture.ndim == 3 and painted is not None and out.suffix.lower() in (".tif", ".tiff"):
        bits = min(8 * painted.itemsize, 32)
    write_image(out, picture, bits, {**transfer.provenance(), **names})


# ------------------------------------------------------------------ the comparison


def _as_stored(picture: NDArray[Any], painted: NDArray[Any], path: Path) -> NDArray[Any]:
    """Return a picture as the file of another one would hold it."""
    if picture.ndim == 2:
        return picture
    if picture.shape[2] > painted.shape[2] and path.suffix.lower() not in (".jpg", ".jpeg"):
        picture = picture[..., : painted.shape[2]]
    picture = _as_coarse(picture, painted)
    suffix = path.suffix if path.suffix.lower() in _FORMATS else ".tif"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"again{suffix}"
        write_image(file, picture, min(8 * painted.itemsize, 32))
        return read_image(file)


def _as_coarse(picture: NDArray[Any], painted: NDArray[Any]) -> NDArray[Any]:
    """Round a picture to 8 bits if that is all that the other one has, in a wider file."""
    if painted.itemsize == 1:
        return picture
    top = 1 if painted.dtype.kind == "f" else np.iinfo(painted.dtype).max
    levels = np.divide(painted, top, dtype=np.float32) * np.float32(255)
    if np.abs(levels - np.rint(levels)).max() > 1e-4:
        return picture
    coarse: NDArray[np.float32] = np.divide(to_uint8(picture), 255, dtype=np.float32)
    return coarse
