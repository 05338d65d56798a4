"""Open napari with a sample pair and paint it live."""

import argparse
from pathlib import Path

from napari_neural_style.images import check_output
from napari_neural_style.settings import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the demonstration."""
    parser.add_argument(
        "--screenshot",
        metavar="FILE",
        type=Path,
        help="Wait for the end, write a picture of the whole window to FILE and exit.",
    )
    parser.add_argument(
        "--result", metavar="FILE", type=Path, help="Write the finished result to FILE."
    )
    parser.add_argument("--steps", metavar="N", type=int, help="Evaluations of loss and gradient.")
    parser.add_argument(
        "--size", metavar="N", type=int, help="Longest side of the result in pixels."
    )


def run(arguments: argparse.Namespace) -> int:
    """Show the demonstration."""
    for path in (arguments.screenshot, arguments.result):
        if path is not None:
            check_output(path)
    given = {"steps": arguments.steps, "size": arguments.size}
    Settings(**{name: value for name, value in given.items() if value is not None})
    try:
        from napari_neural_style.plugin.demo import run_demo
    except ImportError as error:
        raise ImportError(
            f"The demo needs napari with Qt ({error}): pip install 'napari-neural-style[all]'."
        ) from error
    return run_demo(screenshot=arguments.screenshot, result=arguments.result, **given)
