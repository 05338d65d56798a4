"""What the user is told of a run while it goes on: for its updates, and for its recipe."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

from napari_neural_style.validation import flag, one_line, whole

_MOST: Final = 100
"""Notes that a recipe keeps, the latest."""


@dataclass(frozen=True)
class Note:
    """Something that the user should know.

    Attributes
    ----------
    step
        After how many steps.
    text
        A sentence or several.
    repeats
        Whether it happens again when the picture is made again from its recipe, which has, of
        lesser means that a run went on with, the last ones only.
    """

    step: int
    text: str
    repeats: bool = True

    @classmethod
    def from_dict(cls, data: Any) -> Self:
        """Build a note from plain data, which may be a stranger's.

        Raises
        ------
        ValueError, LookupError, TypeError
            If they are damaged.
        """
        step = whole("step", data["step"], 0, 2**62)
        return cls(step, one_line(data["text"]), flag("repeats", data["repeats"]))


class Notes:
    """The notes of a run.

    Parameters
    ----------
    kept
        Those that it has already.
    """

    def __init__(self, kept: Iterable[Note] = ()) -> None:
        self.kept = tuple(kept)[-_MOST:]
        self._new: list[tuple[str, bool]] = []

    def add(self, text: str, repeats: bool = True) -> None:
        """Note something about the present step; parameters as those of a `Note`."""
        self._new.append((text, repeats))

    def take(self, step: int) -> Note | None:
        """Return what is new since the last call, if anything, and keep it."""
        new, self._new = self._new, []
        if not new:
            return None
        told = (Note(step, one_line(text), repeats) for text, repeats in new)
        self.kept = (*self.kept, *told)[-_MOST:]
        return Note(step, " ".join(text for text, _ in new), all(repeats for _, repeats in new))

    def plain(self) -> list[dict[str, Any]]:
        """Return those that are kept as plain data for JSON."""
        return [asdict(note) for note in self.kept]
