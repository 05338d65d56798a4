"""The widget's controls and where they stand."""

from collections.abc import Callable
from typing import Any

from magicgui.types import FileDialogMode
from magicgui.widgets import CheckBox, ComboBox, Container, FileEdit, LineEdit, PushButton
from qtpy.QtCore import Qt
from qtpy.QtGui import QIcon
from qtpy.QtWidgets import (
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QWidget,
)
from superqt import QCollapsible

from ..settings import PRESETS
from .controls import CountBox, LayerBox, PercentSlider, Picture, may_be_narrow

EVERYWHERE = "everywhere"
"""Chosen instead of a layer of regions in the content."""
WHOLE_STYLE = "whole style"
"""Chosen instead of a layer of regions in the style."""

PROGRESS_TICKS = 1000
_PICTURE_HEIGHT = 128

Choices = Callable[[Any], list[tuple[str, Any]]]

_PRESET_ROW = {"preset": "Preset"}
_ROWS = {
    "style_strength": "Style strength",
    "color": "Colours",
    "size": "Size",
    "steps": "Steps",
    "device": "Device",
}
_SECTIONS = {
    "Regions": {"mask": "Paint", "style_mask": "With", "feather": "Soft edge"},
    "Output and stack": {
        "output": "Output",
        "whole_stack": "",
        "save_to": "Save stack to",
        "scheduler": "Cluster",
    },
}


def make_controls(contents: Choices, styles: Choices, regions: Choices) -> list[Any]:
    """Make the controls, given what offers images to paint, styles, and layers of regions."""
    return [
        LayerBox(
            name="content",
            choices=contents,
            tooltip="The image layer to paint anew. To paint several channels as they look "
            "together, select them in the layer list, then choose them here.",
        ),
        LayerBox(
            name="style",
            choices=styles,
            tooltip="The image layer whose strokes, texture and colours to paint with.",
        ),
        ComboBox(
            name="preset",
            choices=list(PRESETS),
            tooltip="The recipe: how content and style are compared, and how the image "
            "is optimised.",
        ),
        PercentSlider(
            name="style_strength",
            value=50,
            tooltip="How much of the style: 0 % leaves the content nearly as it is, "
            "at 100 % the style takes over; 50 % is the preset's own. May be moved while "
            "a run goes on.",
        ),
        ComboBox(
            name="color",
            choices=[
                ("the style's", "style"),
                ("the content's: only lightness changes", "luminance"),
                ("the style's, matched to the content", "match"),
            ],
            tooltip="Whose colours the result has. “The content's” keeps hue and chroma, "
            "so that stains and channels can still be told apart. May be changed while a run "
            "goes on.",
        ),
        CountBox(
            " px",
            name="size",
            min=0,
            max=32768,
            step=64,
            value=512,
            tooltip="Longest side of the result, in pixels. Smaller is faster; the result "
            "covers the content at any size. 0: the size in words.",
        ),
        CountBox(
            " steps",
            name="steps",
            min=0,
            max=100_000,
            step=50,
            value=0,
            tooltip="How many steps to paint. 0: as many as the preset says.",
        ),
        ComboBox(
            name="device",
            choices=[("auto", "auto"), ("CPU", "cpu")],
            tooltip="What computes. A graphics card is ten to a hundred times as fast as "
            "the CPU; auto takes the fastest there is.",
        ),
        LayerBox(
            name="mask",
            choices=lambda box: [(EVERYWHERE, EVERYWHERE), *regions(box)],
            tooltip="A Labels or Shapes layer on the content: only what it marks is painted, "
            "the other pixels stay as they are.",
        ),
        LayerBox(
            name="style_mask",
            choices=lambda box: [("the whole style", WHOLE_STYLE), *regions(box)],
            tooltip="A Labels or Shapes layer on the style: what is labelled 1 there paints "
            "what is labelled 1 on the content, and so on.",
        ),
        CountBox(
            " px",
            name="feather",
            min=0,
            max=1000,
            value=4,
            tooltip="How wide the regions fade out at their edges, inwards, in pixels of the "
            "result. 0: a sharp edge.",
        ),
        ComboBox(
            name="output",
            choices=[("colour (RGB)", "rgb"), ("intensity (one channel)", "intensity")],
            tooltip="Colour, or one channel with the content's data type, colormap and "
            "contrast limits, for a content of one channel.",
        ),
        CheckBox(
            name="whole_stack",
            text="Whole stack",
            tooltip="Paint all planes of the content, one after another, steady in time. For a "
            "layer of three or more dimensions, not for several channels together. With labels "
            "of all its planes as region, each plane has its own.",
        ),
        FileEdit(
            name="save_to",
            mode=FileDialogMode.OPTIONAL_FILE,
            filter="*.zarr",
            nullable=True,
            tooltip="The zarr array on disk that a stack is painted into, plane by plane. A "
            "stack that was stopped goes on there. Empty: in a folder of its own, named when "
            "it is done.",
        ),
        LineEdit(
            name="scheduler",
            tooltip="Address of a dask scheduler that spreads the planes over its workers, "
            "such as tcp://host:8786, or “local” for workers on this machine. Empty: here, "
            "plane after plane.",
        ),
        PushButton(
            name="run",
            text="Run",
            tooltip="Paint the content in the style, into a new layer over the content.",
        ),
        PushButton(name="pause", text="Pause", tooltip="Wait; Resume goes on from here."),
        PushButton(name="stop", text="Stop", tooltip="End here; what was painted stays."),
    ]


class Form:
    """What stands in the widget beside its controls.

    Parameters
    ----------
    container
        With the controls of :func:`make_controls`; they are laid out in it.
    """

    def __init__(self, container: Container[Any]) -> None:
        self.pictures = {"content": Picture(_PICTURE_HEIGHT), "style": Picture(_PICTURE_HEIGHT)}
        self.description = QLabel()
        self.progress = QProgressBar()
        self.status = QLabel()
        self.sections: dict[str, QCollapsible] = {}
        self._controls = container
        container["scheduler"].native.setPlaceholderText("none: here")
        container["save_to"].line_edit.native.setPlaceholderText("automatic")
        self._lay_out()

    def _lay_out(self) -> None:
        outer = self._controls.native.layout()
        for child in self._controls:
            outer.removeWidget(child.native)
        outer.setContentsMargins(8, 8, 8, 8)
        outer.setSpacing(8)
        outer.addLayout(self._images())
        outer.addLayout(self._settings())
        for title, rows in _SECTIONS.items():
            self.sections[title] = self._section(title, rows)
            outer.addWidget(self.sections[title])
        outer.addLayout(self._buttons())

        self.progress.setRange(0, PROGRESS_TICKS)
        self.progress.setTextVisible(False)
        self.progress.setFixedHeight(8)
        self.progress.setToolTip("How much of the work is done.")
        outer.addWidget(self.progress)
        self.status.setWordWrap(True)
        self.status.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.status.setAlignment(Qt.AlignmentFlag.AlignTop)
        # Two lines at all times, so that nothing jumps when they fill.
        self.status.setMinimumHeight(2 * self.status.fontMetrics().lineSpacing())
        self.status.setToolTip("What the run does, or why it does not.")
        outer.addWidget(self.status)
        self._controls.native.setMinimumWidth(280)

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
        self.description.setMinimumHeight(2 * self.description.fontMetrics().lineSpacing())
        settings = QGridLayout()
        self._fill(settings, _PRESET_ROW)
        settings.addWidget(self.description, settings.rowCount(), 0, 1, 2)
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
        # Arrows that are letters take the theme's colour; the icons are black in any.
        section = QCollapsible(f"▸ {title}", expandedIcon=QIcon(), collapsedIcon=QIcon())
        section.toggled.connect(lambda open_: section.setText(f"{'▾' if open_ else '▸'} {title}"))
        # napari paints a button that is down in its loudest colour.
        section.toggleButton().setStyleSheet(
            "QPushButton, QPushButton:checked, QPushButton:hover "
            "{ background: transparent; border: none; padding: 2px 0; text-align: left; }"
        )
        section.setContent(content)
        section.collapse(animate=False)
        layout = section.layout()
        assert layout is not None
        layout.setContentsMargins(0, 0, 0, 0)
        return section

    def _buttons(self) -> QHBoxLayout:
        buttons = QHBoxLayout()
        buttons.setSpacing(6)
        for name, stretch in (("run", 2), ("pause", 1), ("stop", 1)):
            buttons.addWidget(self._controls[name].native, stretch)
        return buttons


def _label(text: str, buddy: QWidget) -> QLabel:
    label = QLabel(text)
    label.setBuddy(buddy)
    label.setToolTip(buddy.toolTip())
    return label
