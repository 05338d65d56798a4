"""What a run paints of a whole stack, taken from the viewer when Run is pressed."""

import hashlib
import json
import pickle
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from platformdirs import user_data_path

from ..settings import Settings
from .job import read_size
from .layers import Plane, StackSource
from .machine import load_engine
from .preferences import PLUGIN
from .stack_view import PaintedStack, as_layer_data

if TYPE_CHECKING:
    from ..stacks import StackTransfer

_LETTERS = {"t": "T", "time": "T", "z": "Z", "depth": "Z", "c": "C", "channel": "C"}


@dataclass
class StackJob:
    """The planes of a run and its settings, to be read in any thread.

    Attributes
    ----------
    name
        Of the content, for a folder of its own.
    source
        What is painted.
    styles
        What it is painted with.
    settings
        Of the run.
    guides
        Where it paints and with what: ``mask`` and ``style_masks``.
    appearance
        How the result is shown, as attributes of its layer; its ``rgb`` tells whether it
        is painted in colour, or as one channel with the content's dtype.
    save_to
        Folder of the zarr array to paint into; None for one among the user's data.
    scheduler
        Address of a dask scheduler, ``local``, or nothing.
    """

    name: str
    source: StackSource
    styles: tuple[Plane, ...]
    settings: Settings
    guides: Mapping[str, Any]
    appearance: Mapping[str, Any]
    save_to: Path | None
    scheduler: str

    @property
    def size(self) -> int | None:
        """Longest side that the planes are read at; None for their own."""
        return read_size(self.settings)

    @property
    def style_size(self) -> int:
        """Longest side that the styles are read at."""
        return self.size or max(self.source.geometry.shape)

    def prepare(self) -> "StackTransfer":
        """Read the styles and make the run."""
        load_engine()
        from ..stacks import StackTransfer

        styles = [style.rgb(self.style_size) for style in self.styles]
        geometry, level = self.source.geometry, self.source.level(self.size)
        row, column = geometry.displayed
        letters = dict(zip(geometry.hidden, axis_letters(self.source.axes), strict=True))
        letters |= {row: "Y", column: "X"}
        axes = "".join(letters[axis] for axis in sorted(letters))
        return StackTransfer(
            level,
            styles,
            axes + "S" * (level.ndim - len(axes)),
            client=self.scheduler or "here",
            out=self.save_to or self._own_place(styles),
            output="rgb" if self.appearance["rgb"] else "intensity",
            rendering=self.source.rendering,
            settings=self.settings,
            **self.guides,
        )

    def place(self, painted: PaintedStack) -> tuple[Any, dict[str, Any]]:
        """Return what is painted as data of a layer, with its scale and translate."""
        geometry = self.source.geometry
        data = as_layer_data(painted, [*geometry.hidden, *geometry.displayed])
        return data, geometry.place_stack(data.shape)

    def _own_place(self, styles: Sequence[NDArray[np.float32]]) -> Path:
        """A folder that the same stack, styles and settings find again."""
        rendering = replace(self.source.rendering, name="")
        looks = json.dumps([self.settings.to_dict(), self.appearance["rgb"]], sort_keys=True)
        digest = hashlib.sha256(looks.encode())
        pixels = (style.tobytes() for style in styles)
        for part in (pickle.dumps(rendering), pickle.dumps(self.guides), *pixels):
            digest.update(part)
        first = (0,) * len(self.source.shape)
        last = tuple(length - 1 for length in self.source.shape)
        for index in (first, last):
            with suppress(Exception):  # a plane that cannot be read is named when it is painted
                digest.update(self.source.plane(index).pixels.read(0).tobytes())
        name = re.sub(r"\W+", "-", self.name).strip("-")
        return user_data_path(PLUGIN, ensure_exists=True) / f"{name}-{digest.hexdigest()[:12]}.zarr"


def axis_letters(labels: Sequence[str]) -> str:
    """Return a letter for each axis that a stack runs along, given napari's labels.

    Time and depth are known by their names. An axis without a name is time: then planes are
    carried along what moves between them, which does no harm where that is depth; of two,
    the second is depth.
    """
    known = [_LETTERS.get(label.lower()) for label in labels]
    free = iter([letter for letter in "TZABDEFGHIJKLMNOPQRUVW" if letter not in known])
    used: list[str] = []
    for letter in known:
        used.append(letter if letter and letter not in used else next(free))
    return "".join(used)
