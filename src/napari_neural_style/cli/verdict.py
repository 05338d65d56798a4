"""What comes of painting something again."""

import argparse
import sys
from typing import Final

from napari_neural_style.cli.options import check_distinct
from napari_neural_style.cli.streams import say
from napari_neural_style.redo import StackVerdict, Verdict

NOT_THE_SAME: Final = 1


def check_replayable(arguments: argparse.Namespace, painted: bool) -> None:
    """Find out before the run that it is of use, and spoils nothing.

    Parameters
    ----------
    arguments
        Of the command.
    painted
        Whether there is something to compare with, not a recipe alone.

    Raises
    ------
    ValueError
        If it has nothing to compare with and nowhere to write, or would write what it reads.
    """
    if arguments.out is not None:
        check_distinct([arguments.picture, *arguments.images], [arguments.out])
    elif not painted:
        raise ValueError(f"{arguments.picture} is a recipe alone: give -o OUT to paint to.")


def conclude(arguments: argparse.Namespace, verdict: Verdict | StackVerdict | None) -> int:
    """Tell the verdict, None if there was nothing to compare with, and return the exit status."""
    if verdict is None:
        told = f"Painted again; there is no picture in {arguments.picture} to compare it with."
        say(arguments, told, sys.stdout)
        return 0
    say(arguments, f"{arguments.picture}: {verdict}", sys.stdout)
    return 0 if verdict.as_stated else NOT_THE_SAME
