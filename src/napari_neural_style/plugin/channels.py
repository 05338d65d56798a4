"""Several layers chosen together."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Channels:
    """Layers whose blend, as napari shows it, is the content.

    Two choices of the same layers are the same, however the layers are ordered meanwhile.

    Attributes
    ----------
    members
        Image layers.
    among
        The layers of the viewer, bottom to top.
    """

    members: frozenset[Any]
    among: Iterable[Any] = field(compare=False, repr=False)

    @property
    def layers(self) -> tuple[Any, ...]:
        """The members that are in the viewer, bottom to top as they are now."""
        return tuple(layer for layer in self.among if layer in self.members)

    @property
    def name(self) -> str:
        """The names of all, to be read and to name a result."""
        return " + ".join(layer.name for layer in self)

    @property
    def visible(self) -> "Channels":
        """Those that are seen."""
        return Channels(frozenset(layer for layer in self if layer.visible), self.among)

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.layers)


def layers_of(chosen: Any) -> tuple[Any, ...]:
    """Return the layers of a choice: of several, of one, or of none."""
    if chosen is None:
        return ()
    return chosen.layers if isinstance(chosen, Channels) else (chosen,)
