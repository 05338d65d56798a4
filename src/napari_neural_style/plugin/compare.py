"""Before and after: the content instead of the result, while a button or a key is held."""

from collections.abc import Iterator
from typing import Any

from qtpy.QtCore import QSize, Qt
from qtpy.QtWidgets import QToolButton

KEY = "B"
"""Held while a result is selected, it hides that."""


def peek_below(layer: Any) -> Iterator[None]:
    """Hide a layer until the key is released; for ``layer.bind_key``."""
    visible = layer.visible
    layer.visible = False
    yield
    layer.visible = visible


class CompareButton(QToolButton):
    """Shows the content instead of the result while it is held."""

    def __init__(self) -> None:
        super().__init__()
        self.setText("◧")
        self.setFixedSize(QSize(26, 24))
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName("Compare")
        self.setToolTip(
            f"Hold to see the content instead of the result; or hold {KEY} over the canvas, with "
            "the result selected."
        )
        self.setEnabled(False)
        self._layers: tuple[Any, tuple[Any, ...]] = (None, ())
        self._before: dict[Any, bool] = {}
        self.pressed.connect(self._hide)
        self.released.connect(self._restore)

    def compare(self, result: Any | None, contents: tuple[Any, ...]) -> None:
        """Take the layers to compare; a result of None for nothing."""
        self._layers = result, contents
        self.setEnabled(result is not None)

    def _hide(self) -> None:
        result, contents = self._layers
        self._before = {layer: layer.visible for layer in (result, *contents)}
        for layer in contents:
            layer.visible = True
        result.visible = False

    def _restore(self) -> None:
        before, self._before = self._before, {}
        for layer, visible in before.items():
            layer.visible = visible
