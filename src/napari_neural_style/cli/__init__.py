"""The command line: ``napari-neural-style stylize | stack | demo | info``.

Nothing here imports torch, napari or Qt before it is needed, so that help and
complaints come at once.
"""

import argparse
import sys
from collections.abc import Sequence
from importlib import metadata
from typing import NoReturn

from napari_neural_style.cli import demo, info, stack, stylize

PROGRAM = "napari-neural-style"

DONE, BAD_INPUT, INTERRUPTED = 0, 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    argv
        The arguments after the program's name; by default those of the process.

    Returns
    -------
    int
        Exit status: 0 done; 1 some planes of a stack could not be painted; 2 bad usage or
        bad input, said in one line on stderr; 130 or 143 when interrupted or terminated,
        with what was painted so far written.
    """
    try:
        arguments = _parser().parse_args(argv)
        status: int = arguments.run(arguments)
    except SystemExit as exit_:  # argparse's help and bad usage
        return exit_.code if isinstance(exit_.code, int) else BAD_INPUT
    except KeyboardInterrupt:
        return INTERRUPTED
    except (ValueError, OSError, ImportError, MemoryError) as error:
        _complain(str(error) or f"there is not enough memory ({type(error).__name__})")
        return BAD_INPUT
    return status


def _complain(message: str) -> None:
    print(f"{PROGRAM}: {' '.join(message.split())}", file=sys.stderr)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Complain in one line, where argparse would print the usage as well."""
        _complain(f"{message} (see {self.prog} --help)")
        sys.exit(BAD_INPUT)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog=PROGRAM, description=metadata.metadata(PROGRAM)["Summary"])
    parser.add_argument("--version", action="version", version=metadata.version(PROGRAM))
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in (stylize, stack, demo, info):
        name = command.__name__.rpartition(".")[2]
        summary, _, _ = (command.__doc__ or "").partition("\n")
        subparser = commands.add_parser(
            name,
            help=summary,
            description=summary,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_arguments(subparser)
        subparser.set_defaults(run=command.run)
    return parser
