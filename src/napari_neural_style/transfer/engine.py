"""StyleTransfer: a run as an iterator of updates."""

import dataclasses
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self, TypeVar

import numpy.typing as npt
import torch

from napari_neural_style.settings import Settings, make_settings
from napari_neural_style.transfer import devices, live
from napari_neural_style.transfer.budget import Stopwatch
from napari_neural_style.transfer.checkpoint import read_checkpoint, write_checkpoint
from napari_neural_style.transfer.fallback import Means, is_out_of_memory, memory_errors
from napari_neural_style.transfer.objective import Evaluation, Objective
from napari_neural_style.transfer.optimizers import learning_rate_factor, make_optimizer
from napari_neural_style.transfer.painting import Painting
from napari_neural_style.transfer.pictures import Pictures
from napari_neural_style.transfer.planner import Planner
from napari_neural_style.transfer.progress import Progress
from napari_neural_style.transfer.provenance import recipe
from napari_neural_style.transfer.scales import fit, plan_scales, resize
from napari_neural_style.transfer.spaces import ImageSpace
from napari_neural_style.transfer.studio import Studio
from napari_neural_style.transfer.update import Estimate, Image, Update

T = TypeVar("T")


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
        **overrides: Any,
    ) -> None:
        if settings is not None and (overrides or preset != "default"):
            raise ValueError("Give either settings, or a preset and overrides, not both.")
        self._stopwatch = Stopwatch()
        self._stopwatch.start()
        self.settings = settings or make_settings(preset, **overrides)
        styles: list[Any] = list(style) if isinstance(style, list | tuple) else [style]
        if not styles:
            raise ValueError("style is empty: give one style image or more.")
        self._studio = Studio(self.settings, _choose_means(self.settings, _kin))
        pixels = self._to_tensor(content, "content")
        several = len(styles) > 1
        style_pixels = [
            self._to_tensor(image, f"style {i}" if several else "style")
            for i, image in enumerate(styles, start=1)
        ]
        init = self.settings.init
        start = init if isinstance(init, str) else self._to_tensor(init, "init")
        height, width = pixels.shape[2:]
        scales = plan_scales(self.settings, height, width, self._studio.least_side)
        self._progress = Progress(scales)
        self._pictures = Pictures(pixels, style_pixels, start, self.settings, self._largest)
        self._studio.check_memory(self._largest)
        self._studio.load_weights(None if _kin is None else _kin._studio)
        self._objective: Objective | None = None

        # The state of the run, all of it in `save`.
        self._rate = 1.0  # lowered by the guard
        self._painting: Painting | None = None
        self._notes: list[str] = []  # for the next update

        # Two locks, so that nobody who pauses or stops waits for a step to end.
        self._running = threading.RLock()  # held during a step, and to read its outcome
        self._control = threading.Condition()  # guards the three below
        self._paused = self._stopped = False
        self._pending: Settings | None = None

        self._planner = Planner(self.settings, self._progress, self._stopwatch, self._prepare_trial)
        self._stopwatch.stop()

    # ------------------------------------------------------------------- facts

    @property
    def device(self) -> str:
        """The device in use, such as ``cpu`` or ``cuda:0``."""
        return str(self._studio.means.device)

    @property
    def precision(self) -> str:
        """The encoder's precision in use."""
        return str(self._studio.means.precision).removeprefix("torch.")

    @property
    def scales(self) -> tuple[tuple[int, int], ...]:
        """Height and width of each scale, coarse to fine."""
        return self._progress.shapes

    @property
    def steps(self) -> tuple[int, ...]:
        """Planned evaluations of each scale, coarse to fine."""
        return self._progress.steps

    @property
    def total(self) -> int:
        """Planned evaluations over all scales."""
        return sum(self.steps)

    @property
    def _largest(self) -> tuple[int, int]:
        return self.scales[-1]

    @property
    def _step(self) -> int:
        return self._progress.step

    @property
    def _space(self) -> ImageSpace:
        return self._studio.space

    @property
    def _finished(self) -> bool:
        return self._progress.finished

    @memory_errors
    def estimate(self) -> Estimate:
        """Estimate memory and time before the run, from its settings and a few small steps.

        Takes under a second; the run's own state is not touched.
        """
        with self._running, self._studio.alone:
            seconds = self._planner.seconds()
        return Estimate(self._studio.memory_needed(self._largest, self._studio.means), seconds)

    def _prepare_trial(self, side: int) -> tuple[int, Callable[[], object]]:
        """Pixels of a small image, and a step on it."""
        height, width = fit(*self._largest, side)
        height, width = (max(n, self._studio.least_side) for n in (height, width))
        objective = self._make_objective(height, width)
        image = self._pictures.content_at(height, width)
        variable = self._space.from_rgb(image).contiguous()
        optimizer = make_optimizer(variable, self.settings)
        return height * width, lambda: float(optimizer.step(objective, 0.0)[-1])

    @property
    @memory_errors
    def result(self) -> Image | None:
        """The image painted so far, (H, W, 3) float32 in [0, 1]; None before the first step."""
        with self._running:
            if self._painting is None:
                return None
            rgb = self._space.to_rgb(self._kept(self._shows_best)).clamp(0, 1)
            if self._finished:
                rgb = resize(rgb, *self._largest)
            rgb = self._pictures.shown(rgb)
            image: Image = rgb[0].permute(1, 2, 0).float().cpu().contiguous().numpy()
            return image

    def _kept(self, best: bool) -> torch.Tensor:
        assert self._painting is not None
        # The guard may keep it in half precision.
        return self._painting.guard.best.to(self._studio.dtype) if best else self._painting.variable

    @property
    def _shows_best(self) -> bool:
        return self.settings.keep_best and (self._finished or self._stopped)

    def provenance(self) -> dict[str, Any]:
        """Return what is needed to make this picture again, as plain data for JSON.

        Its losses are those before the last step, or of the best image where that is the
        result; None where there are none, or none that are finite.
        """
        with self._running:
            losses = None
            if self._painting is not None:
                guard = self._painting.guard
                losses = guard.lowest if self._shows_best else self._painting.losses
            return recipe(
                self.settings,
                self._progress,
                losses,
                self._studio.fingerprint,
                self.device,
                self.precision,
            )

    # ---------------------------------------------------------------- control

    def update(self, **changes: Any) -> None:
        """Change settings of a run that goes on, from its next step.

        Parameters
        ----------
        **changes
            Fields of :class:`Settings`: the weights of the losses and of the styles,
            the learning rate and ``keep_best``; and ``color``, ``mask``, ``style_masks`` and
            ``feather``, with which the run goes on from the present picture.

        Raises
        ------
        ValueError
            For a value out of range, or a setting that a run cannot change.
        """
        live.check_live(changes.items())
        with self._control:
            changed = dataclasses.replace(self._pending or self.settings, **changes)
            self._pictures.check(changed)
            self._pending = changed

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
        """End the iteration after the present step; what was painted stays in ``result``."""
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
                now = self._pending or self.settings
            same = {f.name: getattr(now, f.name) for f in dataclasses.fields(now)}
            settings = make_settings(**{**same, **changes})
            return type(self)(content, self._pictures.styles, settings=settings, _kin=self)

    # -------------------------------------------------------------------- run

    def __iter__(self) -> Iterator[Update]:
        return self

    def __next__(self) -> Update:
        with self._control:
            if self._paused:
                with self._stopwatch.held():
                    self._control.wait_for(lambda: self._stopped or not self._paused)
        with self._running:
            self._stopwatch.start()
            if self._stopped or self._finished:
                self._release()
                raise StopIteration
            self._notes.clear()
            self._take_over_pending()
            return self._evaluate_once()

    def run(self) -> Image:
        """Run to the end and return the result."""
        for _ in self:
            pass
        image = self.result
        if image is None:
            raise RuntimeError("The run was stopped before its first step.")
        return image

    def _evaluate_once(self) -> Update:
        losses = self._within_memory(self._advance)
        self._progress.count()
        assert self._painting is not None
        if self._painting.guard.alarmed(losses[-1]):
            self._return_to_best()
        note = self._planner.adjust(self._painting)
        if note is not None:
            self._notes.append(note)
        if self._progress.scale_ends:
            self._settle()
        if self._finished:
            self._tell_enlarging()
        return Update(self, losses, self._step, self._progress.scale, " ".join(self._notes) or None)

    def _advance(self) -> torch.Tensor:
        progress = self._progress
        if self._painting is None or progress.upcoming != progress.scale:
            self._start_scale(progress.upcoming)
        assert self._painting is not None
        factor = learning_rate_factor(
            self.settings.schedule, progress.scale_step, progress.step / self.total
        )
        rate = self.settings.learning_rate * factor * self._rate
        return self._painting.step(self._evaluate, rate)

    def _evaluate(self, variable: torch.Tensor) -> Evaluation:
        assert self._painting is not None
        if self._objective is None:
            self._objective = self._make_objective(*self.scales[self._progress.scale])
        if self.settings.method.clamp:
            variable.clamp_(0, 1)
        evaluation = self._objective(variable)
        self._painting.guard.keep(variable, evaluation.losses)
        return evaluation

    def _evaluate_present(self) -> Evaluation:
        assert self._painting is not None
        return self._evaluate(self._painting.variable)

    def _return_to_best(self) -> None:
        assert self._painting is not None
        self._rate /= 2
        self._painting.return_to_best()
        self._notes.append(
            f"The loss exploded at step {self._step}: the run went back to the best image so far "
            f"and goes on with {self._rate:g} times the step size."
        )

    def _settle(self) -> None:
        """End a scale with its best image if its last one is no fit end."""
        assert self._painting is not None
        assert self._painting.losses is not None
        total = self._painting.losses[-1]
        if self._planner.steps_to_end:
            total = self._within_memory(self._evaluate_present).losses[-1]
        if not self._painting.guard.ends_high(float(total)):
            return
        self._painting.return_to_best()
        height, width = self.scales[self._progress.scale]
        self._notes.append(
            f"The loss was high at the end of the scale of {width} x {height} pixels: its best "
            "image was taken instead. A smaller learning_rate may do better."
        )

    def _tell_enlarging(self) -> None:
        scale, (asked_height, asked_width) = self._progress.scale, self._largest
        if scale == len(self.scales) - 1:
            return
        height, width = self.scales[scale]
        why = "" if self.settings.budget is None else f": {self.settings.budget:g} s allow no more"
        self._notes.append(
            f"Painted at {width} x {height} pixels and enlarged to {asked_width} x "
            f"{asked_height}{why}."
        )

    # ------------------------------------------------------------------ memory

    def _within_memory(self, work: Callable[[], T]) -> T:
        """Do some work; where there is no memory for it, with lesser means."""
        before = self._studio.means
        while True:
            try:
                with self._studio.alone:
                    done = work()
                break
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
            # Not earlier: the error holds on to what did not fit.
            self._fall_back()
        means = self._studio.means
        if means != before:
            self._notes.append(
                f"The memory of {before.device} ran out: the run goes on "
                f"{means.named_after(before)}."
            )
        return done

    def _fall_back(self) -> None:
        """Go on with lesser means from the present state."""
        before = self._studio.means
        lesser = self._studio.lesser_means(self._largest)
        self._objective = self._studio.encoder = None
        if lesser is None:
            height, width = self.scales[min(self._progress.upcoming, len(self.scales) - 1)]
            raise MemoryError(
                f"The memory of {self.device} ran out at {width} x {height} pixels, in small tiles "
                "too: close other programs, or choose a smaller size."
            )
        self._studio.move_to(lesser)
        self._planner.forget()
        if lesser.device != before.device:
            self._move()
        before.free_cache()

    def _move(self) -> None:
        """Take images and state to the device in use."""
        self._pictures = self._pictures.to(self._studio.means.device)
        if self._painting is not None:
            self._painting = self._load_painting(self._painting.state())

    # ------------------------------------------------------------------ scales

    def _start_scale(self, scale: int) -> None:
        """Go on at a scale, from what was painted before; if that fails, nothing changes."""
        shape = self.scales[scale]
        if self._painting is None:
            rgb = self._pictures.start(*shape)
        else:
            kept = self._space.to_rgb(self._kept(self.settings.keep_best))
            rgb = self._pictures.enlarge(self._pictures.inside(kept), *shape)
        self._objective = None  # free its targets before the next are made
        objective = self._make_objective(*shape)
        painting = self._paint_on(rgb, self._pictures)
        self._objective, self._painting = objective, painting
        self._progress.enter(scale)

    def _paint_on(self, rgb: torch.Tensor, pictures: Pictures) -> Painting:
        variable = self._space.from_rgb(rgb).contiguous().clone()
        return Painting(variable, self.settings, pictures.painted_share(variable))

    def _load_painting(self, state: dict[str, Any]) -> Painting:
        device = self._studio.means.device
        share = self._pictures.painted_share(state["variable"].to(device))
        return Painting.load(state, self.settings, device, share)

    def _make_objective(self, height: int, width: int) -> Objective:
        return self._studio.make_objective(self._pictures, self.settings, height, width)

    def _take_over_pending(self) -> None:
        """Put pending settings in force."""
        with self._control:
            if self._pending is None:
                return
            before, self.settings, self._pending = self.settings, self._pending, None
        changed = live.changed(before, self.settings)
        if changed & live.PICTURES:
            self._within_memory(self._repaint)
        if self._painting is None or not changed & live.WEIGHTS:
            return
        if self._objective is not None:
            self._objective.settings = self.settings
        self._painting.weigh_anew()
        if self.settings.optimizer != "adam":  # its history is of another function
            self._painting.restart_optimizer()

    def _repaint(self) -> None:
        """Go on from the present picture with other colours, or another mask."""
        before, after = self._pictures, self._pictures.with_settings(self.settings)
        self._objective, painting = None, self._painting
        if painting is not None:
            rgb = after.repainted(self._space.to_rgb(self._kept(self._shows_best)), before)
            painting = self._paint_on(rgb, after)
        self._pictures, self._painting = after, painting

    def _release(self) -> None:
        """Let go of everything but the result and, of a stopped run, what can resume it."""
        self._objective = self._studio.encoder = None
        self._stopwatch.stop()
        if self._finished and self._painting is not None:
            self._painting.finish()

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
            self._take_over_pending()
            state: dict[str, Any] = {
                "settings": self.settings.to_dict(),
                "precision": self.precision,  # in use; `auto` may decide otherwise another time
                "tile": self._studio.means.tile,
                "content": self._pictures.content,
                "styles": self._pictures.styles,
                **self._progress.state(),
                "rate": self._rate,
                "elapsed": self._stopwatch.elapsed,
            }
            if self._painting is not None:
                state["painting"] = self._painting.state()
            write_checkpoint(path, state)

    @classmethod
    @memory_errors
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Load a saved run; iterating goes on where it was.

        Raises
        ------
        OSError
            If the file cannot be read.
        ValueError
            If it is damaged or not a checkpoint.
        """
        state = read_checkpoint(path)
        try:
            settings = Settings.from_dict(state["settings"])
            images = [
                image[0].permute(1, 2, 0).numpy() for image in (state["content"], *state["styles"])
            ]
            as_saved = dataclasses.replace(
                settings, precision=state["precision"], tile=state["tile"]
            )
            transfer = cls(images[0], images[1:], settings=as_saved)
            transfer.settings = settings
            transfer._restore(state)
        except (LookupError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{os.fspath(path)!r} is not a whole checkpoint ({error!r}): start the run anew."
            ) from error
        return transfer

    def _restore(self, state: dict[str, Any]) -> None:
        self._progress.load(state)
        self._rate = float(state["rate"])
        self._stopwatch.elapsed = float(state["elapsed"])
        if "painting" not in state:
            return
        shape = self.scales[self._progress.scale]
        if tuple(state["painting"]["variable"].shape[2:]) != shape:
            raise LookupError("its image does not have the size of its scale")
        self._painting = self._load_painting(state["painting"])
        if not self._finished:
            self._objective = self._make_objective(*shape)

    # ----------------------------------------------------------------- helpers

    def _to_tensor(self, array: npt.ArrayLike, name: str) -> torch.Tensor:
        """(1, 3, H, W) RGB in [0, 1] on the device."""
        return self._studio.to_tensor(array, name)


def _choose_means(settings: Settings, kin: StyleTransfer | None) -> Means:
    asked = settings.device, settings.precision, settings.tile
    if kin is not None:
        its = kin.settings
        if (its.device, its.precision, its.tile) == asked:
            return kin._studio.means  # lesser ones, where the memory ran out
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
