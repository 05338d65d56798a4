"""How the widget is laid out: what stands where, and what stands beside its controls."""

from functools import partial
from typing import Any

from magicgui.widgets import Container
from qtpy.QtCore import QSize, Qt, QTimer
from qtpy.QtGui import QIcon, QPixmap
from qtpy.QtWidgets import (
    QAbstractSlider,
    QAbstractSpinBox,
    QComboBox,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QProgressBar,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)
from superqt import QCollapsible

from .controls import Notice, Picture, SymbolButton, may_be_narrow
from .equalizer import Equalizer
from .tab_order import order_tabs

PROGRESS_TICKS = 1000
_PICTURE_HEIGHT = 96
_LEAST_WIDTH = 280
_WIDTH = 350
_MARGIN = 8
_SECTION_HEIGHT = 20
_UNFOLDING_MS = 150

_ROWS = {
    "style_strength": "Strength",
    "texture": "Texture",
    "color": "Colours",
    "size": "Size",
    "steps": "Steps",
    "device": "Device",
}
_SECTIONS = {
    "Second style": {"style_2": "And", "mix": "Its share"},
    "Regions": {"mask": "Paint", "style_mask": "With", "feather": "Soft edge"},
    "Details": {
        "content_weight": "Content weight",
        "tv_weight": "Smoothness",
        "weights": "Encoder",
    },
    "Output and stack": {
        "output": "Output",
        "whole_stack": "",
        "save_to": "Save stack to",
        "scheduler": "Cluster",
        "checkpoint": "Checkpoint",
    },
}
_LOOK = """
QSlider::groove:vertical {{ width: 6px; background: {primary}; border-radius: 2px; }}
QSlider::add-page:vertical {{ background: {secondary}; border-radius: 2px; }}
QSlider::handle:vertical {{
    height: 16px; margin: 0px -5px; background: {secondary}; border-radius: 8px;
}}
QSlider::handle:vertical:hover {{ background: {highlight}; }}
QSlider::handle:focus {{ background: {icon}; }}
QSlider::handle:disabled, QSlider::sub-page:horizontal:disabled,
QSlider::add-page:vertical:disabled {{ background: rgba(128, 128, 128, 70); }}
QPushButton {{ padding: 3px; border: 1px solid transparent; }}
QPushButton:disabled {{ border-color: {primary}; }}
QPushButton:focus, QComboBox:focus, QAbstractSpinBox:focus, QCheckBox::indicator:focus {{
    border: 1px solid {icon};
}}
QComboBox:focus {{ padding: 2px 9px 2px 7px; }}
QAbstractSpinBox:focus {{ padding: 0px 9px; }}
"""
"""What napari's theme leaves out: vertical sliders, sliders that are disabled, and where the
keyboard is. Nothing changes its size by that."""
_HINTS = {
    "Second style": "A second style, mixed with the first.",
    "Regions": "Where to paint, and with which part of the style.",
    "Details": "The weights of the losses and of the style's layers, and the encoder.",
    "Output and stack": "The kind of layer to paint; and how to paint a whole stack.",
}
"""What is in the sections."""
_NAMED = (QAbstractSlider, QAbstractSpinBox, QComboBox, QLineEdit)
"""What has no words of its own for those who hear it."""


class Form:
    """What stands in the widget beside its controls.

    The choices scroll where the dock is low; Run and what tells about the run stay in sight.

    Parameters
    ----------
    container
        With the controls of :func:`~.fields.make_controls`; they are laid out in it.
    """

    def __init__(self, container: Container[Any]) -> None:
        self.pictures = {"content": Picture(_PICTURE_HEIGHT), "style": Picture(_PICTURE_HEIGHT)}
        self.menu = SymbolButton("⋯", "Menu", "Recipes: take over, save and load settings.")
        self.help = SymbolButton("?", "Help", "The documentation, in the browser.")
        self.description = QLabel()
        self.equalizer = Equalizer()
        self.forecast = QLabel()
        self.progress = QProgressBar()
        self.status = Notice(3, "What the run does, or why it does not.")
        self._below = QVBoxLayout()
        self._of_runs: list[QWidget] = []
        self.sections: dict[str, QCollapsible] = {}
        self._controls = container
        container["scheduler"].native.setPlaceholderText("none: here")
        container["save_to"].line_edit.native.setPlaceholderText("automatic")
        container["checkpoint"].line_edit.native.setPlaceholderText("none")
        self._lay_out()
        self.equalizer.rebuilt.connect(self._order_tabs)
        self._order_tabs()

    def set_theme(self, theme: Any) -> None:
        """Take on the colours of one of napari's themes."""
        names = ("primary", "secondary", "highlight", "icon")
        colors = {name: getattr(theme, name).as_hex() for name in names}
        self._controls.native.setStyleSheet(_LOOK.format(**colors))

    def add_below(self, *widgets: QWidget) -> None:
        """Add a row of what tells about a run; it is not seen before there is one."""
        row = QHBoxLayout()
        row.setSpacing(6)
        for widget in widgets:
            row.addWidget(widget, 1)
            widget.hide()
        row.addStretch()  # of the last ones, some may be hidden
        self._below.addLayout(row)
        self._of_runs += widgets
        self._order_tabs()

    def show_below(self) -> None:
        """Show what tells about a run."""
        for widget in self._of_runs:
            widget.show()

    def _order_tabs(self) -> None:
        order_tabs(self._controls.native.layout())

    def _lay_out(self) -> None:
        outer = self._controls.native.layout()
        for child in self._controls:
            outer.removeWidget(child.native)
        outer.setContentsMargins(_MARGIN, _MARGIN, _MARGIN, _MARGIN)
        outer.setSpacing(6)
        self._choices = _Scrolling()
        self._choices.setWidget(self._column())
        outer.addWidget(self._choices, 1)

        self.forecast.setWordWrap(True)
        self.forecast.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.forecast.setAlignment(Qt.AlignmentFlag.AlignTop)
        # A line at all times, so that nothing jumps when it fills.
        self.forecast.setMinimumHeight(self.forecast.fontMetrics().lineSpacing())
        self.forecast.setToolTip("What the run would take, and what this machine has free.")
        self.progress.setRange(0, PROGRESS_TICKS)
        self.progress.setTextVisible(False)
        self.progress.setFixedHeight(6)
        self.progress.setToolTip("How much of the work is done.")
        outer.addWidget(self.forecast)
        outer.addLayout(self._buttons())
        outer.addWidget(self.progress)
        outer.addWidget(self.status)
        self._below.setSpacing(4)
        outer.addLayout(self._below)
        self._controls.native.setMinimumWidth(_LEAST_WIDTH)

    def _column(self) -> QWidget:
        choices = QWidget()
        column = QVBoxLayout(choices)
        column.setContentsMargins(0, 0, 6, 0)
        column.setSpacing(8)
        column.addLayout(self._images())
        column.addLayout(self._settings())
        for title, rows in _SECTIONS.items():
            self.sections[title] = self._section(title, rows)
            self.sections[title].toggleButton().setToolTip(_HINTS[title])
            column.addWidget(self.sections[title])
        column.addStretch(1)
        return choices

    def _images(self) -> QGridLayout:
        images = QGridLayout()
        images.setHorizontalSpacing(10)
        images.setVerticalSpacing(4)
        for column, (name, picture) in enumerate(self.pictures.items()):
            box = self._controls[name].native
            images.addWidget(_label(name.capitalize(), box), 0, column)
            images.addWidget(picture, 1, column)
            images.addWidget(box, 2, column)
            images.setColumnStretch(column, 1)
            may_be_narrow(box)
        return images

    def _settings(self) -> QGridLayout:
        self.description.setWordWrap(True)
        self.description.setToolTip("What the controls are set to.")
        self.description.setMinimumHeight(2 * self.description.fontMetrics().lineSpacing())
        preset = QHBoxLayout()
        preset.setSpacing(4)
        box = self._controls["preset"].native
        preset.addWidget(box, 1)
        preset.addWidget(self.menu)
        preset.addWidget(self.help)
        may_be_narrow(box)
        settings = QGridLayout()
        settings.addWidget(_label("Preset", box), 0, 0)
        settings.addLayout(preset, 0, 1)
        settings.addWidget(self.description, 1, 0, 1, 2)
        self._fill(settings, _ROWS)
        return settings

    def _fill(self, grid: QGridLayout, rows: dict[str, str]) -> None:
        """Add a row for each control, below those that are there."""
        grid.setHorizontalSpacing(10)
        grid.setVerticalSpacing(6)
        grid.setColumnStretch(1, 1)
        for row, (name, text) in enumerate(rows.items(), start=grid.rowCount()):
            control = self._controls[name].native
            grid.addWidget(_label(text, control), row, 0)
            grid.addWidget(control, row, 1)
            may_be_narrow(control)

    def _section(self, title: str, rows: dict[str, str]) -> QCollapsible:
        content = QWidget()
        grid = QGridLayout(content)
        grid.setContentsMargins(12, 0, 0, 0)
        self._fill(grid, rows)
        if title == "Details":
            label = QLabel("Style layers, fine to coarse")
            label.setToolTip("The weights of the style's layers.")
            for part in (label, self.equalizer):
                grid.addWidget(part, grid.rowCount(), 0, 1, 2)
        # Arrows that are letters take the theme's colour; the icons are black in any.
        section = QCollapsible(f"▸ {title}", expandedIcon=_no_icon(), collapsedIcon=_no_icon())
        section.toggled.connect(lambda open_: section.setText(f"{'▾' if open_ else '▸'} {title}"))
        # napari paints a button that is down in its loudest colour.
        section.toggleButton().setStyleSheet(
            "QPushButton, QPushButton:checked, QPushButton:hover "
            "{ background: transparent; padding: 0px; text-align: left; }"
        )
        section.toggleButton().setMinimumHeight(_SECTION_HEIGHT)
        section.setContent(content)
        # What is only squeezed to no height would still be a stop of Tab.
        section.toggled.connect(content.setVisible)
        section.collapse(animate=False)
        section.setDuration(_UNFOLDING_MS)
        section.toggled.connect(lambda open_: self._choices.reveal(section if open_ else None))
        layout = section.layout()
        assert layout is not None
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        return section

    def _buttons(self) -> QHBoxLayout:
        buttons = QHBoxLayout()
        buttons.setSpacing(6)
        for name, stretch in (("run", 3), ("go_on", 2), ("pause", 2), ("stop", 2)):
            buttons.addWidget(self._controls[name].native, stretch)
        return buttons


def _no_icon() -> QIcon:
    """Return an icon that is not seen; an empty one counts as none with PySide."""
    pixels = QPixmap(1, 1)
    pixels.fill(Qt.GlobalColor.transparent)
    return QIcon(pixels)


class _Scrolling(QScrollArea):
    def __init__(self) -> None:
        super().__init__()
        self.setWidgetResizable(True)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._revealed: QWidget | None = None
        # Qt lays out what is new in several goes, the last ones after the animation.
        self._laid_out = QTimer(self)
        self._laid_out.setSingleShot(True)
        self._laid_out.setInterval(4 * _UNFOLDING_MS)
        self._laid_out.timeout.connect(partial(self.reveal, None))
        bar = self.verticalScrollBar()
        assert bar is not None
        bar.rangeChanged.connect(self._scroll)
        bar.rangeChanged.connect(self._keep_room)
        self._keep_room(0, 0)

    def sizeHint(self) -> QSize:
        """As wide as the widget is read at ease; it can be made narrower."""
        return QSize(_WIDTH - 2 * _MARGIN, super().sizeHint().height())

    def reveal(self, section: QWidget | None) -> None:
        """Keep a section in sight while it unfolds; None for none."""
        self._scroll()
        self._revealed = section
        if section is not None:
            self._laid_out.start()

    def _keep_room(self, low: int, high: int) -> None:
        """Leave the bar its room where there is none: nothing is to move when it comes."""
        bar = self.verticalScrollBar()
        assert bar is not None
        self.setViewportMargins(0, 0, 0 if high > low else bar.sizeHint().width(), 0)

    def _scroll(self, *_range: int) -> None:
        bar, viewport = self.verticalScrollBar(), self.viewport()
        if self._revealed is None or bar is None or viewport is None:
            return
        top = self._revealed.y()
        bottom = top + self._revealed.height()
        # As little as it takes, but of one that does not fit in, the beginning.
        bar.setValue(min(max(bar.value(), bottom - viewport.height()), top))


def _label(text: str, buddy: QWidget) -> QLabel:
    label = QLabel(text)
    label.setBuddy(buddy)
    label.setToolTip(buddy.toolTip())
    # Of several parts, such as a slider and its box, each is heard by the label's name.
    for part in (buddy, *buddy.findChildren(QWidget)):
        if isinstance(part, _NAMED):
            part.setAccessibleName(text)
    return label
