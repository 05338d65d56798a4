"""The controls that magicgui does not have."""

from typing import Any

import numpy as np
from magicgui.backends._qtpy.widgets import ComboBox as NativeComboBox
from magicgui.backends._qtpy.widgets import QBaseRangedWidget, QBaseValueWidget
from magicgui.backends._qtpy.widgets import Slider as NativeSlider
from magicgui.widgets.bases import CategoricalWidget, RangedWidget
from numpy.typing import NDArray
from qtpy.QtCore import QEvent, QSize, Qt
from qtpy.QtGui import QImage, QPaintEvent, QPixmap, QResizeEvent
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QLabel,
    QPushButton,
    QSizePolicy,
    QSpinBox,
    QStyle,
    QStyleOptionComboBox,
    QStylePainter,
    QWidget,
)

_CURSOR = 12
"""Pixels that Qt leaves in a box beside its number."""


class _ElidingBox(QComboBox):
    def paintEvent(self, e: QPaintEvent | None) -> None:
        """End what does not fit in with an ellipsis; Qt cuts it off."""
        option = QStyleOptionComboBox()
        self.initStyleOption(option)
        painter, style = QStylePainter(self), self.style()
        assert style is not None
        box = QStyle.ComplexControl.CC_ComboBox
        painter.drawComplexControl(box, option)
        field = QStyle.SubControl.SC_ComboBoxEditField
        room = style.subControlRect(box, option, field, self).width()
        elide = Qt.TextElideMode.ElideRight
        option.currentText = self.fontMetrics().elidedText(option.currentText, elide, room)
        painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)


class _NativeChoice(NativeComboBox):
    def __init__(self, **kwargs: Any) -> None:
        # magicgui's own makes a box of Qt's.
        QBaseValueWidget.__init__(self, _ElidingBox, "isChecked", "setCurrentIndex", "", **kwargs)
        self._qwidget.currentIndexChanged.connect(self._emit_data)


class Choice(CategoricalWidget[Any]):
    """A choice whose name ends with an ellipsis where the box is too narrow for it."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(widget_type=_NativeChoice, **kwargs)


class LayerBox(Choice):
    """A choice of layers that stays with its layer when that is renamed or moved."""

    def reset_choices(self, *_: Any) -> None:
        """Offer the layers there are now."""
        before = self.value
        # Within, another layer may be chosen for a moment, by its name or its place.
        with self.changed.blocked():
            super().reset_choices()
            if before in self.choices:
                self.value = before
        if self.value is not before:
            self.changed.emit(self.value)


class _CountBox(QSpinBox):
    least = 0

    def valueFromText(self, text: str | None) -> int:
        """Take nothing between the smallest value, which words stand for, and the least."""
        value = super().valueFromText(text)
        return value if value <= self.minimum() else max(value, self.least)


class _NativeCountBox(QBaseRangedWidget):
    _qwidget: Any

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(_CountBox, **kwargs)
        # A number being typed is not yet a value.
        self._qwidget.setKeyboardTracking(False)


class CountBox(RangedWidget[int]):
    """A whole number with a unit, and with words instead of its smallest value.

    Parameters
    ----------
    unit
        What follows the number.
    least
        The smallest number that may be typed but for the smallest value.
    **kwargs
        As for magicgui's ranged widgets.
    """

    def __init__(self, unit: str, least: int = 0, **kwargs: Any) -> None:
        super().__init__(widget_type=_NativeCountBox, **kwargs)
        self.native.setSuffix(unit)
        self.native.least = least

    def set_words_for_smallest(self, words: str) -> None:
        """Show these words instead of the smallest value."""
        self.native.setSpecialValueText(words)


class _WeightBox(QDoubleSpinBox):
    def textFromValue(self, v: float) -> str:
        """Show no digits that say nothing."""
        return f"{v:.10g}"


class _NativeWeightBox(QBaseRangedWidget):
    _qwidget: Any

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(_WeightBox, **kwargs)
        self._qwidget.setKeyboardTracking(False)
        # Weights come in all decades.
        self._qwidget.setStepType(QDoubleSpinBox.StepType.AdaptiveDecimalStepType)


class WeightBox(RangedWidget[float]):
    """A weight of a loss, from 0 up."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(min=0.0, max=1e9, step=None, widget_type=_NativeWeightBox, **kwargs)
        self.native.setDecimals(4)


class _PercentBox(QSpinBox):
    def __init__(self) -> None:
        super().__init__()
        self.setSuffix(" %")
        self.setKeyboardTracking(False)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:
        """As wide as its widest number; Qt asks for twice that, which the slider would lack."""
        width = self.fontMetrics().horizontalAdvance("100 %") + _CURSOR
        return QSize(width, super().sizeHint().height())


class _NativePercentSlider(NativeSlider):
    _readout: Any = _PercentBox

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # Without buttons, Qt 6.12 leaves no room for the number; with them, none may be seen.
        self._readout_widget.setButtonSymbols(QSpinBox.ButtonSymbols.UpDownArrows)
        self._readout_widget.setStyleSheet(
            "QSpinBox { background: transparent; border: 0; padding: 1px 0px; min-width: 0px; } "
            "QSpinBox::up-button, QSpinBox::down-button { width: 0px; } "
            "QSpinBox::up-arrow, QSpinBox::down-arrow { image: none; width: 0px; }"
        )

    def _mgui_set_enabled(self, enabled: bool) -> None:
        """Enable the slider and the box: magicgui forgets the box."""
        self._container.setEnabled(enabled)

    def _mgui_set_tooltip(self, value: str | None) -> None:
        for part in (self._container, self._qwidget, self._readout_widget):
            part.setToolTip(value or "")


class PercentSlider(RangedWidget[int]):
    """A slider from 0 to 100 % beside a box to type in."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(min=0, max=100, widget_type=_NativePercentSlider, **kwargs)


class Picture(QLabel):
    """A picture that keeps its proportions in the space it is given."""

    def __init__(self, height: int) -> None:
        super().__init__()
        self._pixmap = QPixmap()
        self.setFixedHeight(height)
        self.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    def show_pixels(self, pixels: NDArray[np.uint8] | None) -> None:
        """Show an ``(h, w, 3)`` image, or nothing."""
        self._pixmap = QPixmap()
        if pixels is not None:
            height, width = pixels.shape[:2]
            data = np.ascontiguousarray(pixels).tobytes()
            image = QImage(data, width, height, 3 * width, QImage.Format.Format_RGB888)
            self._pixmap = QPixmap.fromImage(image.copy())
        self._fit()

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Fit the picture into the new size."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        if self._pixmap.isNull():
            self.clear()
            return
        ratio = self.devicePixelRatioF()
        space = QSize(round(self.width() * ratio), round(self.height() * ratio))
        fitted = self._pixmap.scaled(
            space,
            Qt.AspectRatioMode.KeepAspectRatio,
            Qt.TransformationMode.SmoothTransformation,
        )
        fitted.setDevicePixelRatio(ratio)
        self.setPixmap(fitted)


class StillLabel(QWidget):
    """A label of a fixed size, whatever its text is.

    With each text, a label of Qt's asks for another size: the whole window is laid out and put
    together anew, the canvas too, which where there is no GPU takes 20 ms from the run.
    """

    def __init__(self) -> None:
        super().__init__()
        self._label = QLabel(self)  # in no layout, which would ask on its behalf

    def text(self) -> str:
        """Return the text."""
        return self._label.text()

    def setText(self, text: str) -> None:
        """Show a text."""
        self._label.setText(text)

    def fit(self, text: str) -> None:
        """Be as wide as a text needs, in the theme's font."""
        shown = self._label.text()
        self._label.setText(text)
        self.setFixedWidth(self._label.sizeHint().width())
        self._label.setText(shown)

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Take all the room there is."""
        super().resizeEvent(event)
        self._label.resize(self.size())


class Notice(StillLabel):
    """Text in a place of a fixed height; its tooltip has what does not fit in.

    Parameters
    ----------
    lines
        How many there is room for.
    hint
        What the tooltip says of the place, where the text fits.
    """

    def __init__(self, lines: int, hint: str) -> None:
        super().__init__()
        self._lines, self._whole, self._hint = lines, "", hint
        self._label.setWordWrap(True)
        self._label.setTextFormat(Qt.TextFormat.PlainText)
        self._label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._label.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self._make_room()

    def text(self) -> str:
        """Return the whole text."""
        return self._whole

    def setText(self, text: str | None) -> None:
        """Show a text, or the beginning of it."""
        self._whole = text or ""
        self._fit()

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Show as much as fits into the new size."""
        super().resizeEvent(event)
        self._fit()

    def changeEvent(self, event: QEvent | None) -> None:
        """Follow another font or theme."""
        super().changeEvent(event)
        if event is not None and event.type() in (QEvent.Type.FontChange, QEvent.Type.StyleChange):
            self._make_room()

    def _make_room(self) -> None:
        self._label.setText("\n".join("X" * self._lines))
        self.setFixedHeight(self._label.sizeHint().height())
        self._fit()

    def _fit(self) -> None:
        shown, words = self._whole, self._whole.split(" ")
        self._label.setText(shown)
        while len(words) > 1 and self._label.heightForWidth(self.width()) > self.height():
            words.pop()
            shown = " ".join(words) + " …"
            self._label.setText(shown)
        self.setToolTip(self._hint if shown == self._whole else self._whole)


def may_be_narrow(native: QWidget) -> None:
    """Let a control shrink below what its longest text asks for."""
    if isinstance(native, QComboBox):
        native.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        native.setMinimumContentsLength(8)
    native.setMinimumWidth(60)
    native.setSizePolicy(QSizePolicy.Policy.Expanding, native.sizePolicy().verticalPolicy())


class SymbolButton(QPushButton):
    """A small button with a symbol instead of words.

    Parameters
    ----------
    symbol
        One character.
    name
        For those who hear it instead.
    tooltip
        What it does.
    """

    def __init__(self, symbol: str, name: str, tooltip: str) -> None:
        super().__init__(symbol)
        # Qt's arrow for a menu would leave no room for the symbol.
        self.setStyleSheet(
            "QPushButton { padding: 0px; } QPushButton::menu-indicator { image: none; width: 0px; }"
        )
        self.setFixedSize(QSize(26, 24))
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName(name)
        self.setToolTip(tooltip)
