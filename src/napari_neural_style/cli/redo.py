"""Paint a picture again from its own recipe, and say whether it is the same."""

import argparse
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from napari_neural_style.cli.content import Content
from napari_neural_style.cli.options import check_distinct
from napari_neural_style.cli.progress import Progress
from napari_neural_style.cli.signals import StopSignals
from napari_neural_style.images import check_output, read_image, to_rgb, to_uint8, write_image
from napari_neural_style.images.metadata import read_metadata
from napari_neural_style.images.stack_files import open_stack
from napari_neural_style.images.views import View
from napari_neural_style.record import Record
from napari_neural_style.redo import compare, prepare

if TYPE_CHECKING:
    from napari_neural_style.transfer.engine import StyleTransfer

NOT_THE_SAME = 1

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
        help="Picture with its recipe inside: .png, .tif or .jpg. Of a recipe in a JSON file, the "
        "picture is painted, and there is nothing to compare it with.",
    )
    parser.add_argument(
        "images",
        nargs="*",
        metavar="CONTENT STYLE",
        type=Path,
        help="What it was painted from: the content, its styles, then images that the run was "
        "changed to. What is not given is looked for by the names in the recipe, beside FILE, in "
        "the current folder and in those of --search; only what has the same pixels is used.",
    )
    parser.add_argument(
        "-o", "--out", metavar="OUT", type=Path, help="Write what was painted again."
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
    record = Record.from_dict(data, arguments.weights, str(path))
    painted = None if path.suffix.lower() == ".json" else read_image(path)
    _check_out(arguments, painted)
    names = {name: data[name] for name in _NAMES if name in data}
    found = _find_all(record, names, arguments)
    with StopSignals() as signals, same_threads(record):
        images = {digest: image.rgb for digest, image in found.items()}
        transfer = prepare(record, images, arguments.device)
        signals.stop = transfer.stop
        with Progress(transfer, arguments.quiet) as progress:
            for update in transfer:
                progress.show(update)
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
        _say(arguments, f"Painted again; there is no picture in {path} to compare it with.")
        return 0
    verdict = compare(_as_stored(picture, painted, path), painted, transfer.others)
    _say(arguments, f"{path}: {verdict}")
    return 0 if verdict.as_stated else NOT_THE_SAME


def _check_out(arguments: argparse.Namespace, painted: NDArray[Any] | None) -> None:
    """Find out before the run whether its result can be written."""
    out = arguments.out
    if out is None:
        if painted is None:
            raise ValueError(f"{arguments.picture} is a recipe alone: give -o OUT to paint to.")
        return
    check_output(out)
    check_distinct([arguments.picture, *arguments.images], [out])


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


def _say(arguments: argparse.Namespace, message: str) -> None:
    if not arguments.quiet:
        print(message)


# --------------------------------------------------------------------- the images


@dataclass
class _Image:
    """An image of a file, as a run was given it."""

    path: Path
    rgb: NDArray[Any]
    view: View | None = None
    array: Any = None
    own_colors: bool = True

    def develop(
        self, image: NDArray[np.float32], one_channel: bool, mask: NDArray[Any] | None
    ) -> NDArray[Any]:
        """Make of what was painted a picture such as the file's."""
        if self.view is not None:
            return self.view.develop(self.view.values(self.array), image, mask)
        if not self.own_colors and not one_channel:
            return image
        return Content(self.path, "intensity" if one_channel else "rgb").finish(image, mask)


def _find_all(
    record: Record, names: dict[str, Any], arguments: argparse.Namespace
) -> dict[str, _Image]:
    """Return all images of a run by their hashes, from files that were given or found."""
    wanted = record.images
    roles = [record.content, *record.styles]
    roles += [digest for digest in wanted if digest not in roles]
    if len(arguments.images) > len(roles):
        raise ValueError(
            f"{arguments.images[len(roles)]} is one too many: {arguments.picture} was painted from "
            f"{len(roles)} images."
        )
    given = dict(zip(roles, arguments.images, strict=False))
    found = {}
    for digest, called in wanted.items():
        if digest in given:
            image = _matching(record, digest, given[digest])
            if image is None:
                raise ValueError(
                    f"{given[digest]} is not {called} that {arguments.picture} was painted from: "
                    "its pixels are others."
                )
        else:
            image = _search(record, digest, called, _names_of(record, digest, names), arguments)
        found[digest] = image
    return found


def _names_of(record: Record, digest: str, names: dict[str, Any]) -> list[str]:
    """Return names that a file of an image may have, without any folder."""
    views = record.named(digest)
    known: list[Any] = [*(view.file for view in views), *(view.name for view in views)]
    if digest == record.content:
        known.append(names.get("content"))
    styles = names.get("styles")
    if digest in record.styles and isinstance(styles, list) and len(styles) == len(record.styles):
        known.append(styles[record.styles.index(digest)])
    # A stranger's recipe must not lead to other folders; of any system.
    bases = [PureWindowsPath(name).name for name in known if isinstance(name, str)]
    return list(dict.fromkeys(name for name in bases if name not in ("", ".", "..")))


def _search(
    record: Record, digest: str, called: str, names: Sequence[str], arguments: argparse.Namespace
) -> _Image:
    folders = [arguments.picture.parent, Path(), *arguments.search]
    others = []
    for path in dict.fromkeys(folder / name for folder in folders for name in names):
        with suppress(OSError, ValueError):  # a name that no file can have
            if path.is_file() or path.suffix.lower() == ".zarr":
                image = _matching(record, digest, path)
                if image is not None:
                    return image
                others.append(str(path))
    if others:
        raise ValueError(
            f"{others[0]} is not {called} that {arguments.picture} was painted from: its pixels "
            "are others. Give the right file, or its folder with --search."
        )
    known = f", {names[0]}," if names else ""
    raise ValueError(
        f"There is no file of {called}{known} beside {arguments.picture}, here or in the folders "
        "of --search: give it after FILE (the content, then the styles, then what the run was "
        "changed to)."
    )


def _matching(record: Record, digest: str, path: Path) -> _Image | None:
    """Read a file as the run read it; None if it has other pixels."""
    from napari_neural_style.transfer.replay import hash_of

    error: Exception | None = None
    for read in _readings(record, digest, path):
        try:
            image = read()
            if hash_of(record, image.rgb) == digest:
                return image
        except (ValueError, OSError) as problem:
            error = error or problem
    if isinstance(error, OSError):
        raise error
    return None


def _readings(record: Record, digest: str, path: Path) -> Iterator[Callable[[], _Image]]:
    """Go through the ways to read a file: as a layer was seen, as files are, as Python does."""
    for view in record.named(digest):
        if view.rendering is not None:
            yield partial(_seen, view, path)
    yield lambda: _Image(path, Content(path, "rgb").rgb)
    yield lambda: _Image(path, to_rgb(read_image(path)), own_colors=False)


def _seen(view: View, path: Path) -> _Image:
    try:
        array: Any = read_image(path)
    except ValueError:
        array = open_stack(path).data
    if not view.fits(array):
        # Readers leave out axes of length one, or do not.
        array = np.asarray(array).squeeze() if array.ndim > len(view.shape) else array
    if view.level or not view.fits(array):
        raise ValueError(f"{path} has other axes than the layer {view.name}.")
    return _Image(path, view.colors(array), view, array)


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
