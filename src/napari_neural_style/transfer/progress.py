"""Where a run is: its scales, their planned steps, and the steps made."""

from copy import copy
from typing import Any, Final

from napari_neural_style.transfer.scales import Scale
from napari_neural_style.transfer.state import State, number, whole

# A run could not come so far.
_MOST_STEPS: Final = 10**9


class Progress:
    """Counts the steps of a run over its scales.

    Parameters
    ----------
    plan : list of Scale
        Coarse to fine.
    """

    def __init__(self, plan: list[Scale]) -> None:
        self.plan = list(plan)
        self.step = 0
        """Steps made, over all scales."""
        self.scale = 0
        """The present scale."""
        self.scale_step = 0
        """Steps made at the present scale."""
        # A step, and the part of the run that was done then.
        self._since = 0, 0.0

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """Height and width of each scale."""
        return tuple((scale.height, scale.width) for scale in self.plan)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the present scale."""
        return self.shapes[self.scale]

    @property
    def steps(self) -> tuple[int, ...]:
        """Planned steps of each scale."""
        return tuple(scale.steps for scale in self.plan)

    @property
    def total(self) -> int:
        """Steps made and planned, over all scales."""
        return self.step - self.scale_step + sum(self.steps[self.scale :])

    @property
    def done(self) -> float:
        """Part of the run that is done, in [0, 1]."""
        since, done = self._since
        coming = self.total - since
        return done + (1 - done) * (self.step - since) / coming if coming else 1.0

    @property
    def steps_made(self) -> list[int]:
        """At each scale, as the setting ``steps`` takes them."""
        later = [0] * (len(self.plan) - self.scale - 1)
        return [*self.steps[: self.scale], self.scale_step, *later]

    @property
    def upcoming(self) -> int:
        """Scale of the next step; beyond the last scale if there is none."""
        if self.scale_step < self.plan[self.scale].steps:
            return self.scale
        later = range(self.scale + 1, len(self.plan))
        return next((i for i in later if self.plan[i].steps), len(self.plan))

    @property
    def scale_ends(self) -> bool:
        """Whether the present scale has had its steps."""
        return self.scale_step == self.plan[self.scale].steps

    @property
    def finished(self) -> bool:
        """Whether there is no next step."""
        return self.upcoming == len(self.plan)

    def count(self) -> None:
        """Count a step."""
        self.step += 1
        self.scale_step += 1

    def count_beside(self) -> None:
        """Count a step that is none of those planned."""
        self.step += 1

    def enter(self, scale: int) -> None:
        """Go on at a scale."""
        self.scale, self.scale_step = scale, 0

    def plan_steps(self, steps: tuple[int, ...]) -> None:
        """Plan the steps of the present scale and of those to come."""
        for scale, count in enumerate(steps, start=self.scale):
            # There may be time for ever.
            self.plan[scale] = self.plan[scale]._replace(steps=min(count, _MOST_STEPS))

    def replanned(self, plan: list[Scale], total: int | None) -> "Progress":
        """Progress of the same run by another plan.

        It goes on at the first scale that is no smaller than the present one, or at the
        last; there, what was made at the very same size counts. From what was its last
        scale it goes on to a larger one at once, if there is one.

        Parameters
        ----------
        plan : list of Scale
            Coarse to fine.
        total : int or None
            Steps in all: what coarser scales did not have of it, the last scale gets.
        """
        progress = Progress(plan)
        if not self.step:
            return progress
        progress.step = self.step
        shapes, made = progress.shapes, dict(zip(self.shapes, self.steps_made, strict=True))
        least = max(self.shape)
        if self.scale == len(self.plan) - 1 and max(shapes[-1]) > least:
            least += 1  # who asks for a larger picture than the largest shall see it grow
        progress.scale = next((i for i, s in enumerate(shapes) if max(s) >= least), len(plan) - 1)
        if shapes[progress.scale] == self.shape:
            progress.scale_step = self.scale_step
        for i, shape in enumerate(shapes[: progress.scale]):
            progress.plan[i] = plan[i]._replace(steps=made.get(shape, 0))
        here = plan[progress.scale]
        progress.plan[progress.scale] = here._replace(steps=max(here.steps, progress.scale_step))
        if total is not None and total > progress.total:
            last = progress.plan[-1]
            progress.plan[-1] = last._replace(steps=last.steps + total - progress.total)
        if shapes == self.shapes:  # the learning rate goes on from what it is
            progress._since = self.step, self.done
        return progress

    def taken_up(self, side: int) -> "Progress":
        """Progress of the same run that goes on from a picture of a longest side.

        It goes on at the first scale that is no smaller, or at the last, which has all its
        steps before it.
        """
        progress = copy(self)
        progress.plan = list(self.plan)
        sides = map(max, self.shapes)
        scale = next((i for i, there in enumerate(sides) if there >= side), len(self.plan) - 1)
        progress.enter(scale)
        progress.forget_done()
        return progress

    def forget_done(self) -> None:
        """Take the part of the steps that were made for what is done: there is a new goal."""
        self._since = 0, 0.0

    def state(self) -> dict[str, Any]:
        """Everything needed to go on; a scale that converged has had its own steps."""
        return {
            "steps": self.steps,
            "step": self.step,
            "scale": self.scale,
            "scale_step": self.scale_step,
            "since": self._since,
        }

    def load(self, state: State) -> None:
        """Go on from :meth:`state`."""
        steps, since = state["steps"], state["since"]
        if len(steps) != len(self.plan) or len(since) != 2:
            raise ValueError("its steps are not those of its scales")
        steps = [whole("steps", count, 0, _MOST_STEPS) for count in steps]
        self.plan = [
            scale._replace(steps=count) for scale, count in zip(self.plan, steps, strict=True)
        ]
        self.scale = whole("scale", state["scale"], 0, len(steps) - 1)
        self.scale_step = whole("scale_step", state["scale_step"], 0, steps[self.scale])
        self.step = whole("step", state["step"], self.scale_step, _MOST_STEPS)
        self._since = whole("since", since[0], 0, self.step), number("since", since[1], 0, 1)
