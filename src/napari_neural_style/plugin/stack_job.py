"""What a run paints of a whole stack, taken from the viewer when Run is pressed."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from platformdirs import user_data_path

from ..settings import Settings
from .layers import Plane, StackSource
from .layers.slicing import fitting
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
    source
        What is painted.
    style
        What it is painted with.
    settings
        Of the run.
    appearance
        How the result is shown, as attributes of its layer; its ``rgb`` tells whether it
        is painted in colour, or as one channel with the content's dtype.
    save_to
        Folder of the zarr array to paint into; None for one among the user's data.
    scheduler
        Address of a dask scheduler, ``local``, or nothing.
    """

    source: StackSource
    style: Plane
    settings: Settings
    appearance: Mapping[str, Any]
    save_to: Path | None
    scheduler: str

    def prepare(self) -> "StackTransfer":
        """Read the style and make the run."""
        load_engine()
        from ..stacks import StackTransfer

        size, geometry = self.settings.size, self.source.geometry
        style = self.style.rgb(size or max(geometry.shape))
        levels = self.source.levels
        row, column = geometry.displayed
        level = levels[fitting([(data.shape[row], data.shape[column]) for data in levels], size)]
        letters = dict(zip(geometry.hidden, axis_letters(self.source.axes), strict=True))
        letters |= {row: "Y", column: "X"}
        axes = "".join(letters[axis] for axis in sorted(letters))
        return StackTransfer(
            level,
            style,
            axes + "S" * (level.ndim - len(axes)),
            client=self.scheduler or "here",
            out=self.save_to or self._own_place(style),
            output="rgb" if self.appearance["rgb"] else "intensity",
            rendering=self.source.rendering,
            settings=self.settings,
        )

    def place(self, painted: PaintedStack) -> tuple[Any, dict[str, Any]]:
        """Return what is painted as data of a layer, with its scale and translate."""
        geometry = self.source.geometry
        data = as_layer_data(painted, [*geometry.hidden, *geometry.displayed])
        return data, geometry.place_stack(data.shape)

    def _own_place(self, style: NDArray[np.float32]) -> Path:
        """A folder that the same stack, style and settings find again."""
        first = self.source.plane((0,) * len(self.source.shape))
        digest = hashlib.sha256(json.dumps(self.settings.to_dict(), sort_keys=True).encode())
        for pixels in (first.pixels.read(0), style):
            digest.update(pixels.tobytes())
        name = re.sub(r"\W+", "-", self.source.rendering.name).strip("-")
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
