"""The dock widget: choose two layers, press Run, watch the result paint itself, steer it."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magicgui.widgets import Container
from napari.utils.theme import get_theme
from psygnal import Signal
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication, QWidget

from .channels import Channels, layers_of
from .compare import CompareButton
from .drift import DriftButton, DriftMaps, mapped_result
from .fields import EVERYWHERE, make_controls
from .forecast import Forecast
from .form import PROGRESS_TICKS, Form
from .help import show_help
from .history import History
from .history_bar import HistoryBar
from .job import Job
from .layer_choices import ChosenPictures, Edits, LayerOffers, role_in_sample
from .layers import is_result
from .loss_plot import LossPlot
from .machine import Machine
from .preferences import preference, remembered
from .recipe_menu import RecipeMenu
from .redone_job import RedoneJob
from .redone_stack_job import RedoneStackJob
from .request import Request
from .result import ResultLayer
from .resumed_job import ResumedJob
from .run import Run
from .saved_result import open_result
from .settings_controls import SettingsControls
from .shortcuts import Shortcuts
from .stack_job import StackJob
from .status import Status
from .worker import Frame, Outcome

if TYPE_CHECKING:
    import napari.viewer

_LIVE = (
    *("style", "style_2", "mix", "style_strength", "texture", "content_weight", "tv_weight"),
    *("color", "size", "steps", "mask", "style_mask", "feather"),
)
"""What may be changed while a run goes on."""
_FIXED = (
    *("content", "preset", "device", "weights"),
    *("output", "whole_stack", "save_to", "scheduler", "checkpoint"),
)
"""What may not."""
_OF_LAYERS = ("content", "style", "style_2", "mask", "style_mask")
_FIRST = "Press Run, then turn the controls while it paints."
_NOTHING_TO_PAINT = (
    "Open an image, and another for the style: File ▸ Open Sample ▸ Neural Style has pairs of both."
)
_PAUSED = "Paused."
_WHEN_RESUMED = "Paused: the change takes effect when you resume."
_SETTLED_MS = 50
"""Milliseconds without another edit of a layer, after which the run follows it."""


class StyleTransferWidget(Container[Any]):
    """Paint one image layer in the style of another, live.

    Children, by name: ``content``, ``style``, ``preset``, ``style_strength``, ``texture``,
    ``color``, ``size``, ``steps``, ``device``; ``style_2``, ``mix``; ``mask``, ``style_mask``,
    ``feather``; ``content_weight``, ``tv_weight``, ``weights``; ``output``, ``whole_stack``,
    ``save_to``, ``scheduler``, ``checkpoint``; ``run``, ``pause``, ``stop``, ``go_on``.

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
        self._run: Run | None = None
        """The latest run, going on or not."""
        self._resumed: ResumedJob | None = None
        """What the controls have yet to show."""
        self._docked = self._gone = self._offering = False
        self._proposed: Any = None
        """The style, as long as the user has not decided on one."""
        self._refused: list[Any] | None = None
        """What was chosen when a run could not begin, or failed."""
        self._told = ""
        """What the run told of itself last."""

        self._offers = offers = LayerOffers(napari_viewer)
        super().__init__(
            widgets=make_controls(offers.contents, offers.styles, offers.regions), labels=False
        )
        self._form = Form(self)
        self._history, self._plot = HistoryBar(), LossPlot()
        self._compare = CompareButton(napari_viewer.layers)
        self._drift_maps, self._drift_button = DriftMaps(napari_viewer), DriftButton()
        self._form.add_below(self._compare, self._drift_button, self._history)
        self._form.add_below(self._plot)
        self._status = Status(self._form.status)
        self._memory = remembered() if remember else None
        self._request = Request(self, self._form.equalizer, napari_viewer, self._memory)
        self._settings = SettingsControls(
            self, self._form, self._request, self._memory, self._status
        )
        self._menu = RecipeMenu(
            self.native,
            napari_viewer,
            self._settings,
            self._status,
            self._open_result,
            self._resume,
            self._redo,
        )
        self._form.menu.setMenu(self._menu)
        self._form.help.clicked.connect(show_help)
        self._pictures = ChosenPictures(self, self._form.pictures, napari_viewer)
        self._edits = Edits(self)
        self._edited: set[str] = set()
        self._settling = QTimer(self.native)
        self._settling.setSingleShot(True)
        self._settling.setInterval(_SETTLED_MS)
        self._shortcuts = Shortcuts(
            self.native, napari_viewer, self["run"].native, self["stop"].native
        )
        self._forecast = Forecast()
        self._machine = Machine()
        self._connect()
        self._follow_theme()
        self._show_running(False)
        self._machine.look()

    def open_section(self, title: str) -> None:
        """Unfold ``Second style``, ``Regions``, ``Details`` or ``Output and stack``."""
        self._form.sections[title].expand(animate=False)

    @property
    def running(self) -> bool:
        """Whether a run goes on."""
        return self._run is not None and self._run.going

    def _follow_theme(self, _event: Any = None) -> None:
        """Let Run stand out, and the running text stand back, in the theme's colours."""
        theme = get_theme(self._viewer.theme)
        self["run"].native.setStyleSheet(
            f"QPushButton:enabled {{ background-color: {theme.current.as_hex()}; "
            f"color: {theme.text.as_hex()}; font-weight: bold; }}"
        )
        self._status.set_theme(theme)
        for label in (self._form.description, self._form.forecast):
            label.setStyleSheet(self._status.quiet)
        self._form.set_theme(theme)
        self._plot.set_theme(theme)

    def _connect(self) -> None:
        for name in _LIVE:
            # The texture is made of weights of the layers.
            steered = "layers" if name == "texture" else name
            self[name].changed.connect(partial(self._steer, steered))
        self._form.equalizer.changed.connect(partial(self._steer, "layers"))
        for name in (*_LIVE, *_FIXED):
            self[name].changed.connect(self._show_what_applies)
            self[name].changed.connect(self._guide)
        self._form.equalizer.changed.connect(self._guide)
        self._edits.edited.connect(self._note_edit)
        self._settling.timeout.connect(self._follow_edits)
        self._forecast.told.connect(self._form.forecast.setText)
        self._machine.found.connect(self._offer_devices)
        self._machine.failed.connect(self._miss_torch)
        self["run"].changed.connect(self._start)
        self["go_on"].changed.connect(self._go_on)
        self["pause"].changed.connect(self._toggle_pause)
        self["stop"].changed.connect(self._stop)
        self._drift_button.clicked.connect(self.map_drift)
        self._drift_maps.told.connect(self._status.hint)
        self._drift_maps.failed.connect(self._status.report)
        self._history.scrubbed.connect(self._look_back)
        self._history.live.connect(self._look_on)
        self._history.kept.connect(self._keep_snapshot)
        self._history.resumed.connect(self._go_on_from)
        self.native_parent_changed.connect(self._follow_dock)
        self.native.destroyed.connect(self._let_go)
        application = QApplication.instance()
        assert application is not None
        application.aboutToQuit.connect(self._abandon)
        self._viewer.events.theme.connect(self._follow_theme)
        self._viewer.layers.selection.events.changed.connect(self._follow_selection)
        self._viewer.layers.events.inserted.connect(self._choose_sample)
        self._viewer.layers.events.removed.connect(self._note_gone)

    # ---------------------------------------------------------------- controls

    def _show_what_applies(self, _value: Any = None) -> None:
        """Enable what has an effect with the other choices, and foretell the run."""
        run = self._run
        settled = run is not None and run.going and not isinstance(run.job, Job)
        for name in _FIXED:
            self[name].enabled = not self.running
        for name in _LIVE:  # planes of a stack are painted alike, a result as it was
            self[name].enabled = not settled
        self._form.equalizer.setEnabled(not settled)
        content = self["content"].value
        single = content is not None and not isinstance(content, Channels)
        one_channel = single and not content.rgb
        if not one_channel:
            self["output"].value = "rgb"
        stack = any(layer.ndim > 2 for layer in layers_of(content))
        if not stack:
            self["whole_stack"].value = False
        mixed = len(self._request.styles) > 1
        for name, applies in {
            "output": one_channel,
            "color": self["output"].value == "rgb",
            "whole_stack": stack,
            "save_to": self["whole_stack"].value,
            "scheduler": self["whole_stack"].value,
            "checkpoint": not self["whole_stack"].value,  # a stack has its planes on disk
            "feather": self["mask"].value not in (None, EVERYWHERE),
            "style_mask": self["mask"].value not in (None, EVERYWHERE) and not mixed,
            "mix": mixed,
        }.items():
            self[name].enabled = self[name].enabled and applies
        self._foretell()

    def _foretell(self) -> None:
        shape = self._request.shape
        # With weights that are still to come, an estimate would fetch them, too.
        if self.running or shape is None or self._settings.encoder.waiting:
            self._forecast.hush()
            self._form.forecast.hide()
            return
        self._form.forecast.show()
        try:
            if self._forecast.ask(self._request.settings(), shape, self._request.planes):
                self._form.forecast.setText("Time and memory: …")
        except ValueError:  # said when the run starts
            self._forecast.hush()
            self._form.forecast.setText("")

    def _miss_torch(self, sentence: str) -> None:
        if not self._gone:
            self._status.fail(sentence, lasting=True)

    def _offer_devices(self, devices: Any, advice: str | None) -> None:
        if not self._gone:
            self._settings.offer_devices(devices, advice)
            self._foretell()

    # ------------------------------------------------------------------ layers

    def reset_choices(self, *_: Any) -> None:
        """Offer the layers there are now; napari calls this when they change."""
        if self._gone:
            return
        self._offering = True
        style = self["style"].value
        for name in _OF_LAYERS:
            self[name].reset_choices()
        if not self.running:
            self._propose_style(style)
        self._offering = False
        self._guide()
        self._show_what_applies()
        run = self._run
        if run is None:
            return
        self._compare.compare(run.result.layer, run.result.contents)
        if run.going and (not self._viewer.layers or run.result.deleted):
            self._stop()

    def _propose_style(self, before: Any) -> None:
        """Choose a style where the user has not: a picture in colour, if there is one."""
        content, style = self["content"].value, self["style"]
        others = [layer for layer in style.choices if layer is not content]
        decided = style.value is before and style.value not in (content, self._proposed)
        if others and not decided:
            best = min(others, key=lambda layer: (not layer.rgb, layer is not style.value))
            self._proposed = style.value = best

    def _choose_sample(self, event: Any) -> None:
        """Choose what was opened in order to be painted, or to be painted with."""
        role = role_in_sample(event.value)
        if role is not None and not self.running:
            self.reset_choices()
            self[role].value = event.value

    def _note_gone(self, event: Any) -> None:
        """Tell of a deleted layer that the run keeps."""
        roles = [name for name in _OF_LAYERS if self[name].value is event.value]
        if self.running and roles:
            until = "" if "content" in roles else ", until another is chosen"
            self._status.hint(
                f"“{event.value.name}” is gone: the run keeps what it had of it{until}."
            )

    def _guide(self, _value: Any = None) -> None:
        """Tell what to do, unless something is to be read that still holds."""
        if self._offering:
            return
        refused, chosen = self._refused, self._chosen()
        over = self._status.was_read if refused is None else refused != chosen
        outdated = over and self._status.warns and not self.running
        if outdated or self._status.text in ("", _FIRST, _NOTHING_TO_PAINT):
            self._refused = None
            self._status.say(_FIRST if len(self["style"].choices) > 1 else _NOTHING_TO_PAINT)

    def _chosen(self) -> list[Any]:
        """Return what a run may be refused for."""
        values = [self[name].value for name in (*_LIVE, *_FIXED)]
        return [*values, self._form.equalizer.weights]

    def _follow_selection(self, _event: Any = None) -> None:
        if not self._gone:
            self["content"].reset_choices()
            self._offer_to_go_on()

    def _offer_to_go_on(self) -> None:
        selected = self._viewer.layers.selection.active
        self["go_on"].enabled = not self.running and selected is not None and is_result(selected)

    def _note_edit(self, name: str) -> None:
        if self.running:
            self._edited.add({"style_2": "strokes", "style": "strokes"}.get(name, name))
            self._settling.start()

    def _follow_edits(self) -> None:
        edited, self._edited = self._edited, set()
        for name in sorted(edited):
            self._steer(name)

    # --------------------------------------------------------------------- run

    def _start(self) -> None:
        if self.running:
            self._status.say("A run is going on: stop it before the next one.")
            return
        if self._settings.encoder.waiting:
            self._status.say("The weights are still being downloaded: see the activity dock.")
            return
        self._try(self._begin)

    def _go_on(self) -> None:
        """Go on painting in the selected result."""
        self._try(partial(self._begin, self._viewer.layers.selection.active))

    def _resume(self, checkpoint: Path) -> None:
        """Go on with the run of a checkpoint, and save it there again."""
        if self.running:
            raise ValueError("A run is going on: stop it before another is resumed.")
        job = self._request.job()
        if isinstance(job, StackJob):
            raise ValueError(
                "A whole stack has no checkpoint: press Run, and it goes on by itself."
            )
        self["checkpoint"].value = checkpoint
        self._resumed = ResumedJob.of(job, checkpoint, self._settings.chosen_weights)
        self._try(partial(self._launch, self._resumed))

    def _redo(self, layer: Any) -> None:
        """Paint a result again, from its recipe, and compare."""
        if self.running:
            raise ValueError("A run is going on: stop it before a result is painted again.")
        job = self._request.redone(layer)
        self._try(partial(self._launch, job, contents=(layer,)))

    def _follow(self, resumed: ResumedJob) -> None:
        """Let the controls show what a run was resumed with."""
        self._resumed = None
        self._offering = True  # it is the run that they follow
        self._settings.follow(resumed.settings, f"Settings of {self['checkpoint'].value.name}.")
        self._offering = False

    def _begin(self, layer: Any = None, picture: Any = None) -> None:
        """Start what the controls ask for.

        Parameters
        ----------
        layer
            An earlier result to paint into; by default a new layer.
        picture
            What was developed earlier, to go on from; by default what the layer shows, or
            nothing.
        """
        job = self._request.job()
        if layer is not None or picture is not None:
            if isinstance(job, StackJob):
                raise ValueError("A whole stack goes on by itself: press Run.")
            if layer is not None:
                job = self._request.onward(job, layer)
            if picture is not None:
                job = job.onward(picture)
        self._launch(job, layer)

    def _launch(
        self,
        job: Job | StackJob | RedoneJob | RedoneStackJob,
        layer: Any = None,
        contents: tuple[Any, ...] = (),
    ) -> None:
        """Start a run.

        Parameters
        ----------
        job
            What it paints.
        layer
            An earlier result to paint into; by default a new layer.
        contents
            The layers to compare the result with; by default the content that is chosen.
        """
        if layer is not None and self._run is not None and self._run.result.layer == layer:
            history = self._run.history
        else:
            history = History(preference(self._memory, "history_memory") << 20)
            self._plot.clear()
        self._history.clear()  # which follows what comes
        self._proposed, self._refused, self._told = None, None, ""
        result = ResultLayer(
            self._viewer,
            job.place,
            job.geometry.orientation,
            job.title,
            job.appearance,
            layer,
            contents or layers_of(self["content"].value),
            job.origin,
        )
        self._run = run = Run(job, result, history, preference(self._memory, "preview_interval"))
        run.said.connect(self._status.say)
        run.advanced.connect(self._advance)
        run.failed.connect(self._status.report)
        run.ended.connect(self._end)
        self._form.show_below()
        for part in (self._history, self._plot):  # of one image
            part.setVisible(isinstance(job, Job))
        self._show_running(True)
        self._status.say("Getting ready …")
        run.start()

    def _try(self, begin: Callable[[], None]) -> None:
        """Start a run, or tell why not."""
        try:
            begin()
        except Exception as error:
            self._refused = self._chosen()
            self._status.report(error)
            self.run_ended.emit(Outcome(error=error))

    def _steer(self, name: str, _value: Any = None) -> None:
        """Let the run that goes on follow a control."""
        if self._run is not None and self._run.going and not self._offering:
            self._status.attempt(partial(self._follow_control, self._run, name))

    def _follow_control(self, run: Run, name: str) -> None:
        try:
            run.steer(name, self._request)
        except ValueError as error:
            raise ValueError(f"{error} Until then the run goes on as it was.") from error
        if run.paused:
            self._status.say(_WHEN_RESUMED)

    def _toggle_pause(self) -> None:
        run = self._run
        if run is None or not run.going:
            return
        if run.paused:
            run.resume()
            self["pause"].text = "Pause"
            self._status.say("Going on …")
        else:
            run.pause()
            self["pause"].text = "Resume"
            self._status.say(f"{_PAUSED} {self._told}".strip())

    def _stop(self) -> None:
        if self._run is not None and self._run.going:
            self["stop"].enabled = self["pause"].enabled = False
            self._run.stop()

    def _advance(self, frame: Frame) -> None:
        run = self._run
        assert run is not None
        self._told = frame.text
        if self._resumed is not None:
            self._follow(self._resumed)
        self._form.progress.setValue(round(PROGRESS_TICKS * frame.share))
        self._history.set_steps(run.history.steps, max(frame.total, *run.history.steps, 0))
        self._plot.add(frame.losses)
        self._compare.compare(run.result.layer, run.result.contents)
        if not run.paused:
            self._status.accompany(frame.text)
        elif self._status.text.startswith(_PAUSED):  # the step that was being made
            self._status.say(f"{_PAUSED} {frame.text}")

    def _end(self, outcome: Outcome) -> None:
        run = self._run
        assert run is not None
        self._resumed = None
        self._show_running(False)
        self._plot.add(outcome.losses)
        steps = run.history.steps
        if steps:
            self._history.set_steps(steps, steps[-1])
        if outcome.error is not None:
            self._refused = self._chosen()
            self._status.report(outcome.error)
        elif run.result.deleted:
            self._status.say("Stopped, for the layer of the result was deleted.")
        elif outcome.stopped:
            way = "Run" if isinstance(run.job, StackJob) else "Continue"
            self._status.say(f"Stopped. What was painted stays; {way} goes on from it.")
        elif outcome.summary:
            self._form.progress.setValue(PROGRESS_TICKS)
            self._status.say(outcome.summary)
        self._compare.compare(run.result.layer, run.result.contents)
        self.run_ended.emit(outcome)

    def _follow_dock(self, parent: QWidget | None) -> None:
        # The dock's ✕ takes the widget out of it; its eye only hides both.
        if parent is not None:
            self._docked = True
            self._shortcuts.bind()
        elif self._docked:
            self._docked = False
            self._shortcuts.let_go()
            self._abandon()

    def _abandon(self) -> None:
        """End the run for good, without a look at the widget, which may be gone."""
        self._forecast.hush()
        if self._run is not None:
            self._run.abandon()

    def _let_go(self) -> None:
        """Forget the viewer, for the Qt side of the widget is gone."""
        self._gone = True
        self._abandon()
        self._viewer.events.theme.disconnect(self._follow_theme)
        self._viewer.layers.selection.events.changed.disconnect(self._follow_selection)
        self._viewer.layers.events.inserted.disconnect(self._choose_sample)
        self._viewer.layers.events.removed.disconnect(self._note_gone)
        self._shortcuts.let_go()
        self._drift_maps.let_go()
        self._pictures.let_go()
        self._settings.encoder.let_go()
        self._edits.let_go()

    # ---------------------------------------------------------- earlier pictures

    def _open_result(self, path: str) -> None:
        """Show a painted image from a file over the content.

        Raises
        ------
        ValueError
            If there is no content, or the image does not fit it or has no recipe.
        OSError
            If the file cannot be read.
        """
        layer = open_result(
            path, self._viewer, self._request.plane(), self._settings.chosen_weights
        )
        content = self["content"].value
        if not layer.rgb:
            layer.colormap = content.colormap
        self._viewer.layers.selection.active = layer
        self._status.say(f"“{layer.name}” is open: Continue goes on from it.")

    def map_drift(self) -> None:
        """Map where the selected result, or else the latest, has other structures than its content.

        Two layers over the result show it, and a line of the widget tells the mean.
        """
        self._status.attempt(self._map_drift)

    def _map_drift(self) -> None:
        selected = self._viewer.layers.selection.active
        result = None if selected is None else mapped_result(selected)
        if result is None and self._run is not None:
            result = self._run.result.layer
        if result is None:
            raise ValueError("There is no result to compare with its content: select one.")
        self._status.hint("Comparing with the content …")
        self._drift_maps.show(result)

    def _look_back(self, step: int) -> None:
        """Show a snapshot; what is painted meanwhile is not shown."""
        if self._run is not None:
            self._run.show_earlier(step)

    def _look_on(self) -> None:
        if self._run is not None:
            self._run.show_newest()

    def _keep_snapshot(self, step: int) -> None:
        if self._run is not None:
            active = self._viewer.layers.selection.active
            self._run.keep(step)
            self._viewer.layers.selection.active = active

    def _go_on_from(self, step: int) -> None:
        run = self._run
        if run is None:
            return
        picture = run.history.nearest(step)
        if run.going:
            run.showing = True
            run.go_on_from(picture)
            self._history.clear()  # which follows what comes
            if run.paused:
                self._status.say(_WHEN_RESUMED)
        else:
            self._try(partial(self._begin_again, run, picture))

    def _begin_again(self, run: Run, picture: Any) -> None:
        made_of = run.job.names["content"]
        if run.result.layer is None and made_of != self._request.names["content"]:
            raise ValueError(f"That was painted from “{made_of}”: choose that content.")
        self._begin(run.result.layer, picture)

    def _show_running(self, running: bool) -> None:
        # In this order: the focus of what is disabled goes to the next that is not.
        for name in ("pause", "stop", "run") if running else ("run", "pause", "stop"):
            self[name].enabled = running == (name != "run")
        self["pause"].text = "Pause"
        self._offers.keep_gone = running
        self.reset_choices()
        self._offer_to_go_on()
        if not running:
            self._form.progress.setValue(0)
