"""Paint an image, or many, in the style of others."""

import argparse
import dataclasses
import math
import os
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from napari_neural_style.cli.content import Content
from napari_neural_style.cli.drift import MAP, check_map, map_drift
from napari_neural_style.cli.loss_log import LossLog, check_log
from napari_neural_style.cli.many import paint_each
from napari_neural_style.cli.options import (
    PRESET_LIST,
    add_output,
    add_recipe,
    add_settings,
    check_distinct,
    chosen_settings,
    given_recipe,
    given_settings,
    mask_files,
)
from napari_neural_style.cli.progress import Progress
from napari_neural_style.cli.signals import StopSignals
from napari_neural_style.cli.streams import say
from napari_neural_style.images import (
    Calibration,
    check_output,
    check_writable,
    write_image,
)
from napari_neural_style.images.stack_files import image_files
from napari_neural_style.recipe import write_recipe
from napari_neural_style.validation import number

if TYPE_CHECKING:
    from napari_neural_style.transfer.engine import StyleTransfer
    from napari_neural_style.transfer.saved_run import Names
    from napari_neural_style.transfer.update import Update


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the images, the files to write and an option for every setting."""
    parser.usage = "%(prog)s CONTENT STYLE [STYLE ...] -o OUT [options]"
    parser.epilog = PRESET_LIST
    parser.add_argument(
        "content",
        nargs="?",
        metavar="CONTENT",
        help="Image to paint; or a folder of images or, in quotes, a pattern of their names "
        "('cells/*.png'): each is painted, into the folder OUT.",
    )
    parser.add_argument(
        "styles", nargs="*", metavar="STYLE", help="Image whose style is taken; several are mixed."
    )
    add_output(
        parser,
        "Result: .png, .tif or .jpg, with the recipe inside, and in .png and .tif the "
        "transparency of CONTENT. An existing file is replaced. Of many images a folder: what it "
        "has already of the same images and settings is kept.",
    )
    parser.add_argument(
        "--bits",
        type=int,
        choices=(8, 16, 32),
        help="Bits per channel of colours, 32 for floats in TIFF; by default 16 for TIFF, "
        "otherwise 8.",
    )
    parser.add_argument(
        "--log", metavar="FILE", type=Path, help="Write the losses of every step as CSV."
    )
    parser.add_argument(
        "--checkpoint",
        metavar="FILE",
        type=Path,
        help="Save the state of the run after its first step, every so often and at its end; "
        "--resume goes on from it, whatever has ended the run.",
    )
    parser.add_argument(
        "--checkpoint-every",
        metavar="SECONDS",
        type=float,
        default=30.0,
        help="How often, at most; saving takes no more than a twentieth of the time. With 0 after "
        "every step. [30]",
    )
    parser.add_argument("--drift", metavar="FILE", type=Path, help=f"{MAP} See drift --help.")
    source = parser.add_mutually_exclusive_group()  # of the settings
    add_recipe(source)
    source.add_argument(
        "--resume",
        metavar="FILE",
        type=Path,
        help="Go on from a checkpoint, with its images and settings; CONTENT and STYLE may "
        "be left out, but a checkpoint has only the colours of CONTENT: give it again to keep its "
        "transparency and the size of its pixels. Options may change what may change while a run "
        "goes on: weights, layers, colours, regions, steps and size.",
    )
    add_settings(parser)


def run(arguments: argparse.Namespace) -> int:
    """Paint, and write what was painted even when interrupted."""
    with StopSignals() as signals:

        def paint(
            transfer: "StyleTransfer", arguments: argparse.Namespace, content: Content | None
        ) -> None:
            try:
                try:
                    _paint(transfer, arguments)
                finally:  # whoever is impatient has waited for the step: the rest is short
                    signals.leaves = False
            finally:  # whatever ended the run, what was painted is kept
                _write_result(transfer, arguments, content)

        files = image_files(arguments.content) if arguments.content else None
        if files is not None:
            return paint_each(files, arguments, signals, paint)
        _check_files(arguments)
        content = _read_content(arguments)
        transfer = _resume(arguments) if arguments.resume else _start(arguments, content)
        signals.stop = transfer.stop  # the result of a stopped run heeds keep_best
        paint(transfer, arguments, content)
    return signals.status


def _check_files(arguments: argparse.Namespace) -> None:
    """Find out before the run whether its files can be written at its end."""
    check_output(arguments.out, arguments.bits)
    outputs = [arguments.out]
    for path in (arguments.log, arguments.checkpoint, arguments.save_recipe):
        if path is not None:
            check_writable(path)
            outputs.append(path)
    if arguments.drift is not None:
        check_map(arguments.drift)
        outputs.append(arguments.drift)
    number("--checkpoint-every", arguments.checkpoint_every, 0, math.inf)
    if arguments.resume is not None and arguments.log is not None:
        check_log(arguments.log)
    inputs = [arguments.content, *arguments.styles, arguments.recipe, *mask_files(arguments)]
    if arguments.resume is not None and not _same(arguments.resume, arguments.checkpoint):
        inputs.append(arguments.resume)
    check_distinct(inputs, outputs)
    if arguments.checkpoint is not None:  # the last, for it takes torch
        from napari_neural_style.transfer.checkpoint import check_replaceable

        check_replaceable(arguments.checkpoint)


def _same(path: Path, other: Path | None) -> bool:
    return other is not None and os.path.realpath(path) == os.path.realpath(other)


def _read_content(arguments: argparse.Namespace) -> Content | None:
    """Read the content; without it, a resumed run has the pixels of its checkpoint."""
    if arguments.content is None and arguments.drift is not None:
        raise ValueError("--drift compares the result with CONTENT: give that too.")
    if arguments.content is None and arguments.resume and arguments.output == "rgb":
        return None
    if arguments.content is None or not (arguments.styles or arguments.resume):
        raise ValueError("CONTENT and at least one STYLE are required (see stylize --help).")
    content = Content(arguments.content, arguments.output)
    if content.dtype is not None:
        check_output(arguments.out, arguments.bits, content.dtype)
    return content


def _start(arguments: argparse.Namespace, content: Content | None) -> "StyleTransfer":
    assert content is not None
    settings = chosen_settings(arguments, given_recipe(arguments))
    styles = [Content(path, "rgb").rgb for path in arguments.styles]

    from napari_neural_style.transfer.engine import StyleTransfer

    return StyleTransfer(content.rgb, styles, settings=settings)


def _resume(arguments: argparse.Namespace) -> "StyleTransfer":
    from napari_neural_style.transfer.engine import StyleTransfer

    transfer = StyleTransfer.load(arguments.resume, vars(arguments).get("weights"))
    given = given_settings(arguments, transfer.settings.preset)
    wanted = dataclasses.replace(transfer.settings, **given).to_dict()
    present = transfer.settings.to_dict()
    transfer.update(**{name: given[name] for name in given if wanted[name] != present[name]})
    return transfer


def _paint(transfer: "StyleTransfer", arguments: argparse.Namespace) -> None:
    from napari_neural_style.transfer.autosave import Checkpoints

    transfer.names.update(_names(transfer, arguments))
    checkpoints = None
    if arguments.checkpoint is not None:
        checkpoints = Checkpoints(transfer, arguments.checkpoint, arguments.checkpoint_every)
    after = transfer.provenance()["step"] if arguments.resume else None
    keepers: list[Callable[[Update], str | None]] = []
    with ExitStack() as stack:
        progress = stack.enter_context(Progress(transfer, arguments.quiet))
        # The log first: steps that are saved are not made again by a run that is resumed.
        if arguments.log is not None:
            keepers.append(stack.enter_context(LossLog(arguments.log, after)).write)
        if checkpoints is not None:
            keepers.append(checkpoints.after)
        for update in transfer:
            progress.show(update)
            for keep in keepers:
                note = keep(update)
                if note is not None:
                    progress.warn(note)
    if checkpoints is not None:
        checkpoints.finish()


def _write_result(
    transfer: "StyleTransfer", arguments: argparse.Namespace, content: Content | None
) -> None:
    result = transfer.result
    if result is None:
        return
    height, width, _ = result.shape
    recipe = {**transfer.provenance(), "output": arguments.output}
    if content is None:
        _write_image(arguments, result, recipe)
    else:
        calibration = content.calibration.resized(content.rgb.shape[:2], (height, width))
        image = content.finish(result, transfer.settings.mask)
        _write_image(arguments, image, recipe, calibration)
    if arguments.save_recipe is not None:
        write_recipe(arguments.save_recipe, recipe)
    say(
        arguments,
        f"Wrote {arguments.out}, {width} x {height} pixels, "
        f"after {recipe['step']} of {recipe['total']} steps.",
    )
    if arguments.drift is not None:
        drift = map_drift(arguments.content, arguments.out, arguments.drift)
        say(arguments, f"{drift}; see {arguments.drift}.")


def _write_image(
    arguments: argparse.Namespace,
    image: NDArray[Any],
    recipe: dict[str, Any],
    calibration: Calibration | None = None,
) -> None:
    """Write the result; where that has become impossible, into a folder for temporary files."""
    try:
        write_image(arguments.out, image, arguments.bits, recipe, calibration)
    except OSError as error:
        folder = Path(tempfile.mkdtemp(prefix="napari-neural-style-"))
        rescued = folder / arguments.out.name
        try:
            write_image(rescued, image, arguments.bits, recipe, calibration)
        except OSError:
            folder.rmdir()
            raise error from None
        raise type(error)(f"{error} What was painted is in {rescued}.") from error


def _names(transfer: "StyleTransfer", arguments: argparse.Namespace) -> "Names":
    """Tell the names of the files, without their folders, which are nobody's business."""
    given = vars(arguments)
    names: Names = {}
    if arguments.content is not None:
        names["content"] = Path(arguments.content).name
    if arguments.styles or not arguments.resume:
        names["styles"] = [Path(path).name for path in arguments.styles]
    settings = transfer.settings
    if settings.mask is not None and "mask" in given:
        names["mask"] = Path(arguments.mask).name
    if settings.style_masks and "style_masks" in given:
        names["style_masks"] = [Path(path).name for path in arguments.style_masks]
    if not isinstance(settings.init, str) and "init" in given:
        names["init"] = Path(arguments.init).name
    return names
