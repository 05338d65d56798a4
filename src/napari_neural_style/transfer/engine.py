"""StyleTransfer: a run as an iterator of updates."""

import dataclasses
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Self

import numpy.typing as npt
import torch

from napari_neural_style.settings import Settings, make_settings
from napari_neural_style.transfer import devices, live
from napari_neural_style.transfer.budget import Stopwatch
from napari_neural_style.transfer.checkpoint import read_checkpoint, refusal, write_checkpoint
from napari_neural_style.transfer.fallback import Means, is_out_of_memory, memory_errors
from napari_neural_style.transfer.inputs import (
    IMAGES,
    Inputs,
    content_tensor,
    style_tensors,
    to_tensor,
)
from napari_neural_style.transfer.provenance import recipe
from napari_neural_style.transfer.run import Run
from napari_neural_style.transfer.saved_run import DAMAGE, Names, SavedRun, described
from napari_neural_style.transfer.scales import resize
from napari_neural_style.transfer.studio import Studio, dtype_of, fitting_means
from napari_neural_style.transfer.update import Estimate, Image, Update


class _Unwanted(Exception):
    """The present step is given up."""


class StyleTransfer:
    """Optimisation-based neural style transfer of one image, evaluation by evaluation.

    Iterating paints: each item is an :class:`Update`, one per evaluation of loss and
    gradient. All methods may be called from any thread while another one iterates.

    Parameters
    ----------
    content : array
        (H, W), (H, W, 3) or (H, W, 4), of any real dtype.
    style : array or sequence of arrays
        One such image or several, mixed by ``style_weights``.
    preset : str
        One of ``PRESETS``.
    settings : Settings, optional
        Complete settings instead of preset and overrides.
    **overrides
        Fields of :class:`Settings`.

    Attributes
    ----------
    names : dict
        Names of the images, of whoever knows them, for the recipe and for checkpoints:
        ``content``, ``mask`` and ``init``, and lists as ``styles`` and ``style_masks``.
    before_step : callable or None
        Called before each step by the thread that iterates. It may :meth:`update` the run, also
        from what is best read in that thread.

    Raises
    ------
    ValueError
        For an image, setting, device or weights that cannot be used.

    References
    ----------
    Gatys, Ecker & Bethge, "Image style transfer using convolutional neural
    networks", CVPR 2016.
    """

    @memory_errors
    def __init__(
        self,
        content: npt.ArrayLike,
        style: npt.ArrayLike | Sequence[npt.ArrayLike],
        preset: str = "default",
        *,
        settings: Settings | None = None,
        _kin: "StyleTransfer | None" = None,
        _means: Means | None = None,
        **overrides: Any,
    ) -> None:
        if settings is not None and (overrides or preset != "default"):
            raise ValueError("Give either settings, or a preset and overrides, not both.")
        self._stopwatch = Stopwatch()
        self._stopwatch.start()
        settings = settings or make_settings(preset, **overrides)
        means = _means or _choose_means(settings, _kin)
        dtype = dtype_of(means)
        inputs = Inputs(settings, content_tensor(content, dtype), style_tensors(style, dtype))
        init = settings.init
        start = init if isinstance(init, str) else to_tensor(init, "init", dtype).to(means.device)
        inputs.check()
        studio = Studio(settings, fitting_means(settings, means, inputs.shapes[-1]))
        studio.load_weights(None if _kin is None else _kin._run.studio)
        inputs = inputs.to(torch.empty(0, dtype=dtype, device=means.device))
        self._run: Run = Run(inputs, start, studio, self._stopwatch)
        self._before: Run | None = None  # the run to fall back on if the next step fails
        self.names: Names = {}
        self.before_step: Callable[[], None] | None = None

        # Two locks, so that nobody who pauses or stops waits for a step to end.
        self._running = threading.RLock()  # held during a step, and to read its outcome
        self._control = threading.Condition()  # guards those below
        self._paused = self._stopped = False
        self._pending: dict[str, Any] = {}  # changes to come
        self._taken: dict[str, Any] = {}  # changes that are being made
        self._unwanted = False  # the present step
        self._gave_up = False  # the one before
        self._stopwatch.stop()

    # ------------------------------------------------------------------- facts

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self._run.settings

    @property
    def device(self) -> str:
        """The device in use, such as ``cpu`` or ``cuda:0``."""
        return str(self._run.studio.means.device)

    @property
    def precision(self) -> str:
        """The encoder's precision in use."""
        return str(self._run.studio.means.precision).removeprefix("torch.")

    @property
    def scales(self) -> tuple[tuple[int, int], ...]:
        """Height and width of each scale, coarse to fine."""
        return self._run.progress.shapes

    @property
    def steps(self) -> tuple[int, ...]:
        """Planned evaluations of each scale, coarse to fine."""
        return self._run.progress.steps

    @property
    def total(self) -> int:
        """Evaluations over all scales, made and planned."""
        return self._run.progress.total

    @property
    def changes(self) -> tuple[Mapping[str, Any], ...]:
        """What has changed since the first step, as :meth:`provenance` tells it."""
        return tuple(self._run.changes)

    @property
    def _step(self) -> int:
        return self._run.progress.step

    @memory_errors
    def estimate(self) -> Estimate:
        """Estimate memory and time before the run, from its settings and a few small steps.

        Takes under a second; the run's own state is not touched.
        """
        with self._running, self._run.studio.alone:
            seconds = self._run.planner.seconds(self._run.prepare_trial)
            return Estimate(self._run.memory_needed, seconds)

    @property
    @memory_errors
    def result(self) -> Image | None:
        """The image painted so far, (H, W, 3) float32 in [0, 1]; None before the first step."""
        with self._running:
            run = self._run
            if run.painting is None:
                return None
            rgb = run.studio.space.to_rgb(run.kept(self._shows_best)).clamp(0, 1)
            if run.finished:
                rgb = resize(rgb, *run.largest)
            rgb = run.pictures.shown(rgb).clamp(0, 1)  # resized, what was 1 may be a bit more
            image: Image = rgb[0].permute(1, 2, 0).float().cpu().contiguous().numpy()
            return image

    @property
    def _shows_best(self) -> bool:
        if not (self._run.finished or self._stopped):
            return False
        return self._run.keeps_best or (self._stopped and self._run.on_excursion)

    def provenance(self) -> dict[str, Any]:
        """Return what is needed to make this picture again, as plain data for JSON.

        Its losses are those before the last step, or of the best image where that is the
        result; None where there are none, or none that are finite. Settings are those in
        force; beside them is told what has changed since the first step, and what that was
        before. Images are told by their hashes, see :func:`~.images.image_hash`, and by
        ``names``.
        """
        with self._running:
            run, losses = self._run, None
            if run.painting is not None:
                losses = run.painting.guard.lowest if self._shows_best else run.painting.losses
            made = recipe(run, losses, self.device, self.precision, self._shows_best)
            return {**made, **self.names}

    # ---------------------------------------------------------------- control

    def update(self, **changes: Any) -> None:
        """Change a run that goes on, from its next step and from its present picture.

        What is given is checked at once, and takes effect with the next step; of several
        changes before it, the last of each name. The present step is given up, see
        :meth:`interrupt`. If the change cannot be made then, for want of memory, the run goes
        on as it was, and the step's :class:`Update` has a note.

        Parameters
        ----------
        content : array, optional
            Another content, as for a new run. With a mask, a mask of its shape is needed, too.
        style : array or sequence of arrays, optional
            Other styles, as for a new run.
        picture : array, optional
            (H, W, 3) picture of the content, such as an earlier result, of any real dtype:
            the run goes on from it, at the first of its scales that is no smaller than the
            picture, or at the last.
        **changes
            Fields of :class:`Settings`: the weights of the losses, of the layers and of the
            styles; other layers; ``style_scale``, ``color``, ``mask``, ``style_masks`` and
            ``feather``; ``learning_rate`` and ``keep_best``.

            ``steps`` are those of the whole run, as at its start. Scales that are done keep
            what they had; one that has had more than it is to have ends at once; and what
            they lack of a total, the last scale gets. With more steps a run goes on that
            had ended, too: iterate again.

            With another ``size`` or other ``scales`` the run goes on at the first of its
            scales that is no smaller than the present picture, or at the last; if it was at
            its last scale already, at the first that is larger, if there is one.

        Raises
        ------
        ValueError
            For a value out of range, what a run cannot change, what does not fit together,
            or a size that the memory is not enough for. Nothing is changed.
        """
        changes = live.prepare(changes, self._run.studio.dtype)
        with self._control:
            pending = {**self._pending, **changes}
            before = self._run.inputs
            wanted = before.changed({**self._taken, **pending})
            self._run.check_change(wanted)
            # As they are now: their owners may change them.
            self._pending = {
                name: value if name in IMAGES else getattr(wanted.settings, name)
                for name, value in pending.items()
            }

    def apply(self) -> None:
        """Put in force at once what :meth:`update` was given; waits for the end of a step.

        Without it, changes before the same step are made as one, by the next iteration.
        """
        with self._running:
            self._make_changes()

    def interrupt(self) -> None:
        """Give up the present step, of which nothing is seen, and begin it anew.

        With the same image in the same size it goes on with what is done of it, also with other
        weights of the losses. Whoever changes a run does not wait for a step that is of no use
        any more. A step is made all the same if it is the first of its size, or if the one
        before was given up: there is progress whatever comes how fast.
        """
        with self._control:
            self._unwanted = True

    def pause(self) -> None:
        """Let the iteration wait before its next step, until ``resume`` or ``stop``."""
        with self._control:
            self._paused = True

    def resume(self) -> None:
        """Go on after ``pause``."""
        with self._control:
            self._paused = False
            self._control.notify_all()

    def stop(self) -> None:
        """End the iteration; what was painted stays in ``result``.

        The present step is given up, unless it is the first of its size.
        """
        with self._control:
            self._stopped = True
            self._control.notify_all()

    @memory_errors
    def successor(self, content: npt.ArrayLike, **changes: Any) -> Self:
        """Make a run of another content in the same styles, as for the planes of a stack.

        It gives what a new run would give, and shares with this one the weights, the encoder
        and the targets of the styles, as far as its settings are the same; of runs that
        share them, one makes a step at a time.

        Parameters
        ----------
        content : array
            As for a new run.
        **changes
            Fields of :class:`Settings` that are other than those of this run.

        Raises
        ------
        ValueError
            As for a new run.
        """
        with self._running:
            with self._control:
                now = self._run.inputs.changed(self._pending)
            same = {f.name: getattr(now.settings, f.name) for f in dataclasses.fields(Settings)}
            settings = make_settings(**{**same, **changes})
            return type(self)(content, now.styles, settings=settings, _kin=self)

    # -------------------------------------------------------------------- run

    def __iter__(self) -> Iterator[Update]:
        return self

    def __next__(self) -> Update:
        update = None
        while update is None:
            with self._control:
                if self._paused:
                    with self._stopwatch.held():
                        self._control.wait_for(lambda: self._stopped or not self._paused)
                self._unwanted = False
            if self.before_step is not None and not self._stopped:
                self.before_step()
            with self._running:
                update = self._advance()
        return update

    def _advance(self) -> Update | None:
        """Make a step, or raise StopIteration; None if there is no step yet."""
        self._stopwatch.start()
        if not self._stopped:
            self._make_changes()
        if self._stopped or self._run.finished:
            self._run.release()
            self._stopwatch.stop()
            raise StopIteration
        losses = self._make_step()
        if losses is None:
            return None
        progress = self._run.progress
        note = self._run.notes.take(progress.step)
        return Update(self, losses, progress.step, progress.scale, note, self._run.sketched)

    def run(self) -> Image:
        """Run to the end and return the result."""
        for _ in self:
            pass
        image = self.result
        if image is None:
            raise RuntimeError("The run was stopped before its first step.")
        return image

    # ----------------------------------------------------------------- changes

    def _make_changes(self) -> None:
        """Put pending changes in force."""
        with self._control:
            if not self._pending:
                return
            self._taken, self._pending = self._pending, {}
        before, reason = self._run, None
        try:
            run = before.changed(self._taken)
        except Exception as error:
            reason = _reason(error)
        if reason is not None:  # not earlier: the error holds on to what did not fit
            run = self._recall(before, reason)
        elif run is not before:
            self._before = self._before or before
        with self._control:
            if run is before and run.finished and reason is None:  # they wait for more steps
                self._pending = {**self._taken, **self._pending}
            self._run, self._taken = run, {}

    def _make_step(self) -> torch.Tensor | None:
        """Make a step, and return the losses before it; None if there is none yet.

        The first one after a change may fail: then the run goes on as before.
        """
        try:
            losses = self._run.step(self._check_use)
        except _Unwanted:
            self._gave_up = True
            return None
        except Exception as error:
            if self._before is None or self._before.finished:
                raise
            reason = _reason(error)
        else:
            self._gave_up = False
            if not self._run.sketched:  # what is large is yet to be made
                self._before = None
            return losses
        self._run, self._before = self._recall(self._before, reason), None
        return None

    def _check_use(self) -> None:
        """Raise an exception if the present step is not wanted any more."""
        unwanted = self._unwanted or self._pending
        if self._stopped or (unwanted and not self._gave_up):
            raise _Unwanted

    def _recall(self, before: Run, reason: str) -> Run:
        run = before.recalled()
        told = f"A change could not be made: the run goes on as it was. {reason}"
        run.notes.add(told, repeats=False)
        return run

    # -------------------------------------------------------------- checkpoints

    @memory_errors
    def save(self, path: str | os.PathLike[str]) -> None:
        """Save the run, to be resumed with :meth:`load` as if it had not been interrupted.

        Parameters
        ----------
        path : str or path
            The checkpoint; safetensors, data only. Replaced whole or not at all.
        """
        with self._running:
            self._make_changes()
            run = self._run
            state: dict[str, Any] = {
                **described(run),
                **run.state(),
                "elapsed": self._stopwatch.elapsed,
                "ended": self._stopped or run.finished,
                "names": self.names,
            }
            write_checkpoint(path, state)

    @classmethod
    @memory_errors
    def load(
        cls, path: str | os.PathLike[str], weights: str | os.PathLike[str] | None = None
    ) -> Self:
        """Load a saved run; iterating goes on where it was.

        It goes on with the device, the precision and the tiles that it had, and on a CPU with
        as many threads, which are torch's for the whole program. Where it cannot, its first
        :class:`Update` has a note; otherwise, on a CPU, it ends as if it had never been saved,
        to the last bit.

        Parameters
        ----------
        path : str or path
            What :meth:`save` wrote.
        weights : str or path, optional
            The file of weights of a run that has its own: no checkpoint may choose the files
            that are read. They must be those that the run had.

        Raises
        ------
        OSError
            If the file cannot be read.
        ValueError
            If it is damaged or not a checkpoint, the weights are others, or the memory is not
            enough for the run.
        """
        state = read_checkpoint(path)
        try:
            saved = SavedRun(state, weights)
        except DAMAGE as error:
            raise refusal(path, error) from error
        transfer = cls(saved.content, saved.styles, settings=saved.settings, _means=saved.means)
        try:
            saved.check_weights(transfer._run.studio.fingerprint)
            transfer._run.restore(state)
        except DAMAGE as error:
            raise refusal(path, error) from error
        for note in saved.notes:
            transfer._run.notes.add(note, repeats=False)
        transfer._stopwatch.elapsed = saved.elapsed
        transfer.names = saved.names
        return transfer


def _reason(error: Exception) -> str:
    if is_out_of_memory(error) and not isinstance(error, MemoryError):
        return "There is not enough memory for it."
    return str(error) or type(error).__name__


def _choose_means(settings: Settings, kin: StyleTransfer | None) -> Means:
    asked = settings.device, settings.precision, settings.tile
    if kin is not None:
        its = kin.settings
        if (its.device, its.precision, its.tile) == asked:
            return kin._run.studio.means  # lesser ones, where the memory ran out
    device = devices.choose_device(settings.device)
    precision = devices.choose_precision(settings.precision, device)
    return Means(device, precision, settings.tile)


def stylize(
    content: npt.ArrayLike,
    style: npt.ArrayLike | Sequence[npt.ArrayLike],
    preset: str = "default",
    **overrides: Any,
) -> Image:
    """Paint the content in the style of another image or several.

    Parameters
    ----------
    content : array
        (H, W), (H, W, 3) or (H, W, 4), of any real dtype.
    style : array or sequence of arrays
        One such image or several.
    preset : str
        One of ``PRESETS``.
    **overrides
        Fields of :class:`Settings`.

    Returns
    -------
    numpy.ndarray
        (H, W, 3) float32 in [0, 1].

    Raises
    ------
    ValueError
        For an image, setting, device or weights that cannot be used.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> painted = stylize(rng.random((48, 64)), rng.random((50, 50, 3)), "fast", steps=2)
    >>> painted.shape
    (48, 64, 3)
    """
    return StyleTransfer(content, style, preset, **overrides).run()
