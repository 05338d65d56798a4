"""Paint many images in one style: those of a folder, or of a pattern of their names."""

import json
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from napari_neural_style.cli.content import Content
from napari_neural_style.cli.options import (
    check_distinct,
    chosen_settings,
    given_recipe,
    mask_files,
)
from napari_neural_style.cli.signals import StopSignals
from napari_neural_style.cli.streams import say
from napari_neural_style.images import check_output, read_image
from napari_neural_style.images.metadata import read_metadata

if TYPE_CHECKING:
    from napari_neural_style.transfer.engine import StyleTransfer

SOME_IMAGES_FAILED = 1

_OF_ONE_IMAGE = ("log", "checkpoint", "resume", "save_recipe", "drift")


def paint_each(
    files: Sequence[Path],
    arguments: Namespace,
    signals: StopSignals,
    paint: "Callable[[StyleTransfer, Namespace, Content], None]",
) -> int:
    """Paint images into a folder, each under its own name.

    One that cannot be used is told and left out; one that is there, painted so already, is
    kept.

    Parameters
    ----------
    files
        The images.
    arguments
        Of stylize; ``out`` is the folder.
    signals
        What may end the painting.
    paint
        Makes a run to its end and writes its result, given the arguments for one image.

    Returns
    -------
    int
        The exit status.
    """
    each = [
        Namespace(**{**vars(arguments), "content": file, "out": arguments.out / file.name})
        for file in files
    ]
    _check(each, arguments)
    settings = chosen_settings(arguments, given_recipe(arguments))
    styles = [Content(path, "rgb").rgb for path in arguments.styles]

    from napari_neural_style.transfer.engine import StyleTransfer

    last, failed = None, 0
    for number, one in enumerate(each, 1):
        try:
            content = Content(one.content, one.output)
            check_output(one.out, one.bits, content.dtype)
            if last is None:
                transfer = StyleTransfer(content.rgb, styles, settings=settings)
            else:  # the styles are not looked at anew
                transfer = last.successor(content.rgb)
        except (ValueError, OSError) as error:
            print(f"{one.content} is left out: {error}", file=sys.stderr)
            failed += 1
            continue
        last = transfer
        if _is_done(transfer, one):
            say(arguments, f"{one.out} is there already.")
            continue
        signals.stop, signals.leaves = transfer.stop, True
        if signals.status:
            break
        say(arguments, f"{one.content}, {number} of {len(each)}:")
        paint(transfer, one, content)
    if signals.status:
        say(arguments, "Stopped: the same command goes on with what is missing.")
        return signals.status
    return SOME_IMAGES_FAILED if failed else 0


def _check(each: Sequence[Namespace], arguments: Namespace) -> None:
    for name in _OF_ONE_IMAGE:
        if vars(arguments)[name] is not None:
            option = "--" + name.replace("_", "-")
            raise ValueError(
                f"{option} is of one image, and {arguments.content} has {len(each)}: leave it out."
            )
    if not arguments.styles:
        raise ValueError("CONTENT and at least one STYLE are required (see stylize --help).")
    inputs = [one.content for one in each]
    inputs += [*arguments.styles, arguments.recipe, *mask_files(arguments)]
    check_distinct(inputs, [one.out for one in each])
    if arguments.out.exists() and not arguments.out.is_dir():
        raise NotADirectoryError(
            f"Cannot write {arguments.out}: it is a file, and {arguments.content} has {len(each)} "
            "images: name a folder."
        )
    arguments.out.mkdir(parents=True, exist_ok=True)
    for one in each:
        check_output(one.out, one.bits)


def _is_done(transfer: "StyleTransfer", arguments: Namespace) -> bool:
    """Whether the result is there, whole, of the same images and settings."""
    try:
        there = read_metadata(arguments.out)
        bits = 8 * read_image(arguments.out).dtype.itemsize
    except (ValueError, OSError):
        return False
    wanted = {**transfer.provenance(), "output": arguments.output}
    same = ("settings", "inputs", "weights", "output")
    return (
        isinstance(there, dict)
        and there.get("step") == there.get("total")
        and arguments.bits in (None, bits)
        and all(there.get(name) == json.loads(json.dumps(wanted[name])) for name in same)
    )
