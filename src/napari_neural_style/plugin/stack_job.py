"""What a run paints of a whole stack, taken from the viewer when Run is pressed."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from platformdirs import user_data_path

from ..images import image_hash
from ..images.views import rendering_hash
from .job import AnyJob
from .layers import Geometry, StackLabels, StackSource
from .machine import load_engine
from .origins import Origin
from .preferences import PLUGIN
from .stack_view import PaintedStack, as_layer_data

if TYPE_CHECKING:
    from ..stacks import StackTransfer

_LETTERS = {"t": "T", "time": "T", "z": "Z", "depth": "Z", "c": "C", "channel": "C"}
_MOST_CHANNELS = 4
"""Of an axis that nobody has named."""


@dataclass
class StackJob(AnyJob):
    """The planes of a run and its settings, to be read in any thread.

    The name of its content also names a folder of its own.

    Attributes
    ----------
    source
        What is painted.
    guides
        Where it paints and with what: ``mask`` and ``style_masks``.
    save_to
        Folder of the zarr array to paint into; None for one among the user's data.
    scheduler
        Address of a dask scheduler, ``local``, or nothing.
    """

    source: StackSource
    guides: Mapping[str, Any]
    save_to: Path | None
    scheduler: str

    @property
    def geometry(self) -> Geometry:
        """Where the stack lies."""
        return self.source.geometry

    @property
    def origin(self) -> Origin:
        """What is painted."""
        return self.source

    def prepare(self) -> "StackTransfer":
        """Read the styles and make the run."""
        load_engine()
        from ..stacks.store import PaintedOtherwiseError

        styles = [style.rgb(self.style_size) for style in self.styles]
        seen = zip(self.styles, styles, strict=True)
        views = [style.view(image_hash(image), self.style_size).to_dict() for style, image in seen]
        self.names = {**self.names, "views": views}
        if self.save_to is not None:
            return self._transfer(styles, self.save_to)
        places = self._own_places(styles)
        while True:
            with suppress(PaintedOtherwiseError):  # lazy planes have changed in the middle
                return self._transfer(styles, next(places))

    def _transfer(self, styles: Sequence[NDArray[np.float32]], place: Path) -> "StackTransfer":
        from ..stacks import StackTransfer

        geometry, level = self.geometry, self.source.level(self.size)
        row, column = geometry.displayed
        named = axis_letters(self.source.axes, self.source.shape)
        letters = dict(zip(geometry.hidden, named, strict=True))
        letters |= {row: "Y", column: "X"}
        axes = "".join(letters[axis] for axis in sorted(letters))
        return StackTransfer(
            level,
            styles,
            axes + "S" * (level.ndim - len(axes)),
            client=self.scheduler or "here",
            out=place,
            output="rgb" if self.in_color else "intensity",
            rendering=self.source.rendering,
            settings=self.settings,
            names=self.names,
            **self.guides,
        )

    def remark_on(self, transfer: "StackTransfer") -> str:
        """Say where what was painted is kept."""
        return f"Kept in {transfer.path}."

    def place(self, painted: PaintedStack) -> tuple[Any, dict[str, Any]]:
        """Return what is painted as data of a layer, with its scale and translate."""
        geometry = self.geometry
        data = as_layer_data(painted, [*geometry.hidden, *geometry.displayed])
        return data, geometry.place_stack(data.shape, self.source.levels[0].shape)

    def _own_places(self, styles: Sequence[NDArray[np.float32]]) -> Iterator[Path]:
        """Folders that the same stack, styles and settings find again, in this order."""
        from ..stacks.store import digest_of

        mask, style_masks = self.guides.get("mask"), self.guides.get("style_masks", ())
        drawn = mask.evidence if isinstance(mask, StackLabels) else [mask]
        pixels = digest_of(*styles, *style_masks, *drawn, *self.source.evidence(self.size))
        shades = rendering_hash(self.source.rendering)
        facts = [self.settings.to_dict(), self.in_color, pixels, shades]
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]
        name = re.sub(r"\W+", "-", self.names["content"]).strip("-")
        folder = user_data_path(PLUGIN, ensure_exists=True)
        yield folder / f"{name}-{digest}.zarr"
        for number in count(2):
            yield folder / f"{name}-{digest}-{number}.zarr"


def axis_letters(labels: Sequence[str], lengths: Sequence[int]) -> str:
    """Return a letter for each axis that a stack runs along, given napari's labels.

    Time and depth are known by their names. An axis without a name is time: then planes are
    carried along what moves between them, which does no harm where that is depth; of two,
    the second is depth. Of several, one of no more than four planes is taken for channels:
    painted from its neighbour, a channel would show what is in that.

    Parameters
    ----------
    labels, lengths
        Of these axes.
    """
    known = [_LETTERS.get(label.lower()) for label in labels]
    unnamed = [place for place, letter in enumerate(known) if letter is None]
    short = [place for place in unnamed if lengths[place] <= _MOST_CHANNELS]
    if len(known) > 1 and short and "C" not in known:
        known[min(short, key=lambda place: lengths[place])] = "C"
    free = iter([letter for letter in "TZABDEFGHIJKLMNOPQRUVW" if letter not in known])
    used: list[str] = []
    for letter in known:
        used.append(letter if letter and letter not in used else next(free))
    return "".join(used)
