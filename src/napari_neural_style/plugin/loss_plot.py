"""A live plot of the losses."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from napari.utils.theme import get_theme
from numpy.typing import NDArray
from qtpy.QtCore import QEvent, QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QMouseEvent, QPainter, QPaintEvent, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

from .loss_axis import loss_ticks, step_ticks
from .loss_curves import NAMES, LossCurves
from .loss_point import LossPoint

_HUES = {"dark": ("#f0a43c", "#5cb0ff"), "light": ("#b45300", "#1565c0")}
"""Of style and content; told apart also by who cannot tell red from green."""
_WIDTHS = (2.2, 1.3, 1.3)  # the total below the others, which often hide it
_FONT_SHARE = 0.85  # of the widget's
_GAP = 4.0
_DOT = 3.0


class LossPlot(QWidget):
    """Total, style and content loss over the steps, the losses on a logarithmic axis.

    Thin vertical lines mark where a scale begins, with its longest side in pixels. Under
    the mouse, the losses of that step stand in the legend.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setMinimumSize(160, 80)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setMouseTracking(True)
        self.setAccessibleName("Losses")
        self.setToolTip(
            "How far the picture is from the style and from the content, step by step. "
            "A vertical line marks a new scale."
        )
        self._curves = LossCurves()
        self._mouse: float | None = None
        self.set_theme(get_theme("dark"))

    def sizeHint(self) -> QSize:
        """As wide as a dock, and low."""
        return QSize(330, 110)

    def set_theme(self, theme: Any) -> None:
        """Take the colours of one of napari's themes."""
        names = ("text", "foreground", "highlight", "background")
        colors = [QColor(getattr(theme, name).as_hex()) for name in names]
        text, self._panel, self._line, background = colors
        hues = _HUES["dark" if background.lightness() < text.lightness() else "light"]
        self._colors = (text, *map(QColor, hues))
        self._quiet, self._veil = QColor(text), QColor(self._panel)
        self._quiet.setAlphaF(0.7)
        self._veil.setAlphaF(0.7)
        self.update()

    def clear(self) -> None:
        """Forget all points."""
        self._curves.clear()
        self.update()

    def add(self, points: Iterable[LossPoint]) -> None:
        """Add what a run told since the last time.

        Parameters
        ----------
        points
            In the order of their steps. A step no later than the last one means that the
            run went back: what lay behind it is forgotten.
        """
        self._curves.add(points)
        self.update()

    def mouseMoveEvent(self, event: QMouseEvent | None) -> None:
        """Show the losses under the mouse."""
        assert event is not None
        self._mouse = event.position().x()
        self.update()

    def leaveEvent(self, event: QEvent | None) -> None:
        """Show the bare legend again."""
        self._mouse = None
        self.update()

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw all of it."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        font = self.font()
        font.setPointSizeF(_FONT_SHARE * self.fontInfo().pointSizeF())
        painter.setFont(font)
        metrics, line = painter.fontMetrics(), painter.fontMetrics().height()
        low, high = self._curves.range
        ticks = loss_ticks(low, high, max(3, (self.height() - 2 * line) // (2 * line)))
        left = max(map(metrics.horizontalAdvance, ticks.values())) + _GAP
        area = QRectF(self.rect()).adjusted(left, line + _GAP, -_GAP, -line)
        painter.fillRect(area, self._panel)
        if not self._curves.points:
            self._write(painter, "No losses yet", area.center().x(), area.center().y(), 0.5)
            return
        self._draw_grid(painter, area, ticks)
        self._draw_curves(painter, area)
        hovered = None
        if self._mouse is not None:
            hovered = int(np.abs(self._x(area, self._curves.steps) - self._mouse).argmin())
        self._write_legend(painter, area.left(), hovered)
        self._write_steps(painter, area, hovered)
        self._mark_scales(painter, area)

    def _x(self, area: QRectF, steps: Any) -> Any:
        return area.left() + area.width() * steps / self._curves.steps[-1]

    def _y(self, area: QRectF, exponents: Any) -> Any:
        low, high = self._curves.range
        return area.bottom() - area.height() * (exponents - low) / (high - low)

    def _draw_grid(self, painter: QPainter, area: QRectF, ticks: dict[float, str]) -> None:
        for exponent, label in ticks.items():
            height = self._y(area, exponent)
            painter.setPen(QPen(self._line, 0.5))
            painter.drawLine(QPointF(area.left(), height), QPointF(area.right(), height))
            self._write(painter, label, area.left() - _GAP, height, 1)

    def _draw_curves(self, painter: QPainter, area: QRectF) -> None:
        x, y = self._x(area, self._curves.steps), self._y(area, self._curves.exponents)
        painter.setClipRect(area)
        for color, width, heights in zip(self._colors, _WIDTHS, y.T, strict=True):
            painter.setPen(QPen(color, width))
            painter.drawPolyline(_outline(x, heights))
        painter.setClipping(False)

    def _write_steps(self, painter: QPainter, area: QRectF, hovered: int | None) -> None:
        steps = self._curves.steps
        if hovered is None:
            for step in step_ticks(int(steps[-1]), max(2, int(area.width()) // 60)):
                self._write_step(painter, area, step, str(step) if step else "step 0")
        else:
            x = self._x(area, steps[hovered])
            painter.setPen(self._quiet)
            painter.drawLine(QPointF(x, area.top()), QPointF(x, area.bottom()))
            self._write_step(painter, area, steps[hovered], f"step {steps[hovered]:.0f}")

    def _mark_scales(self, painter: QPainter, area: QRectF) -> None:
        line, free = painter.fontMetrics().height(), area.left()
        for step, pixels in self._curves.scales:
            x = self._x(area, step)
            painter.setPen(QPen(self._quiet, 0.7))
            painter.drawLine(QPointF(x, area.top()), QPointF(x, area.bottom()))
            label = f"{pixels} px"
            width = painter.fontMetrics().horizontalAdvance(label) + _GAP
            if free <= x and x + width <= area.right():  # or else the line must do
                painter.fillRect(QRectF(x + 1, area.bottom() - line, width, line), self._veil)
                self._write(painter, label, x + _GAP, area.bottom() - line / 2)
                free = x + width

    def _write_step(self, painter: QPainter, area: QRectF, step: float, text: str) -> None:
        half = painter.fontMetrics().horizontalAdvance(text) / 2
        x = min(max(self._x(area, step), area.left() + half), self.width() - half)
        self._write(painter, text, x, area.bottom() + painter.fontMetrics().height() / 2, 0.5)

    def _write_legend(self, painter: QPainter, x: float, hovered: int | None) -> None:
        metrics = painter.fontMetrics()
        for name, color in zip(NAMES, self._colors, strict=True):
            text = name
            if hovered is not None:
                text += f" {self._curves.points[hovered].losses.get(name, np.nan):.3g}"
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(color)
            painter.drawEllipse(QPointF(x + _DOT, metrics.height() / 2), _DOT, _DOT)
            self._write(painter, text, x + 2 * _DOT + _GAP, metrics.height() / 2)
            x += 2 * _DOT + 3 * _GAP + metrics.horizontalAdvance(text)

    def _write(self, painter: QPainter, text: str, x: float, y: float, anchor: float = 0) -> None:
        """Write a line whose middle is at y, and whose start (0), middle or end (1) is at x."""
        metrics = painter.fontMetrics()
        painter.setPen(self._quiet)
        x -= anchor * metrics.horizontalAdvance(text)
        painter.drawText(QPointF(x, y + metrics.ascent() - metrics.height() / 2), text)


def _outline(x: NDArray[np.float64], y: NDArray[np.float64]) -> QPolygonF:
    """Join the points that are no NaN; of those in one column of pixels two will do."""
    x, y = x[np.isfinite(y)], y[np.isfinite(y)]
    starts = np.flatnonzero(np.diff(x.astype(int), prepend=-1))
    ends = [extreme.reduceat(y, starts).tolist() for extreme in (np.minimum, np.maximum)]
    columns = zip(x[starts].tolist(), *ends, strict=True)
    return QPolygonF([QPointF(column, end) for column, *both in columns for end in both])
