"""The state of a run, what a step does to it, and what becomes of it when its inputs change."""

import copy
import dataclasses
import functools
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, Self, TypeVar

import torch

from napari_neural_style.notes import Note, Notes
from napari_neural_style.settings import Settings
from napari_neural_style.transfer import live
from napari_neural_style.transfer.budget import Stopwatch
from napari_neural_style.transfer.fallback import Means, is_out_of_memory
from napari_neural_style.transfer.inputs import Inputs
from napari_neural_style.transfer.objective import Check, Evaluation, Objective, least_side
from napari_neural_style.transfer.optimizers import learning_rate_factor, make_optimizer
from napari_neural_style.transfer.painting import Painting, is_bold
from napari_neural_style.transfer.pictures import Pictures
from napari_neural_style.transfer.planner import Planner
from napari_neural_style.transfer.progress import Progress
from napari_neural_style.transfer.scales import fit, resize
from napari_neural_style.transfer.sketch import Sketch, sketch_shapes
from napari_neural_style.transfer.state import State, number, part, plain, tensor
from napari_neural_style.transfer.studio import Studio, fitting_means, needed_with

T = TypeVar("T")


# A root mean square difference, in RGB, of one picture that is painted over from another.
_JUMP: Final = 0.25


class Run:
    """A run between two steps. It knows of no threads.

    Parameters
    ----------
    inputs : Inputs
        With images on the device.
    init : str or torch.Tensor
        What the optimisation starts from, as the setting.
    studio : Studio
        With its weights loaded.
    stopwatch : Stopwatch
        The time of the run.
    """

    def __init__(
        self,
        inputs: Inputs,
        init: str | torch.Tensor,
        studio: Studio,
        stopwatch: Stopwatch,
    ) -> None:
        self.settings = inputs.settings
        self.studio = studio
        self.progress = Progress(inputs.plan)
        self.pictures = Pictures(inputs, init, self.largest)
        self.objective: Objective | None = None
        self.painting: Painting | None = None
        self._sketch: Sketch | None = None  # to be made before the next step
        self.sketched = False
        """Whether the last step was one of a sketch."""
        self.rate = 1.0  # lowered by the guard
        self.changes: list[dict[str, Any]] = []
        """What has changed since the first step, as plain data."""
        self.begun_with: dict[str, Any] = {}
        """What that was before, of each name."""
        self.started = datetime.now(UTC).isoformat(timespec="seconds")
        """When the run was made."""
        self.notes = Notes()
        """What the user should know."""
        self._stopwatch = stopwatch
        self.planner = self._make_planner()

    def _make_planner(self) -> Planner:
        return Planner(self.settings, self.progress, self._stopwatch, self.prepare_trial)

    @property
    def inputs(self) -> Inputs:
        """What it is made of."""
        return dataclasses.replace(self.pictures.inputs, settings=self.settings)

    @property
    def largest(self) -> tuple[int, int]:
        """Height and width of the result, in pixels."""
        return self.progress.shapes[-1]

    @property
    def finished(self) -> bool:
        """Whether there is no next step."""
        return self.progress.finished

    @property
    def seconds(self) -> float:
        """What it has taken, without its pauses."""
        return self._stopwatch.elapsed

    @property
    def memory_needed(self) -> int:
        """Bytes that a program needs that makes the run and nothing else."""
        return needed_with(self.settings, self.largest, self.studio.means)

    def prepare_trial(self, side: int) -> tuple[int, Callable[[], object]]:
        """Pixels of a small image, and a step on it."""
        height, width = fit(*self.largest, side)
        height, width = (max(n, least_side(self.settings)) for n in (height, width))
        objective = self._make_objective(height, width)
        image = self.pictures.content_at(height, width)
        variable = self.studio.space.from_rgb(image).contiguous()
        optimizer = make_optimizer(variable, self.settings)
        return height * width, lambda: float(optimizer.step(objective, 0.0)[-1])

    @property
    def keeps_best(self) -> bool:
        """Whether the image of the lowest loss is taken, and not the last one."""
        return self.settings.keep_best or is_bold(self.settings)

    @property
    def on_excursion(self) -> bool:
        """Whether the present image is no fit end for a run.

        L-BFGS goes far away for some steps, and comes back by what it remembers.
        """
        painting = self.painting
        if painting is None or painting.losses is None:
            return False
        if painting.guard.ends_high(float(painting.losses[-1])):
            return True
        if not painting.guard.has_hope:
            return False
        # A last move that paints all over, of which no loss is known yet, is one, too.
        best, last = (self.studio.space.to_rgb(self.kept(best)) for best in (True, False))
        return float((best - last).square().mean()) > _JUMP**2

    def kept(self, best: bool) -> torch.Tensor:
        """The present image, or the best one."""
        assert self.painting is not None
        if not best and torch.isfinite(self.painting.variable).all():
            return self.painting.variable
        return self.painting.guard.best.to(self.studio.dtype)  # it may be in half precision

    # -------------------------------------------------------------------- a step

    def step(self, check: Check = lambda: None) -> torch.Tensor:
        """Make a step; return the losses before it.

        Parameters
        ----------
        check : callable
            Called many times in a step; what it raises then is raised, and nothing has changed.
            Not called in the first step of a scale.
        """
        self.sketched = self._sketch is not None
        if self.sketched:
            losses = self._within_memory(functools.partial(self._advance_sketch, check))
            self.progress.count_beside()
            return losses
        losses = self._within_memory(functools.partial(self.advance, check))
        self.progress.count()
        assert self.painting is not None
        if self.painting.guard.alarmed(losses[-1]):
            self._return_to_best(losses[-1])
        note = self.planner.adjust(self.painting)
        if note is not None:
            self.notes.add(note)
        if self.progress.scale_ends:
            self._settle()
        if self.progress.finished:
            self._tell_end()
        return losses

    def advance(self, check: Check) -> torch.Tensor:
        """Make a step, and nothing of what follows from it."""
        progress = self.progress
        if self.painting is None or progress.upcoming != progress.scale:
            self._start_scale(progress.upcoming)
        assert self.painting is not None
        evaluate = self._evaluate
        if progress.scale_step:  # or else nothing was painted at this scale
            evaluate = functools.partial(self._evaluate, check=check)
        return self.painting.step(evaluate, self._step_size)

    @property
    def _step_size(self) -> float:
        settings, progress = self.settings, self.progress
        factor = learning_rate_factor(settings.schedule, progress.scale_step, progress.done)
        return settings.learning_rate * factor * self.rate

    def _advance_sketch(self, check: Check) -> torch.Tensor:
        """Make a step of the sketch."""
        sketch, painting = self._sketch, self.painting
        assert sketch is not None
        assert painting is not None
        if sketch.objective is None:
            sketch.objective = self._make_objective(*sketch.shape)
        if sketch.small is None:
            small = resize(self.studio.space.to_rgb(painting.variable), *sketch.shape)
            sketch.small = self._paint_on(small)
        losses = sketch.step(painting, self._step_size, check)
        if sketch.ended:
            painting.restart_optimizer()
            self._sketch = None
        return losses

    def _evaluate(self, variable: torch.Tensor, check: Check = lambda: None) -> Evaluation:
        assert self.painting is not None
        if self.objective is None:
            self.objective = self._make_objective(*self.painting.shape)
        evaluation = self.objective(variable, check)
        self.painting.guard.keep(variable, evaluation.losses)
        return evaluation

    def _evaluate_present(self) -> Evaluation:
        assert self.painting is not None
        return self._evaluate(self.painting.variable)

    def _return_to_best(self, total: torch.Tensor) -> None:
        assert self.painting is not None
        step = self.progress.step
        other_means = self.studio.means.precision == torch.float16 and not torch.isfinite(total)
        if other_means:
            self._change_means(self.studio.means._replace(precision=torch.float32))
            goes_on = "in float32, for float16 has no such large numbers"
        else:
            self._check_hope()
            self.rate /= 4
            goes_on = f"with {self.rate:g} times the step size"
        self.painting.return_to_best()
        self.notes.add(
            f"The loss exploded at step {step}: the run went back to the best image so far and "
            f"goes on {goes_on}.",
            repeats=not other_means,
        )

    def _check_hope(self) -> None:
        """Raise a ValueError if a scale has had no image with a finite loss."""
        assert self.painting is not None
        if not self.painting.guard.has_hope:
            settings = self.settings
            raise ValueError(
                "The loss is not finite, not even of the image at the start: take other weights "
                f"of the network than {settings.weights!r}, or another precision than "
                f"{str(self.studio.means.precision).removeprefix('torch.')}."
            )

    def _settle(self) -> None:
        """End a scale with its best image if its last one is no fit end."""
        assert self.painting is not None
        assert self.painting.losses is not None
        total = self.painting.losses[-1]
        if self.planner.steps_to_end:
            total = self._within_memory(self._evaluate_present).losses[-1]
        finite = bool(self.painting.variable.isfinite().all())  # no loss tells of the last step
        if finite and not self.painting.guard.ends_high(float(total)):
            return
        self._check_hope()
        self.painting.return_to_best()
        height, width = self.painting.shape
        self.notes.add(
            f"The loss was high at the end of the scale of {width} x {height} pixels: its best "
            "image was taken instead. A smaller learning_rate may do better."
        )

    def _tell_end(self) -> None:
        """Note what became of the result."""
        if self.keeps_best and not self.settings.keep_best:
            self.notes.add(
                f"With learning_rate={self.settings.learning_rate:g} the last step may lead "
                "anywhere: the image of the lowest loss was taken."
            )
        shapes, scale = self.progress.shapes, self.progress.scale
        if scale == len(shapes) - 1:
            return
        (height, width), (asked_height, asked_width) = shapes[scale], self.largest
        why = "" if self.settings.budget is None else f": {self.settings.budget:g} s allow no more"
        self.notes.add(
            f"Painted at {width} x {height} pixels and enlarged to {asked_width} x "
            f"{asked_height}{why}."
        )

    def release(self) -> None:
        """Let go of everything but the result and, of a stopped run, what can resume it."""
        self._forget_objectives()
        self.studio.release()
        if self.progress.finished and self.painting is not None:
            self.painting.finish()

    # -------------------------------------------------------------------- scales

    def _start_scale(self, scale: int) -> None:
        """Go on at a scale, from what was painted before; if that fails, nothing changes."""
        shape = self.progress.shapes[scale]
        if self.painting is None:
            rgb = self.pictures.start(*shape)
        else:
            kept = self.studio.space.to_rgb(self.kept(self.keeps_best))
            rgb = self.pictures.enlarge(self.pictures.inside(kept), *shape)
        self.objective = None  # free its targets before the next are made
        objective = self._make_objective(*shape)
        painting = self._paint_on(rgb)
        if self.painting is not None:
            painting.learn_from(self.painting)
        self.objective, self.painting = objective, painting
        self.progress.enter(scale)

    def _paint_on(self, rgb: torch.Tensor) -> Painting:
        variable = self.studio.space.from_rgb(rgb).contiguous().clone()
        return Painting(variable, self.settings, self.pictures.painted_share(variable))

    def load_painting(self, state: State) -> None:
        """Go on from the state of a painting."""
        device = self.studio.means.device
        share = self.pictures.painted_share(state["variable"].to(device))
        self.painting = Painting.load(state, self.settings, device, share)

    def _load_sketch(self, state: State) -> None:
        """Go on from the state of a sketch; its objective is made when it is needed."""
        sketch = Sketch.load(state, self._sketch_shapes)
        if "small" in state:
            small = part(state, "small")
            expected = self.pictures.content.new_empty(1, 3, *sketch.shape)
            variable = tensor(small, "variable", expected).to(self.studio.means.device)
            share = self.pictures.painted_share(variable)
            sketch.small = Painting.load(small, self.settings, variable.device, share)
        self._sketch = sketch

    @property
    def _sketch_shapes(self) -> list[tuple[int, int]]:
        return sketch_shapes(*self.progress.shape, least_side(self.settings))

    def _forget_objectives(self) -> None:
        self.objective = None
        if self._sketch is not None:
            self._sketch.objective = None

    def _make_objective(self, height: int, width: int) -> Objective:
        return self.studio.make_objective(self.pictures, self.settings, height, width)

    # -------------------------------------------------------------------- memory

    def _within_memory(self, work: Callable[[], T]) -> T:
        """Do some work; where there is no memory for it, with lesser means."""
        before = self.studio.means
        while True:
            try:
                with self.studio.alone:
                    done = work()
                break
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
            # Not earlier: the error holds on to what did not fit.
            self.fall_back()
        means = self.studio.means
        if means != before:
            self.notes.add(
                f"The memory of {before.device} ran out: the run goes on "
                f"{means.named_after(before)}.",
                repeats=False,
            )
        return done

    def fall_back(self) -> None:
        """Go on with lesser means from the present state."""
        before = self.studio.means
        lesser = self.studio.lesser_means(self.largest)
        if lesser is None:
            self._forget_objectives()
            self.studio.release()
            shapes = self.progress.shapes
            height, width = shapes[min(self.progress.upcoming, len(shapes) - 1)]
            raise MemoryError(
                f"The memory of {before.device} ran out at {width} x {height} pixels, in small "
                "tiles too: close other programs, or choose a smaller size."
            )
        try:
            self._change_means(lesser)
            if lesser.device != before.device:
                self.move()
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        else:
            before.free_cache()
            return
        self.fall_back()  # another program has taken even what little that needs

    def _change_means(self, means: Means) -> None:
        """Compute with others from the next step on."""
        self._forget_objectives()
        self.studio.move_to(means)
        self.planner.forget()

    def move(self) -> None:
        """Take images and state to the device in use."""
        self.pictures = self.pictures.to(self.studio.means.device)
        if self.painting is not None:
            self.load_painting(self.painting.state())
        if self._sketch is not None:
            self._load_sketch(self._sketch.state())

    # --------------------------------------------------------------- checkpoints

    def state(self) -> dict[str, Any]:
        """Everything needed to go on, beside its inputs, as tensors and plain data."""
        state = {
            **self.progress.state(),
            "rate": self.rate,
            "changes": self.changes,
            "begun_with": self.begun_with,
            "started": self.started,
            "notes": self.notes.plain(),
        }
        if self.painting is not None:
            state["painting"] = self.painting.state()
        if self._sketch is not None:
            state["sketch"] = self._sketch.state()
        return state

    def restore(self, state: State) -> None:
        """Go on from :meth:`state`.

        Raises
        ------
        ValueError, LookupError, TypeError
            If it is of another run, or damaged.
        """
        self.progress.load(state)
        self.rate = number("rate", state["rate"], 0, 1)
        self.changes = [dict(change) for change in plain(state, "changes")]
        self.begun_with = dict(plain(state, "begun_with"))
        self.started = str(plain(state, "started"))
        # A checkpoint of an earlier version has none.
        self.notes = Notes(map(Note.from_dict, plain(state, "notes") if "notes" in state else ()))
        if "painting" not in state:
            if self.progress.step:
                raise ValueError("it has no image")
            return
        painting = part(state, "painting")
        expected = self.pictures.content.new_empty(1, 3, *self.progress.shape)
        variable = tensor(painting, "variable", expected)
        # Within a run the guard sees to it that such an image does not last.
        if self.finished and not variable.isfinite().all():
            raise ValueError("its image has values that are not finite")
        self.load_painting(painting)
        if "sketch" in state:
            self._load_sketch(part(state, "sketch"))
        if not self.finished:
            self.objective = self._make_objective(*self.progress.shape)

    # ------------------------------------------------------------------- changes

    def check_change(self, inputs: Inputs) -> None:
        """Raise a ValueError if the memory is not enough for other inputs, or steps are timed."""
        if self.settings.budget is not None and inputs.settings.steps != self.settings.steps:
            raise ValueError(
                f"steps={inputs.settings.steps} cannot change in a run with a budget: it makes as "
                "many as there is time for."
            )
        self._fitting_means(inputs.settings, inputs.shapes[-1])

    def changed(self, changes: Mapping[str, Any]) -> Self:
        """Return the same run after some changes, which goes on from the present picture.

        What is heavy is left to its next step. This one makes no more, unless it is
        :meth:`recalled`. After the end, what brings no further step changes nothing: this
        one is returned.

        Parameters
        ----------
        changes : mapping
            Of its :class:`Inputs`; and ``picture``, (1, 3, H, W) RGB in [0, 1], to go on from
            instead. Images may be on any device.
        """
        self._means = self.studio.means
        inputs, picture = self.inputs.changed(changes), changes.get("picture")
        names, progress = live.changed(self.inputs, inputs), self.progress
        replanned = "steps" in names or inputs.shapes != progress.shapes
        if replanned:
            progress = progress.replanned(inputs.plan, inputs.total)
        if picture is not None:
            progress, replanned = progress.taken_up(max(picture.shape[2:])), True
        elif not names or (self.finished and progress.finished):
            return self
        run = copy.copy(self)
        run.settings, run.progress, run.notes = inputs.settings, progress, Notes(self.notes.kept)
        self._reform(run, inputs, names)
        run._sketch = None if replanned else self._next_sketch(run, names)
        if replanned:  # with a budget it makes some steps
            with run.studio.alone:
                run.planner = run._make_planner()
        if picture is not None:
            run._take_up(picture)
        if run.painting is not None:
            change = live.described(inputs, names, self.progress.step, picture)
            run.changes = [*self.changes, change]
            before = {name: live.told(self.inputs, name) for name in names - {*self.begun_with}}
            run.begun_with = {**before, **self.begun_with}
        if run.painting is self.painting is not None:
            if self.finished:
                run._reopen()
            elif progress.scale_ends and not self.progress.scale_ends:
                run._settle()
        self._stand_by(run)
        return run

    def _reform(self, run: Self, inputs: Inputs, names: set[str]) -> None:
        """Give a changed run its studio, pictures, objective and painting."""
        other_layers = live.other_layers(self.settings, run.settings)
        resized = run.largest != self.largest
        aimed = other_layers or bool(names & live.STYLES)
        repainted = bool(names & live.PICTURES) or (resized and run.settings.mask is not None)
        moved = self.painting is not None and self.painting.shape != run.progress.shape
        if other_layers or resized:
            run.studio = self._other_studio(run)
        if aimed or resized or repainted:
            run.pictures = self.pictures.changed(inputs, run.largest)
        if aimed or moved or repainted:
            run.objective, run.rate = None, 1.0
            run.progress.forget_done()
            run.planner.forget()
        elif run.objective is not None:
            run.objective.settings = run.settings
        if self.painting is None:
            return
        if moved or repainted:
            best = (self.keeps_best and self.finished) or self.on_excursion
            rgb = self.studio.space.to_rgb(self.kept(best))
            rgb = run.pictures.repainted(rgb, self.pictures, *run.progress.shape)
            run.painting = run._paint_on(rgb)
            if not moved and "color" not in names:  # in other colours it is another image
                run.painting.go_on_from(self.painting)
            return
        forgets = self.settings.optimizer == "lbfgs" and not self.finished
        if (aimed or names & live.WEIGHING) and forgets and self.on_excursion:
            self.painting.take_best()
        if aimed:
            self.painting.aim_anew()
        elif names & live.WEIGHING:
            self.painting.weigh_anew()

    def _next_sketch(self, run: Self, names: set[str]) -> Sketch | None:
        """Plan a changed run's sketch, if its goal is far."""
        if not live.leads_far(self.inputs, run.inputs, names):
            if self._sketch is not None:
                self._sketch.begin_copy_anew()
            return self._sketch
        if run.painting is None or run.progress.scale_ends or run.settings.optimizer == "lbfgs":
            return None
        shapes = run._sketch_shapes
        return Sketch(shapes) if shapes else None

    def _take_up(self, picture: torch.Tensor) -> None:
        """Go on from a picture at the present scale."""
        self.objective, self.rate = None, 1.0
        self.planner.forget()
        self.painting = self._paint_on(self.pictures.taken_up(picture, *self.progress.shape))
        self.painting.be_careful()

    def _other_studio(self, run: Self) -> Studio:
        """Make the studio of a changed run, which shares the weights with this one."""
        studio = Studio(run.settings, self._fitting_means(run.settings, run.largest))
        studio.load_weights(self.studio)
        return studio

    def _fitting_means(self, settings: Settings, shape: tuple[int, int]) -> Means:
        """Means with which there is memory for other settings and another size."""
        means = self.studio.means
        if needed_with(settings, shape, means) <= self.memory_needed:
            return means
        held = 0
        if self.painting is not None:
            held = needed_with(self.settings, self.painting.shape, means)
        return fitting_means(settings, means, shape, held)

    def _reopen(self) -> None:
        """Go on from the result, after the end: whether the optimizer was still there or not."""
        assert self.painting is not None
        if self.keeps_best:  # that is what was shown
            self.painting.return_to_best()
        else:
            self.painting.restart_optimizer()
        self.painting.be_careful()

    def _stand_by(self, run: Self) -> None:
        """Let go of what a changed run has no use for."""
        if run.objective is not self.objective:
            self.objective = None
        if run.studio is not self.studio:
            self.studio.release()
        if self.painting is not None and run.painting is not self.painting:
            self.painting.finish()

    def recalled(self) -> Self:
        """Go on as before a change, of which nothing came; it may have failed half way."""
        self._sketch = None
        self.objective = None
        self.studio.move_to(self._means)
        if self.painting is not None:
            self.painting.aim_anew()
        return self
