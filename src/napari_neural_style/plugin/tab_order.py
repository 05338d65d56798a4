"""The order in which Tab goes through a layout: as it is read."""

from collections.abc import Iterator
from itertools import pairwise

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLayout, QScrollArea, QWidget


def order_tabs(layout: QLayout) -> None:
    """Let Tab go through what stands in a layout from its first item to its last.

    Qt goes in the order in which widgets were made, and to new ones last.
    """
    for before, after in pairwise(_stops(layout)):
        QWidget.setTabOrder(before, after)


def _stops(layout: QLayout | None) -> Iterator[QWidget]:
    for index in range(layout.count() if layout is not None else 0):
        assert layout is not None
        item = layout.itemAt(index)
        assert item is not None
        widget = item.widget()
        if widget is None:
            yield from _stops(item.layout())
        elif widget.focusPolicy() & Qt.FocusPolicy.TabFocus:
            yield widget
        elif isinstance(widget, QScrollArea):
            inner = widget.widget()
            yield from _stops(inner.layout() if inner is not None else None)
        else:
            yield from _stops(widget.layout())
