"""The axes of a stack: which make its planes, and which it runs along."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from numpy.typing import NDArray

from napari_neural_style.images.lazy import read_part

Index = tuple[int, ...]

_NAMES = {"T": "time", "Z": "depth", "C": "channels", "Y": "rows", "X": "columns", "S": "samples"}


@dataclass(frozen=True)
class Axes:
    """The axes of an array of planes.

    Attributes
    ----------
    letters
        One for each dimension: ``Y`` and ``X``; ``S`` for the samples of RGB or RGBA; any
        other letter is an axis that the stack runs along, ``T`` being time.
    shape
        The length of each.
    """

    letters: str
    shape: tuple[int, ...]

    @classmethod
    def of(cls, letters: str, stack: Any) -> "Axes":
        """Return the axes of an array.

        Raises
        ------
        ValueError
            If the letters do not fit the array.
        """
        shape = tuple(int(length) for length in stack.shape)
        given = f"axes={letters!r} for a stack of shape {shape}"
        if not isinstance(letters, str) or not (letters.isascii() and letters.isalpha()):
            raise ValueError(f"{given}: give one letter for each axis, such as 'TZYX'.")
        letters = letters.upper()
        doubled = sorted({letter for letter in letters if letters.count(letter) > 1})
        if doubled:
            raise ValueError(f"{given}: {', '.join(doubled)} is there more than once.")
        if len(letters) != len(shape):
            raise ValueError(
                f"{given}: these are {len(letters)} letters for {len(shape)} axes; give one "
                "letter for each."
            )
        missing = [axis for axis in "YX" if axis not in letters]
        if missing:
            names = " and ".join(f"{axis} ({_NAMES[axis]})" for axis in missing)
            raise ValueError(f"{given}: {names} must be among them.")
        if not set(letters) - set("YXS"):
            raise ValueError(
                f"{given}: this is a single plane; a stack has another axis, such as T (time) or "
                "Z (depth)."
            )
        axes = cls(letters, shape)
        if "S" in letters and axes.length("S") not in (3, 4):
            raise ValueError(
                f"{given}: S has {axes.length('S')} samples; it must be 3 (RGB) or 4 (RGBA)."
            )
        if 0 in shape:
            raise ValueError(f"{given}: there is nothing in it.")
        return axes

    def length(self, letter: str) -> int:
        """Return how long an axis is."""
        return self.shape[self.letters.index(letter)]

    @property
    def along(self) -> str:
        """The letters of the axes that the stack runs along, in their order."""
        return "".join(letter for letter in self.letters if letter not in "YXS")

    @property
    def counts(self) -> tuple[int, ...]:
        """How many planes there are along each of them."""
        return tuple(self.length(letter) for letter in self.along)

    @property
    def plane(self) -> tuple[int, int]:
        """Height and width of a plane."""
        return self.length("Y"), self.length("X")

    @property
    def of_masks(self) -> "Axes":
        """Those of an array with a mask for each plane."""
        letters = self.letters.replace("S", "")
        return Axes(letters, tuple(map(self.length, letters)))

    @property
    def in_color(self) -> bool:
        """Whether planes have samples."""
        return "S" in self.letters

    def indices(self, selection: slice | None = None) -> Iterator[Index]:
        """Return the indices of all planes, or of those selected along the first axis."""
        ranges: list[Sequence[int]] = [range(count) for count in self.counts]
        if selection is not None:
            ranges[0] = ranges[0][selection]
        return product(*ranges)

    def take(self, stack: Any, index: Index) -> NDArray[Any]:
        """Read one plane: ``(H, W)``, or ``(H, W, samples)``."""
        at = dict(zip(self.along, index, strict=True))
        plane = read_part(stack, tuple(at.get(letter, slice(None)) for letter in self.letters))
        left = [letter for letter in self.letters if letter in "YXS"]
        wanted = "YXS" if self.in_color else "YX"
        return plane.transpose([left.index(letter) for letter in wanted])

    def series(self, index: Index) -> Index:
        """Return which series a plane belongs to: its index without time and depth."""
        return tuple(i for letter, i in zip(self.along, index, strict=True) if letter not in "TZ")

    def named_series(self, series: Index) -> str:
        """Return a series in words: ``C 1``."""
        letters = (letter for letter in self.along if letter not in "TZ")
        return ", ".join(f"{letter} {i}" for letter, i in zip(letters, series, strict=True))

    def named(self, index: Index) -> str:
        """Return a plane's index in words: ``T 3, Z 5``."""
        return ", ".join(f"{letter} {i}" for letter, i in zip(self.along, index, strict=True))
