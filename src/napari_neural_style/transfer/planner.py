"""The plan of a run's steps: what they will take, and when a scale has had enough."""

from typing import Final

from napari_neural_style.settings import Settings
from napari_neural_style.transfer.budget import Budget, Stopwatch
from napari_neural_style.transfer.guard import look_every
from napari_neural_style.transfer.painting import Painting
from napari_neural_style.transfer.progress import Progress
from napari_neural_style.transfer.scales import step_shares
from napari_neural_style.transfer.trial import Prepare, step_seconds

# The targets of a scale take about so many steps.
_STEPS_TO_PREPARE: Final = 1.5


class Planner:
    """Plans the steps of each scale, and plans anew while they are made.

    Parameters
    ----------
    settings : Settings
        ``budget``, ``steps``, ``tolerance``, ``patience`` and ``optimizer`` are used.
    progress : Progress
        Of the run; its plan is changed.
    stopwatch : Stopwatch
        The time of the run.
    prepare_trial : callable
        Prepares a step on a small image, to be timed.
    """

    def __init__(
        self, settings: Settings, progress: Progress, stopwatch: Stopwatch, prepare_trial: Prepare
    ) -> None:
        self._settings, self._progress = settings, progress
        self._stopwatch = stopwatch
        self._costs: list[float] | None = None
        self._budget: Budget | None = None
        if settings.budget is not None:
            shares = step_shares(settings, len(progress.plan))
            expected, after = self._step_seconds(prepare_trial), self.steps_to_end
            self._budget = Budget(
                settings.budget, expected, shares, before=_STEPS_TO_PREPARE, after=after
            )
            self._plan_steps(self._budget)

    def _step_seconds(self, prepare_trial: Prepare) -> list[float]:
        """What a step of each scale will take."""
        if self._costs is None:
            shapes, budget = self._progress.shapes, self._settings.budget
            self._costs = step_seconds(prepare_trial, shapes, budget)
        return self._costs

    @property
    def steps_to_end(self) -> int:
        """Evaluations at the end of a scale, beyond its steps."""
        # Without a line search the last step may lead anywhere: only another tells where.
        return 1 if self._settings.optimizer == "lbfgs" else 0

    def seconds(self, prepare_trial: Prepare) -> float:
        """Estimate the time of the whole run; the first time by steps on small images."""
        costs = self._step_seconds(prepare_trial)
        seconds = sum(
            cost * (steps + _STEPS_TO_PREPARE + self.steps_to_end)
            for cost, steps in zip(costs, self._progress.steps, strict=True)
            if steps
        )
        return seconds if self._budget is None else seconds + self._stopwatch.elapsed

    def adjust(self, painting: Painting) -> str | None:
        """Plan anew by what the last step has shown; what the user should know of it."""
        assert painting.losses is not None
        note, progress, step = None, self._progress, self._progress.scale_step
        given_up = painting.guard.gives_up
        converged = not progress.scale_ends and (
            given_up or painting.converged(self._settings.tolerance, self._settings.patience)
        )
        if converged:
            height, width = progress.shapes[progress.scale]
            progress.plan_steps((step,))
            note = f"Converged at {width} x {height} pixels after {step} steps."
        if converged and given_up:
            note = (
                f"The loss exploded again and again at {width} x {height} pixels: the best image "
                "was taken. A smaller learning_rate may do better."
            )
        if self._budget is not None:
            # On a GPU, looking at the time waits for the device: often only at first.
            soon = progress.scale_ends or step in (1, 2, 4, 8)
            if soon or step % look_every(painting.variable.device) == 0:
                float(painting.losses[-1])
                self._plan_steps(self._budget, converged)
        return note

    def forget(self) -> None:
        """Measure anew from the next step on: steps now take another time."""
        if self._budget is not None:
            self._budget.forget()

    def _plan_steps(self, budget: Budget, converged: bool = False) -> None:
        """Plan the steps of this scale and of those to come, by the time that is left."""
        progress, elapsed = self._progress, self._stopwatch.elapsed
        steps = budget.plan(progress.scale, progress.scale_step, elapsed, converged)
        progress.plan_steps(steps)
