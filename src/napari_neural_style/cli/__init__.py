"""The command line: ``napari-neural-style stylize | stack | redo | drift | demo | info``.

Nothing here imports torch, napari or Qt before it is needed, so that help and
complaints come at once.
"""

import argparse
import sys
import traceback
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import NoReturn

from napari_neural_style.cli import demo, drift, info, redo, stack, stylize
from napari_neural_style.cli.streams import lasting_streams
from napari_neural_style.machine import out_of_memory

PROGRAM = "napari-neural-style"

DONE, BAD_INPUT, INTERRUPTED = 0, 2, 130

# Of an error; torch's may hold pages.
_MAX_MESSAGE = 400


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    argv
        The arguments after the program's name; by default those of the process.

    Returns
    -------
    int
        Exit status: 0 done; 1 some planes of a stack could not be painted, or what was painted
        again is not the same; 2 bad usage or bad input, or an error that was not foreseen, said
        in one line on stderr; 129, 130 or 143 when hung up, interrupted or terminated, with what
        was painted so far written.
    """
    with lasting_streams():
        return _run(argv)


def _run(argv: Sequence[str] | None) -> int:
    try:
        arguments = _parser().parse_args(argv)
        status: int = arguments.run(arguments)
        sys.stdout.flush()
    except SystemExit as exit_:  # argparse's help and bad usage
        return exit_.code if isinstance(exit_.code, int) else BAD_INPUT
    except KeyboardInterrupt:
        return INTERRUPTED
    except MemoryError as error:
        _complain(out_of_memory(error))
        return BAD_INPUT
    except (ValueError, OSError, ImportError) as error:
        _complain(str(error) or type(error).__name__)
        return BAD_INPUT
    except Exception as error:
        _complain(_unforeseen(error))
        return BAD_INPUT
    return status


def _unforeseen(error: Exception) -> str:
    """Say what a report of the error needs; a traceback would tell users nothing."""
    here = Path(__file__).parents[1]
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if Path(frame.filename).is_relative_to(here)]
    place = f", {Path(ours[-1].filename).name} line {ours[-1].lineno}" if ours else ""
    said = " ".join(str(error).split())[:_MAX_MESSAGE]
    return (
        f"{said} ({type(error).__name__}{place}): this was not foreseen; please report it with "
        f"what '{PROGRAM} info' prints"
    )


def _complain(message: str) -> None:
    # Names that strangers chose may be in it: what a terminal would obey is left out.
    seen = "".join(letter if letter.isprintable() else " " for letter in message)
    print(f"{PROGRAM}: {' '.join(seen.split())}", file=sys.stderr)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Complain in one line, where argparse would print the usage as well."""
        _complain(f"{message} (see {self.prog} --help)")
        sys.exit(BAD_INPUT)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog=PROGRAM, description=metadata.metadata(PROGRAM)["Summary"])
    parser.add_argument("--version", action="version", version=metadata.version(PROGRAM))
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in (stylize, stack, redo, drift, demo, info):
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
