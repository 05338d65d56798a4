"""Paint a stack again from its own recipe, and say whether its planes are the same."""

import argparse
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_neural_style.cli.bar import make_bar
from napari_neural_style.cli.channels import blended
from napari_neural_style.cli.originals import find, given_images, places
from napari_neural_style.cli.signals import StopSignals
from napari_neural_style.cli.verdict import check_replayable, conclude
from napari_neural_style.images.stack_files import (
    TIFF,
    ZARR,
    StackFile,
    check_codecs,
    check_metadata,
    keep_calibration,
    open_stack,
)
from napari_neural_style.images.tiff_pages import check_pages
from napari_neural_style.redo import compare_planes

if TYPE_CHECKING:
    from napari_neural_style.stacks.axes import Index
    from napari_neural_style.stacks.record import StackRecord
    from napari_neural_style.stacks.replay import StackReplay

_NAMES = ("content", "styles")

PlaneOf = Callable[["Index"], NDArray[Any]]


def run_stack(arguments: argparse.Namespace, data: Mapping[str, Any]) -> int:
    """Paint the planes, compare them one by one, and say what came of it.

    Parameters
    ----------
    arguments
        Of the command.
    data
        The recipe.
    """
    from napari_neural_style.stacks.record import StackRecord
    from napari_neural_style.transfer.replay import same_threads

    path = arguments.picture
    record = StackRecord.from_dict(data, arguments.weights, str(path))
    with ExitStack() as opened:
        painted = _painted(path, record, opened)
        _check_out(arguments, painted)
        signals = opened.enter_context(StopSignals())
        opened.enter_context(same_threads(record.machine))
        replay = _prepare(record, {name: data[name] for name in _NAMES if name in data}, arguments)
        signals.stop = replay.stop
        if path.is_dir():
            _check_layout(path, replay)
        _paint(replay, arguments)
        if signals.status:
            return signals.status
        if painted is None:
            return conclude(arguments, None)
        return conclude(arguments, compare_planes(_pairs(replay, record, painted), replay.others))


def _check_out(arguments: argparse.Namespace, painted: PlaneOf | None) -> None:
    """Find out before the run whether its result can be written."""
    out = arguments.out
    if out is not None and out.suffix.lower() not in ZARR:
        raise ValueError(
            f"Cannot write {out}: a stack is painted again to a folder {out.stem}.zarr."
        )
    check_replayable(arguments, painted is not None)


def _painted(path: Path, record: "StackRecord", opened: ExitStack) -> PlaneOf | None:
    """Return what reads a plane of the stack that was painted first; None if there is none."""
    if path.is_dir():
        import zarr

        check_metadata(path)
        array: Any = zarr.open_array(path, mode="r")
        check_codecs(path, array)
        return partial(_plane_of, path, array, record)
    if path.suffix.lower() not in TIFF:
        return None
    from tifffile import TiffFile

    pages = opened.enter_context(TiffFile(path))
    check_pages(pages)
    series, counts = pages.series[0], (len(record.written), *record.axes.counts[1:])

    def plane(index: "Index") -> NDArray[Any]:
        place = (record.written.index(index[0]), *index[1:])
        page = series.pages[int(np.ravel_multi_index(place, counts))]
        if page is None:
            raise ValueError(f"{path} has no page for the plane {record.axes.named(index)}.")
        return np.asarray(page.asarray())

    return plane


def _plane_of(path: Path, array: Any, record: "StackRecord", index: "Index") -> NDArray[Any]:
    try:
        return np.asarray(array[index])
    except Exception as error:  # what its codecs raise is not documented
        raise ValueError(
            f"Cannot read the plane {record.axes.named(index)} of {path}: its file is damaged "
            f"({error})."
        ) from error


def _check_layout(path: Path, replay: "StackReplay") -> None:
    """Raise before anything is painted if its planes could not be compared, or are huge."""
    import zarr

    theirs, ours = zarr.open_array(path, mode="r"), replay.result
    if theirs.shape != ours.shape or theirs.dtype != ours.dtype:
        raise ValueError(
            f"{path} has {theirs.dtype} of shape {theirs.shape}, and by its recipe it is "
            f"{ours.dtype} of {ours.shape}: they cannot be compared."
        )
    if math.prod(theirs.chunks) > math.prod(ours.chunks):
        raise ValueError(f"{path} has chunks of more than a plane, as no stack of ours.")


def _pairs(
    replay: "StackReplay", record: "StackRecord", painted: PlaneOf
) -> Iterator[tuple[str, NDArray[Any] | None, NDArray[Any]]]:
    """Read planes of both, one by one."""
    for index in record.indices:
        again = np.asarray(replay.result[index]) if index in replay.finished else None
        yield record.axes.named(index), again, painted(index)


def _paint(replay: "StackReplay", arguments: argparse.Namespace) -> None:
    with make_bar("Painting", replay.done, replay.total, arguments.quiet) as bar:
        for update in replay:
            if update.error or update.note:
                bar.write(update.error or f"{replay.axes.named(update.plane)}: {update.note}")
            bar.set_postfix_str(replay.axes.named(update.plane), refresh=False)
            bar.update(update.done - bar.n)


# --------------------------------------------------------------- what it is made from


def _prepare(
    record: "StackRecord", names: dict[str, Any], arguments: argparse.Namespace
) -> "StackReplay":
    from napari_neural_style.stacks.replay import StackReplay

    file, *files = given_images(arguments, 1 + len(record.styles))
    stack = _find_stack(record, names, file, arguments)
    styles = [
        find(record, digest, f"the style {number}", file, names, arguments).rgb
        for number, (digest, file) in enumerate(zip(record.styles, files, strict=True), start=1)
    ]
    mask = None if arguments.mask is None else open_stack(arguments.mask).data
    replay = StackReplay(
        record,
        stack.data,
        styles,
        mask=mask,
        out=arguments.out,
        device=arguments.device,
        names=names,
    )
    for _ in replay.check():
        pass
    with suppress(ValueError):
        keep_calibration(replay.result, open_stack(arguments.picture).calibration)
    return replay


def _find_stack(
    record: "StackRecord", names: dict[str, Any], given: Path | None, arguments: argparse.Namespace
) -> StackFile:
    """Open the stack, by its name if none is given."""
    if given is not None:
        return _opened(given, record)
    for path in places([names.get("content")], arguments):
        with suppress(OSError, ValueError):
            stack = _opened(path, record)
            if tuple(stack.data.shape) == record.axes.shape:
                return stack
    raise ValueError(
        f"There is no file of the stack that {arguments.picture} was painted from, beside it, here "
        "or in the folders of --search: give it after FILE, then the styles."
    )


def _opened(path: Path, record: "StackRecord") -> StackFile:
    """Open a stack; with its channels blended, if they were."""
    stack = open_stack(path)
    if not record.channel_limits:
        return stack
    return blended(path, stack, list(record.channel_limits))
