"""Several layers chosen together."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Channels:
    """Layers whose blend, as napari shows it, is the content.

    Attributes
    ----------
    layers
        Image layers, bottom to top.
    """

    layers: tuple[Any, ...]

    @property
    def name(self) -> str:
        """The names of all, to be read and to name a result."""
        return " + ".join(layer.name for layer in self.layers)

    @property
    def visible(self) -> "Channels":
        """Those that are seen."""
        return Channels(tuple(layer for layer in self.layers if layer.visible))

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.layers)


def layers_of(chosen: Any) -> tuple[Any, ...]:
    """Return the layers of a choice: of several, of one, or of none."""
    if chosen is None:
        return ()
    return chosen.layers if isinstance(chosen, Channels) else (chosen,)
