"""The weights of the style's layers, as sliders side by side from fine to coarse."""

import math
from collections.abc import Mapping
from functools import partial

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QHBoxLayout, QLabel, QSlider, QVBoxLayout, QWidget

_HEIGHT = 72
_MIDDLE, _TOP = 50, 100
_DECADES = 1.5
"""From the middle of a slider to its top; its bottom is 0."""


class Equalizer(QWidget):
    """A slider for each layer of the style loss; in the middle is the preset's own weight."""

    changed = Signal()
    """The user moved a slider."""
    rebuilt = Signal()
    """There are other sliders."""

    def __init__(self) -> None:
        super().__init__()
        self._reference: dict[str, float] = {}
        self._weights: dict[str, float] = {}
        self._sliders: dict[str, QSlider] = {}
        self._labels: dict[str, QLabel] = {}
        self._row = QHBoxLayout(self)
        self._row.setContentsMargins(0, 0, 0, 0)
        self._row.setSpacing(4)

    @property
    def weights(self) -> dict[str, float]:
        """The weight of each layer; exactly as set, where its slider was not moved."""
        return dict(self._weights)

    def offer(self, reference: Mapping[str, float], weights: Mapping[str, float]) -> None:
        """Show other layers.

        Parameters
        ----------
        reference
            Weights, by layer, that stand in the middle.
        weights
            Weights of the same layers that the sliders show.
        """
        if list(reference) != list(self._sliders):
            self._build(list(reference))
        self._reference = dict(reference)
        self.show_weights(weights)

    def show_weights(self, weights: Mapping[str, float]) -> None:
        """Move the sliders, silently."""
        self._weights = dict(weights)
        for layer, slider in self._sliders.items():
            slider.blockSignals(True)
            slider.setValue(_position(self._weights[layer], self._reference[layer]))
            slider.blockSignals(False)
            self._describe(layer)

    def _build(self, layers: list[str]) -> None:
        while (item := self._row.takeAt(0)) is not None:
            band = item.widget()
            assert band is not None
            band.hide()
            band.deleteLater()
        self._sliders = {layer: QSlider(Qt.Orientation.Vertical) for layer in layers}
        self._labels = {}
        for layer, slider in self._sliders.items():
            slider.setRange(0, _TOP)
            slider.setFixedHeight(_HEIGHT)
            slider.setAccessibleName(f"Weight of {layer}")
            slider.valueChanged.connect(partial(self._move, layer))
            band = QWidget()
            column = QVBoxLayout(band)
            column.setContentsMargins(0, 0, 0, 0)
            column.setSpacing(2)
            column.addWidget(slider, alignment=Qt.AlignmentFlag.AlignHCenter)
            label = QLabel(layer.removeprefix("relu").removeprefix("conv"))
            label.setBuddy(slider)
            column.addWidget(label, alignment=Qt.AlignmentFlag.AlignHCenter)
            self._labels[layer] = label
            self._row.addWidget(band)
        self.rebuilt.emit()

    def _move(self, layer: str, position: int) -> None:
        self._weights[layer] = self._reference[layer] * _factor(position)
        self._describe(layer)
        self.changed.emit()

    def _describe(self, layer: str) -> None:
        place = list(self._sliders).index(layer)
        kind = "the finest grain" if place == 0 else "coarser patterns"
        if place == len(self._sliders) - 1 > 0:
            kind = "the largest shapes"
        for part in (self._sliders[layer], self._labels[layer]):
            part.setToolTip(f"{layer}, {kind}: weight {self._weights[layer]:.3g}. Live.")


def _factor(position: int) -> float:
    """What a slider's position multiplies the weight in the middle with."""
    return float(10 ** (_DECADES * (position - _MIDDLE) / _MIDDLE)) if position else 0.0


def _position(weight: float, reference: float) -> int:
    """The position of a slider that comes nearest to a weight."""
    if weight <= 0 or reference <= 0:
        return 0
    position = _MIDDLE * (1 + math.log10(weight / reference) / _DECADES)
    return round(min(max(position, 1), _TOP))
