"""The dock widget: choose two layers, press Run, watch the result paint itself."""

import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from magicgui.widgets import ComboBox, Container, PushButton
from napari.layers import Image
from napari.utils.notifications import notification_manager, show_error, show_info
from napari.utils.theme import get_theme
from psygnal import Signal
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import (
    QApplication,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QWidget,
)

from ..pace import duration
from ..settings import PRESETS, Settings, strength_to_weight
from .activity import ActivityBar
from .controls import CountBox, LayerBox, PercentSlider, Picture, may_be_narrow
from .layers import Plane, displayed_plane, is_result, quoted, thumbnail
from .machine import Machine, load_engine
from .preferences import remembered
from .result import ResultLayer
from .worker import Frame, Outcome, Painter, explain

if TYPE_CHECKING:
    import napari.viewer

    from ..transfer.engine import StyleTransfer

_PICTURE_HEIGHT = 128
_PICTURE_PIXELS = 256
_PROGRESS_TICKS = 1000
_QUIET = 175
"""Opacity, of 255, of text that only accompanies."""
_WARNING = "⚠"
_REMEMBERED = ("preset", "style_strength", "size", "steps", "device")


class StyleTransferWidget(Container[Any]):
    """Paint one image layer in the style of another, live.

    Children, by name: ``content``, ``style``, ``preset``, ``style_strength``, ``size``,
    ``steps``, ``device``, ``run``, ``pause``, ``stop``.

    Parameters
    ----------
    napari_viewer
        The viewer whose layers are offered, and that gets the results.
    remember
        Start with the settings of the last use, and keep those of this one.
    """

    run_ended = Signal(Outcome, description="Emitted when a run has ended, however it did.")

    def __init__(self, napari_viewer: "napari.viewer.Viewer", remember: bool = True) -> None:
        self._viewer = napari_viewer
        self._painter: Painter | None = None
        self._result: ResultLayer | None = None
        self._activity: ActivityBar | None = None
        self._docked = self._gone = False
        self._shown_layers: dict[str, Any] = {}
        self._wanted_device = "auto"

        super().__init__(widgets=self._make_controls(), labels=False)
        self._pictures = {"content": Picture(_PICTURE_HEIGHT), "style": Picture(_PICTURE_HEIGHT)}
        self._description = QLabel()
        self._progress = QProgressBar()
        self._status = QLabel()
        self._lay_out()

        self._memory = remembered() if remember else None
        self._recall()
        self._connect()
        self._follow_theme()
        self._show_running(False)
        self._describe_preset()
        for name in ("content", "style"):
            self._choose_picture(name, self[name].value)
        self.reset_choices()
        self._machine = Machine()
        self._machine.found.connect(self._offer_devices)
        self._machine.failed.connect(self._miss_torch)
        self._machine.look()

    # ------------------------------------------------------------------ layout

    def _make_controls(self) -> list[Any]:
        return [
            LayerBox(
                name="content",
                choices=self._image_layers,
                tooltip="The image layer to paint anew.",
            ),
            LayerBox(
                name="style",
                choices=self._image_layers,
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
                "at 100 % the style takes over; 50 % is the preset's own.",
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
            PushButton(
                name="run",
                text="Run",
                tooltip="Paint the content in the style, into a new layer over the content.",
            ),
            PushButton(name="pause", text="Pause", tooltip="Wait; Resume goes on from here."),
            PushButton(name="stop", text="Stop", tooltip="End here; what was painted stays."),
        ]

    def _lay_out(self) -> None:
        outer = self.native.layout()
        for child in self:
            outer.removeWidget(child.native)
        outer.setContentsMargins(8, 8, 8, 8)
        outer.setSpacing(8)

        images = QGridLayout()
        images.setHorizontalSpacing(10)
        images.setVerticalSpacing(4)
        for column, name in enumerate(("content", "style")):
            box = self[name]
            images.addWidget(_label(name.capitalize(), box.native), 0, column)
            images.addWidget(self._pictures[name], 1, column)
            images.addWidget(box.native, 2, column)
            images.setColumnStretch(column, 1)
            may_be_narrow(box.native)
        outer.addLayout(images)

        settings = QGridLayout()
        settings.setHorizontalSpacing(10)
        settings.setVerticalSpacing(6)
        settings.setColumnStretch(1, 1)
        rows = {
            "preset": "Preset",
            "style_strength": "Style strength",
            "size": "Size",
            "steps": "Steps",
            "device": "Device",
        }
        for row, (name, text) in enumerate(rows.items()):
            control = self[name].native
            settings.addWidget(_label(text, control), 2 * row, 0)
            settings.addWidget(control, 2 * row, 1)
            may_be_narrow(control)
        self._description.setWordWrap(True)
        self._description.setMinimumHeight(2 * self._description.fontMetrics().lineSpacing())
        settings.addWidget(self._description, 1, 0, 1, 2)
        outer.addLayout(settings)

        buttons = QHBoxLayout()
        buttons.setSpacing(6)
        for name, stretch in (("run", 2), ("pause", 1), ("stop", 1)):
            buttons.addWidget(self[name].native, stretch)
        outer.addLayout(buttons)

        self._progress.setRange(0, _PROGRESS_TICKS)
        self._progress.setTextVisible(False)
        self._progress.setFixedHeight(8)
        self._progress.setToolTip("How much of the work is done.")
        outer.addWidget(self._progress)
        self._status.setWordWrap(True)
        self._status.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._status.setAlignment(Qt.AlignmentFlag.AlignTop)
        # Two lines at all times, so that nothing jumps when they fill.
        self._status.setMinimumHeight(2 * self._status.fontMetrics().lineSpacing())
        self._status.setToolTip("What the run does, or why it does not.")
        outer.addWidget(self._status)
        self.native.setMinimumWidth(280)

    def _follow_theme(self, _event: Any = None) -> None:
        """Let Run stand out, and the running text stand back, in the theme's colours."""
        theme = get_theme(self._viewer.theme)
        self["run"].native.setStyleSheet(
            f"QPushButton:enabled {{ background-color: {theme.current.as_hex()}; "
            f"color: {theme.text.as_hex()}; font-weight: bold; }}"
        )
        red, green, blue = theme.text.as_rgb_tuple()
        self._loud = f"color: rgb({red}, {green}, {blue});"
        self._quiet = f"color: rgba({red}, {green}, {blue}, {_QUIET});"
        self._description.setStyleSheet(self._quiet)
        self._say(self._status.text())

    # ---------------------------------------------------------------- settings

    def _recall(self) -> None:
        if self._memory is None:
            return
        for name in ("preset", "style_strength", "size", "steps"):
            self[name].value = getattr(self._memory, name)
        self._wanted_device = self._memory.device
        if self._wanted_device in self["device"].choices:
            self["device"].value = self._wanted_device

    def _connect(self) -> None:
        for name in _REMEMBERED:
            self[name].changed.connect(partial(self._keep, name))
        self["preset"].changed.connect(self._describe_preset)
        for name in ("content", "style"):
            self[name].changed.connect(partial(self._choose_picture, name))
        self["run"].changed.connect(self._start)
        self["pause"].changed.connect(self._toggle_pause)
        self["stop"].changed.connect(self._stop)
        self.native_parent_changed.connect(self._follow_dock)
        self.native.destroyed.connect(self._let_go)
        application = QApplication.instance()
        assert application is not None
        application.aboutToQuit.connect(self._abandon)
        self._viewer.events.theme.connect(self._follow_theme)

    def _keep(self, name: str, value: Any) -> None:
        if name == "device":
            self._wanted_device = value
        if self._memory is not None:
            setattr(self._memory, name, value)

    def _settings(self) -> Settings:
        preset = self["preset"].value
        given: dict[str, Any] = {
            "style_weight": strength_to_weight(self["style_strength"].value, preset),
            "size": self["size"].value or None,
            "device": self["device"].value,
        }
        if self["steps"].value:
            given["steps"] = self["steps"].value
        return Settings(preset=preset, **given)

    def _describe_preset(self, _value: Any = None) -> None:
        preset = self["preset"].value
        self._description.setText(PRESETS[preset].description)
        settings = Settings(preset=preset)
        self["size"].set_words_for_smallest(
            "content's own size"
            if settings.scales == "auto"
            else f"as the preset says ({settings.scales[-1]} px)"
        )
        steps = settings.steps if isinstance(settings.steps, tuple) else (settings.steps,)
        self["steps"].set_words_for_smallest(f"as the preset says ({sum(steps)})")

    def _miss_torch(self, sentence: str) -> None:
        if not self._gone:
            self._fail(sentence)

    def _offer_devices(self, devices: Any, advice: str | None) -> None:
        if self._gone:
            return
        wanted = self._wanted_device
        names = [device.name for device in devices]
        box = self["device"]
        with box.changed.blocked():
            box.choices = [
                (f"auto: {devices[0].label}", "auto"),
                *((device.label, device.name) for device in devices),
            ]
            # CUDA without a number is the first card.
            wanted = "cuda:0" if wanted == "cuda" else wanted
            box.value = wanted if wanted in names else "auto"
        if advice is not None:
            box.tooltip = f"{box.tooltip} {advice}"
            self._say(advice)

    # ------------------------------------------------------------------ layers

    def _image_layers(self, _box: Any) -> list[tuple[str, Any]]:
        return [
            (layer.name, layer)
            for layer in self._viewer.layers
            if isinstance(layer, Image) and not is_result(layer)
        ]

    def reset_choices(self, *_: Any) -> None:
        """Offer the layers there are now; napari calls this when they change."""
        if self._gone:
            return
        for name in ("content", "style"):
            self[name].reset_choices()
        content, style = self["content"], self["style"]
        others = [layer for layer in style.choices if layer is not content.value]
        if style.value is content.value and others:
            style.value = others[0]
        if self._painter is not None and (
            not self._viewer.layers or (self._result is not None and self._result.deleted)
        ):
            self._stop()

    def _choose_picture(self, name: str, layer: Any) -> None:
        before = self._shown_layers.get(name)
        if before is not None:
            before.events.thumbnail.disconnect(self._update_pictures)
        self._shown_layers[name] = layer
        self._pictures[name].setToolTip("" if layer is None else layer.name)
        for chosen in self._shown_layers.values():
            if chosen is not None:
                chosen.events.thumbnail.connect(self._update_pictures)
        self._update_pictures()

    def _update_pictures(self, _event: Any = None) -> None:
        for name, layer in self._shown_layers.items():
            self._pictures[name].show_pixels(
                None if layer is None else thumbnail(layer, self._viewer.dims, _PICTURE_PIXELS)
            )

    # --------------------------------------------------------------------- run

    def _start(self) -> None:
        if self._painter is not None:
            self._say("A run is going on: stop it before the next one.")
            return
        try:
            content, style = self._chosen_planes()
            settings = self._settings()
        except Exception as error:
            self._report(error)
            self.run_ended.emit(Outcome(error=error))
            return
        self._result = ResultLayer(
            self._viewer,
            content.geometry,
            self["content"].value.name,
            self["style"].value.name,
        )
        painter = self._painter = Painter(partial(_make_transfer, content, style, settings))
        painter.started.connect(partial(self._on_started, painter))
        painter.framed.connect(partial(self._on_framed, painter))
        painter.noted.connect(partial(self._on_noted, painter))
        painter.ended.connect(partial(self._on_ended, painter))
        self._show_running(True)
        self._progress.setRange(0, 0)
        self._say("Getting ready …")
        self._began = time.perf_counter()
        activity = ActivityBar("Style transfer", self._stop)
        # The bar lets napari process events: the dock may have been closed meanwhile.
        if painter is self._painter:
            self._activity = activity
            painter.start()
        else:
            activity.close()

    def _chosen_planes(self) -> tuple[Plane, Plane]:
        content, style = self["content"].value, self["style"].value
        if content is None or style is None:
            raise ValueError(
                "There is no image to paint: open one, and another for the style "
                "(File ▸ Open Sample ▸ Neural Style has pairs of both)."
            )
        if content is style:
            raise ValueError(
                f"Content and style are both {quoted(content)}: choose two different layers."
            )
        dims = self._viewer.dims
        return displayed_plane(content, dims), displayed_plane(style, dims)

    def _toggle_pause(self) -> None:
        if self._painter is None:
            return
        if self._painter.paused:
            self._painter.resume()
            self["pause"].text = "Pause"
            self._say("Going on …")
        else:
            self._painter.pause()
            self["pause"].text = "Resume"
            self._say("Paused. " + self._status.text())

    def _stop(self) -> None:
        if self._painter is not None:
            self._painter.stop()
            self["stop"].enabled = self["pause"].enabled = False
            self._say("Stopping after this step …")

    def _on_started(self, painter: Painter, recipe: dict[str, Any]) -> None:
        if painter is self._painter and self._result is not None:
            self._result.recipe = recipe

    def _on_framed(self, painter: Painter, frame: Frame) -> None:
        if painter is not self._painter or self._result is None:
            return
        begin = time.perf_counter()
        try:
            self._result.show(frame.image)
        except Exception as error:
            painter.stop()
            self._report(error)
            return
        self._progress.setRange(0, _PROGRESS_TICKS)
        self._progress.setValue(round(_PROGRESS_TICKS * frame.step / frame.total))
        if not painter.paused:
            self._say(_progress_text(frame))
        # The next frame is asked for when Qt has drawn this one, and told what it cost.
        QTimer.singleShot(0, lambda: painter.shown(time.perf_counter() - begin))
        if self._activity is not None:
            # Lets napari process events, so it comes last: the run may be over after it.
            self._activity.show(frame.step, frame.total, _time_left(frame))

    def _on_noted(self, painter: Painter, note: str) -> None:
        if painter is self._painter:
            show_info(note)

    def _on_ended(self, painter: Painter, outcome: Outcome) -> None:
        if painter is not self._painter:
            return
        result = self._result
        assert result is not None
        self._clear_run()
        self._show_running(False)
        try:
            if outcome.image is not None and outcome.recipe is not None:
                result.recipe = outcome.recipe
                result.show(outcome.image)
                result.sign()
        except Exception as error:
            outcome = replace(outcome, error=outcome.error or error)
        if outcome.error is not None:
            self._report(outcome.error)
        elif result.deleted:
            self._say("Stopped, for the layer of the result was deleted.")
        elif outcome.stopped:
            self._say("Stopped. What was painted stays.")
        elif outcome.recipe is not None:
            self._progress.setValue(_PROGRESS_TICKS)
            took = duration(time.perf_counter() - self._began)
            losses = outcome.recipe["losses"]
            loss = f", loss {losses['total']:.3g}" if losses else ""
            self._say(f"Done: {outcome.recipe['step']} steps in {took}{loss}.")
        self.run_ended.emit(outcome)

    def _clear_run(self) -> None:
        self._painter = self._result = None
        activity, self._activity = self._activity, None
        if activity is not None:
            activity.close()

    def _follow_dock(self, parent: QWidget | None) -> None:
        # The dock's ✕ takes the widget out of it; its eye only hides both.
        if parent is not None:
            self._docked = True
        elif self._docked:
            self._docked = False
            self._abandon()

    def _abandon(self) -> None:
        """End the run for good, without a look at the widget, which may be gone."""
        if self._painter is not None:
            self._painter.stop()
            if self._result is not None:
                self._result.sign()
            self._clear_run()

    def _let_go(self) -> None:
        """Forget the viewer, for the Qt side of the widget is gone."""
        self._gone = True
        self._abandon()
        self._viewer.events.theme.disconnect(self._follow_theme)
        for layer in self._shown_layers.values():
            if layer is not None:
                layer.events.thumbnail.disconnect(self._update_pictures)

    # ------------------------------------------------------------------ status

    def _show_running(self, running: bool) -> None:
        self["run"].enabled = not running
        self["pause"].enabled = self["stop"].enabled = running
        self["pause"].text = "Pause"
        if not running:
            self._progress.setRange(0, _PROGRESS_TICKS)
            self._progress.setValue(0)

    def _say(self, text: str) -> None:
        self._status.setText(text)
        self._status.setStyleSheet(self._loud if text.startswith(_WARNING) else self._quiet)

    def _fail(self, sentence: str) -> None:
        self._say(f"{_WARNING} {sentence}")
        show_error(sentence)

    def _report(self, error: Exception) -> None:
        sentence = explain(error)
        if sentence is not None:
            self._fail(sentence)
            return
        # Of a bug napari offers the traceback, which a report needs.
        self._say(f"{_WARNING} The run failed: {type(error).__name__}: {error}")
        notification_manager.receive_error(type(error), error, error.__traceback__)


def _make_transfer(content: Plane, style: Plane, settings: Settings) -> "StyleTransfer":
    """Read the images and make the engine; for the painting thread."""
    engine = load_engine()
    size = settings.size
    if size is None and settings.scales != "auto":
        size = int(settings.scales[-1])
    return engine(
        content.rgb(size),
        style.rgb(size or max(content.geometry.shape)),
        settings=settings,
    )


def _progress_text(frame: Frame) -> str:
    height, width = frame.size
    where = (
        f"Step {frame.step} of {frame.total} · "
        f"scale {frame.scale + 1} of {frame.scales} ({width} × {height})"
    )
    facts = [f"loss {frame.loss:.3g}"]
    if frame.seconds_per_step:
        facts.append(f"{1 / frame.seconds_per_step:.2g} steps/s")
    facts.append(_time_left(frame))
    return f"{where}\n{' · '.join(facts)}"


def _time_left(frame: Frame) -> str:
    return "…" if frame.seconds_left is None else f"{duration(frame.seconds_left)} left"


def _label(text: str, buddy: QWidget) -> QLabel:
    label = QLabel(text)
    label.setBuddy(buddy)
    label.setToolTip(buddy.toolTip())
    return label
