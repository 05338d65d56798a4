"""Before and after: the content instead of the result, while a button or a key is held."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from .controls import SymbolButton
from .layers import is_drift, is_result

KEY = "B"
"""Held while a result is selected, it shows the content instead."""


def peek_below(
    layers: Sequence[Any] = (), contents: Sequence[Any] = ()
) -> Callable[[Any], Iterator[None]]:
    """Return what shows the content instead of a result until a key is released.

    Parameters
    ----------
    layers
        The viewer's, from the bottom to the top.
    contents
        Those of them that were painted anew.

    Returns
    -------
    callable
        For ``result.bind_key``: it takes the layer to hide.
    """

    # A function and no partial: napari asks each binding for its __name__ at any key.
    def peek(result: Any) -> Iterator[None]:
        before = _show_contents(result, layers, contents)
        yield
        _restore(before)

    return peek


class CompareButton(SymbolButton):
    """Shows the content instead of the result while it is held.

    Parameters
    ----------
    layers
        The viewer's, from the bottom to the top.
    """

    def __init__(self, layers: Sequence[Any] = ()) -> None:
        super().__init__(
            "◧",
            "Compare",
            f"Hold to see the content instead of the result; or hold {KEY} over the canvas, with "
            "the result selected. Not once the content is deleted.",
        )
        self.setEnabled(False)
        self._layers = layers
        self._compared: tuple[Any, Sequence[Any]] = (None, ())
        self._before: dict[Any, bool] = {}
        self.pressed.connect(self._hide)
        self.released.connect(self._show_again)

    def compare(self, result: Any | None, contents: Sequence[Any]) -> None:
        """Take the layers to compare; a result of None for nothing."""
        self._compared = result, contents
        apt = result is not None and any(layer in self._layers for layer in contents)
        if not apt:  # a disabled button is never released
            self._show_again()
        self.setEnabled(apt)

    def _hide(self) -> None:
        result, contents = self._compared
        self._before = _show_contents(result, self._layers, contents)

    def _show_again(self) -> None:
        before, self._before = self._before, {}
        _restore(before)


def _show_contents(result: Any, layers: Sequence[Any], contents: Sequence[Any]) -> dict[Any, bool]:
    """Show the contents and hide what covers them; return what was visible before."""
    contents = [layer for layer in contents if layer in layers]
    if not contents:
        return {}
    covers = [result, *_covers(result, list(layers), contents)]
    before = {layer: layer.visible for layer in (*covers, *contents)}
    for layer in contents:
        layer.visible = True
    for layer in covers:
        layer.visible = False
    return before


def _covers(result: Any, layers: list[Any], contents: Sequence[Any]) -> list[Any]:
    """Return what lies between a result and the contents, and the results and maps above it."""
    if result not in layers:
        return []
    lowest, top = min(map(layers.index, contents)), layers.index(result)
    return [
        layer
        for place, layer in enumerate(layers)
        # Drawings above the result are left to compare by.
        if layer not in contents
        and (is_result(layer) or is_drift(layer) if place > top else place > lowest)
    ]


def _restore(before: dict[Any, bool]) -> None:
    for layer, visible in before.items():
        layer.visible = visible
