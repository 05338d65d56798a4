"""Paint every plane of a stack in the style of images."""

import argparse
import math
import re
import shutil
import sys
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_neural_style.cli.bar import make_bar
from napari_neural_style.cli.channels import blended
from napari_neural_style.cli.content import Content
from napari_neural_style.cli.options import (
    NO_MASK,
    PRESET_LIST,
    add_output,
    add_recipe,
    add_settings,
    check_distinct,
    chosen_settings,
    given_recipe,
    mask_files,
    read_mask,
)
from napari_neural_style.cli.signals import StopSignals
from napari_neural_style.cli.streams import say
from napari_neural_style.images import Calibration, check_writable
from napari_neural_style.images.blending import BlendedStack
from napari_neural_style.images.stack_files import (
    TIFF,
    StackFile,
    check_stack_output,
    keep_calibration,
    open_stack,
    write_ome_tiff,
)
from napari_neural_style.pace import duration
from napari_neural_style.recipe import write_recipe

if TYPE_CHECKING:
    from napari_neural_style.stacks import StackTransfer

SOME_PLANES_FAILED = 1

# In the attributes of the array: size and time of the TIFF file that was written from it; and the
# contrast limits of the channels, which a plane mended later does not change.
_WRITTEN = "tiff"
_LIMITS = "channel_limits"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the stack, the files to write and an option for every setting."""
    parser.usage = "%(prog)s STACK STYLE [STYLE ...] -o OUT [options]"
    parser.epilog = (
        "exit status:\n"
        "  0 done; 1 done but for some planes that could not be painted, which the same\n"
        "  command tries again; 2 bad usage or bad input; 130 interrupted: the same command\n"
        "  goes on where it was.\n\n" + PRESET_LIST
    )
    parser.add_argument(
        "stack",
        metavar="STACK",
        help="Stack to paint: TIFF, OME-TIFF, Zarr, OME-Zarr (its finest level), a folder of "
        "image files or, in quotes, a pattern of their names ('cells/*.png').",
    )
    parser.add_argument(
        "styles", nargs="+", metavar="STYLE", help="Image whose style is taken; several are mixed."
    )
    add_output(
        parser,
        "Result: .zarr, to which planes are written as they are finished; or .tif, an "
        "OME-TIFF of the planes asked for, written from OUT.tif.zarr when they are done. "
        "OUT.tif.zarr keeps all that is done until OUT.tif holds the whole stack, and the same "
        "command goes on with what is there. An existing OUT.tif is replaced by a whole stack; "
        "by some planes only if OUT.tif.zarr keeps those that are in it.",
    )
    parser.add_argument(
        "--axes",
        metavar="AXES",
        type=str.upper,
        help="A letter for each axis of the stack, such as TZYX: T for time, Z for depth, C for "
        "channels, S for the colours at the end. By default those of the file, or T, and Z of "
        "four, where it names none.",
    )
    parser.add_argument(
        "--channels",
        choices=("apart", "together"),
        default="apart",
        help="Of a stack with channels: paint each as a stack of its own; or all together, added "
        "up in the colours that the file names, else in those that napari gives channels.",
    )
    parser.add_argument(
        "--planes",
        metavar="START:STOP",
        type=_planes,
        default=slice(None),
        help="Only these of the first axis, counted from 0, STOP not included: 0:10, 20: or "
        "::5; one alone: 7.",
    )
    parser.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="Spread the planes over the workers of dask.distributed: the address of its "
        "scheduler, such as tcp://cluster:8786, or local for workers on this machine, one for "
        "each GPU. By default they are painted here, one after the other.",
    )
    add_recipe(parser)
    add_settings(parser)


def _planes(text: str) -> slice:
    """Read a slice as Python writes it; a number alone is that one."""
    if not re.fullmatch(r"-?\d+|(-?\d+)?:(-?\d+)?(:[1-9]\d*)?", text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no range of planes such as 0:10 (or --planes=-5: for the last five)"
        )
    if ":" not in text:
        return slice(int(text), int(text) + 1 or None)
    return slice(*(int(part) if part else None for part in text.split(":")))


def run(arguments: argparse.Namespace) -> int:
    """Paint plane by plane; what is done is kept, whatever ends the run."""
    with StopSignals() as signals:
        stack = _open(arguments)
        _check_files(arguments, stack)
        transfer = _start(arguments, stack)
        # Not in the handler itself: it may have interrupted whoever holds the lock it needs.
        signals.stop = lambda: threading.Thread(target=transfer.stop).start()
        _paint(transfer, arguments)
        if arguments.save_recipe is not None:
            write_recipe(arguments.save_recipe, _recipe(transfer))
        if not signals.status:
            _finish(transfer, arguments)
    if signals.status:
        say(
            arguments,
            f"Stopped: {transfer.done} of {transfer.total} planes are done and kept in "
            f"{_array(arguments)}; the same command goes on.",
        )
        return signals.status
    return SOME_PLANES_FAILED if transfer.failed else 0


def _open(arguments: argparse.Namespace) -> StackFile:
    """Open the stack, with the axes that were given."""
    stack = _with_axes(arguments, open_stack(arguments.stack))
    if arguments.channels == "together":
        kept = _attributes(arguments).get(_LIMITS)
        if stack.calibration.axes == "CYX":
            raise ValueError(
                f"Cannot use {arguments.stack} as a stack of channels together: it is one plane; "
                "stylize paints it so."
            )
        stack = blended(arguments.stack, stack, kept and list(map(tuple, kept)))
    return stack


def _with_axes(arguments: argparse.Namespace, stack: StackFile) -> StackFile:
    own, wanted = stack.calibration.axes, arguments.axes
    if wanted is None:
        if not stack.named:
            say(arguments, f"{arguments.stack} names no axes: taken for {own} (see --axes).")
        return stack
    if (
        not re.fullmatch(r"[TZC]+YXS?", wanted)
        or len(set(wanted)) < len(wanted)
        or len(wanted) != len(own)
    ):
        raise ValueError(
            f"--axes {wanted} does not fit {arguments.stack}, whose axes are {own} of "
            f"{_sizes(stack.data.shape)}: give a letter for each, T, Z or C for "
            "those of the stack, then YX, and S for colours."
        )
    return replace(stack, calibration=replace(stack.calibration, axes=wanted))


def _array(arguments: argparse.Namespace) -> Path:
    """The Zarr array that planes are written to."""
    out: Path = arguments.out
    return out.with_name(f"{out.name}.zarr") if out.suffix.lower() in TIFF else out


def _check_files(arguments: argparse.Namespace, stack: StackFile) -> None:
    """Find out before the run whether its files can be written at its end."""
    axes, count = stack.calibration.axes, stack.data.shape[0]
    chosen = range(count)[arguments.planes]
    if not chosen:
        start, stop = arguments.planes.start, arguments.planes.stop
        raise ValueError(
            f"--planes {'' if start is None else start}:{'' if stop is None else stop} chooses "
            f"nothing: {arguments.stack} has the planes 0 to {count - 1} along {axes[0]}."
        )
    if arguments.output == "intensity" and axes.endswith("S"):
        raise ValueError(
            f"--output intensity is for stacks of one channel, and {arguments.stack} has colours."
        )
    dtype = stack.data.dtype if arguments.output == "intensity" else np.dtype(np.uint8)
    check_stack_output(arguments.out, axes, dtype)
    files = (arguments.stack, *arguments.styles, arguments.recipe, *mask_files(arguments))
    out = arguments.out
    results = [*{out: None, _array(arguments): None}]
    if arguments.save_recipe is not None:
        check_writable(arguments.save_recipe)
        results.append(arguments.save_recipe)
    check_distinct(files, results)
    if out.suffix.lower() in TIFF and out.exists() and len(chosen) < count and not _kept(arguments):
        raise ValueError(
            f"{out} is there already, and some planes of the stack must not replace planes that "
            f"{_array(arguments)} does not keep: with --planes, choose another name, or delete it."
        )


def _kept(arguments: argparse.Namespace) -> bool:
    """Whether the array has all planes of the TIFF file, since that was written from it."""
    written = _attributes(arguments).get(_WRITTEN)
    return written is not None and written == _stamp(arguments.out)


def _attributes(arguments: argparse.Namespace) -> dict[str, Any]:
    """What an array that is there already was given; nothing if there is none."""
    import zarr

    try:
        return dict(zarr.open_array(_array(arguments), mode="r").attrs)
    except Exception:  # what zarr raises where there is none is not documented
        return {}


def _stamp(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def _start(arguments: argparse.Namespace, stack: StackFile) -> "StackTransfer":
    recipe = given_recipe(arguments)
    masks = _masks_of_planes(arguments, stack)
    settings = chosen_settings(arguments, recipe)
    styles = [Content(path, "rgb").rgb for path in arguments.styles]

    from napari_neural_style.stacks import StackTransfer
    from napari_neural_style.stacks.disk import explained

    transfer = StackTransfer(
        stack.data,
        styles,
        stack.calibration.axes,
        client=arguments.scheduler,
        out=_array(arguments),
        output=arguments.output,
        planes=arguments.planes,
        settings=settings,
        names={
            "content": Path(arguments.stack).name,
            "styles": [Path(path).name for path in arguments.styles],
        },
        **masks,
    )
    calibration = _calibration(transfer, stack)
    try:
        if open_stack(transfer.path).calibration != calibration:
            keep_calibration(transfer.result, calibration)
        if isinstance(stack.data, BlendedStack) and _LIMITS not in transfer.result.attrs:
            channels = stack.data.channels
            limits = [channel.rendering.contrast_limits for channel in channels]
            transfer.result.attrs[_LIMITS] = limits
    except OSError as error:
        raise explained(transfer.path, error) from error
    return transfer


def _masks_of_planes(arguments: argparse.Namespace, stack: StackFile) -> dict[str, Any]:
    """Take a mask that is a stack, and the styles' masks with it, out of the arguments."""
    if "mask" not in arguments or arguments.mask == NO_MASK:
        return {}
    path = arguments.mask
    try:
        mask = open_stack(path)
    except ValueError:  # it may be an image for all planes
        if Path(path).is_dir():
            raise
        return {}
    axes = stack.calibration.axes.removesuffix("S")
    shape = tuple(stack.data.shape[: len(axes)])
    if tuple(mask.data.shape) != shape:
        raise ValueError(
            f"--mask {path} has the shape {_sizes(mask.data.shape)}, and {arguments.stack} the "
            f"planes {axes} of {_sizes(shape)}: give a mask of one plane, or one for each of these."
        )
    del arguments.mask
    masks = tuple(map(read_mask, vars(arguments).pop("style_masks", ())))
    return {"mask": mask.data, "style_masks": masks}


def _sizes(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def _calibration(transfer: "StackTransfer", stack: StackFile) -> Calibration:
    """Axes, sizes and names of channels of the result."""
    own = stack.calibration
    rows = own.axes.index("Y")
    before, after = (array.shape[rows : rows + 2] for array in (stack.data, transfer.result))
    colours = "S" if transfer.result.ndim > rows + 2 else ""
    axes = own.axes.removesuffix("S") + colours
    return Calibration.of(axes, own.resized(before, after).sizes, own.channels, own.colors)


def _paint(transfer: "StackTransfer", arguments: argparse.Namespace) -> None:
    with make_bar("Painting", transfer.done, transfer.total, arguments.quiet) as bar:
        for update in transfer:
            plane = transfer.axes.named(update.plane)
            note = update.note and f"{plane}: {update.note}"
            for message in (note, update.error):  # an error names its plane
                if message:
                    bar.write(message, file=sys.stderr)
            shown = [f"{plane}, step {update.step}/{update.steps}" if update.steps else plane]
            if update.seconds_left is not None:
                shown.insert(0, f"{duration(update.seconds_left)} left")
            bar.set_postfix_str(", ".join(shown), refresh=False)
            bar.update(update.done - bar.n)


def _finish(transfer: "StackTransfer", arguments: argparse.Namespace) -> None:
    """Write the TIFF that was asked for, and say what there is."""
    array, out = transfer.result, arguments.out
    if out.suffix.lower() in TIFF and not _write_tiff(transfer, arguments):
        out = transfer.path
    rows = transfer.result.ndim - (3 if arguments.output == "rgb" else 2)
    height, width = array.shape[rows : rows + 2]
    planes = f"{transfer.done} plane{'s' * (transfer.done != 1)}"
    say(arguments, f"Wrote {out}, {planes} of {width} x {height} pixels.")
    if out != transfer.path and transfer.path.exists():
        say(arguments, f"All planes of the stack that are done are kept in {transfer.path}.")
    if transfer.failed:
        failed = f"{len(transfer.failed)} of {transfer.total} planes"
        say(arguments, f"{failed} could not be painted; the same command tries them again.")


def _write_tiff(transfer: "StackTransfer", arguments: argparse.Namespace) -> bool:
    """Write the TIFF, unless one is there with planes that the array may not have."""
    array, out = transfer.result, arguments.out
    whole = transfer.done == math.prod(transfer.axes.counts)
    if out.exists() and not whole and not _kept(arguments):
        say(arguments, f"{out} is left as it was, for it may have planes that were not painted.")
        return False
    calibration = open_stack(transfer.path).calibration
    written = arguments.planes.indices(array.shape[0])
    recipe = {**_recipe(transfer), "written": written}
    write_ome_tiff(out, array, calibration, recipe, arguments.planes)
    if whole:
        shutil.rmtree(transfer.path)
    else:
        array.attrs[_WRITTEN] = _stamp(out)
    return True


def _recipe(transfer: "StackTransfer") -> dict[str, Any]:
    """What made the result."""
    made = transfer.provenance()
    return {**made, "sha256_of_styles": made["inputs"]["styles"]}
