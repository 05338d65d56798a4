"""StyleTransfer: a run as an iterator of updates."""

import dataclasses
import functools
import math
import os
import platform
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, Self, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from napari_neural_style.images import to_rgb
from napari_neural_style.settings import Settings, make_settings
from napari_neural_style.transfer import devices
from napari_neural_style.transfer.budget import Budget, Stopwatch
from napari_neural_style.transfer.checkpoint import read_checkpoint, write_checkpoint
from napari_neural_style.transfer.color import keep_color, match_color
from napari_neural_style.transfer.encoder import Encoder
from napari_neural_style.transfer.fallback import (
    Means,
    fall_back,
    is_out_of_memory,
    memory_errors,
)
from napari_neural_style.transfer.guard import look_every
from napari_neural_style.transfer.memory import check_memory, memory_needed, plan_tiles
from napari_neural_style.transfer.objective import (
    Evaluation,
    Objective,
    StyleTargets,
    layers_of,
    style_targets,
)
from napari_neural_style.transfer.optimizers import learning_rate_factor, make_optimizer
from napari_neural_style.transfer.painting import Painting
from napari_neural_style.transfer.scales import Scale, fit, plan_scales, resize, step_shares
from napari_neural_style.transfer.spaces import image_space
from napari_neural_style.transfer.update import Estimate, Image, Update, named_losses
from napari_neural_style.transfer.weights import fingerprint, load_weights

T = TypeVar("T")

# Settings that weigh the losses.
_WEIGHTS: Final = frozenset({"content_weight", "style_weight", "tv_weight", "style_weights"})
#: Settings that may change while a run goes on.
LIVE: Final = _WEIGHTS | {"learning_rate", "keep_best"}

# Longest sides of the two images that `estimate` times a step on.
_TRIAL_SIDES: Final = (96, 192)
# Steps of a trial beyond the first are repeated for so long.
_TRIAL_SECONDS: Final = 0.1
# They may take about so much of a budget.
_TRIAL_SHARE: Final = 0.1
# The targets of a scale take about so many steps.
_STEPS_TO_PREPARE: Final = 1.5


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
        _check_style_weights(self.settings, len(styles))
        device = devices.choose_device(self.settings.device)
        precision = devices.choose_precision(self.settings.precision, device)
        self._means = Means(device, precision, self.settings.tile)
        self._dtype = torch.float64 if precision == torch.float64 else torch.float32
        self._content = self._to_tensor(content, "content")
        self._styles = [
            self._to_tensor(image, f"style {i}" if len(styles) > 1 else "style")
            for i, image in enumerate(styles, start=1)
        ]
        init = self.settings.init
        self._init = init if isinstance(init, str) else self._to_tensor(init, "init")
        if self.settings.color == "match":
            self._styles = [match_color(image, self._content) for image in self._styles]
        self._space = image_space(self.settings.method.space, device, self._dtype)
        self._layers = layers_of(self.settings)
        least_side = max(layer.stride for layer in self._layers)
        height, width = self._content.shape[2:]
        self._plan: list[Scale] = plan_scales(self.settings, height, width, least_side)
        self._weights = load_weights(
            self.settings.weights,
            normalize=self.settings.weights == "original"
            and self.settings.method.normalize_original,
        )
        tiles = plan_tiles(self.settings.tile, precision, device)
        check_memory(self.settings, self._largest, tiles, precision, device)
        self._encoder: Encoder | None = None
        self._objective: Objective | None = None

        # The state of the run, all of it in `save`.
        self._step = 0
        self._scale = 0
        self._scale_step = 0
        self._rate = 1.0  # lowered by the guard
        self._painting: Painting | None = None
        self._notes: list[str] = []  # for the next update

        # Two locks, so that nobody who pauses or stops waits for a step to end.
        self._running = threading.RLock()  # held during a step, and to read its outcome
        self._control = threading.Condition()  # guards the three below
        self._paused = self._stopped = False
        self._pending: Settings | None = None

        self._budget = None if self.settings.budget is None else self._make_budget()
        if self._budget is not None:
            self._plan_steps(self._budget)
        self._stopwatch.stop()

    # ------------------------------------------------------------------- facts

    @property
    def device(self) -> str:
        """The device in use, such as ``cpu`` or ``cuda:0``."""
        return str(self._means.device)

    @property
    def precision(self) -> str:
        """The encoder's precision in use."""
        return str(self._means.precision).removeprefix("torch.")

    @property
    def scales(self) -> tuple[tuple[int, int], ...]:
        """Height and width of each scale, coarse to fine."""
        return tuple((scale.height, scale.width) for scale in self._plan)

    @property
    def steps(self) -> tuple[int, ...]:
        """Planned evaluations of each scale, coarse to fine."""
        return tuple(scale.steps for scale in self._plan)

    @property
    def total(self) -> int:
        """Planned evaluations over all scales."""
        return sum(scale.steps for scale in self._plan)

    @property
    def _largest(self) -> tuple[int, int]:
        return self.scales[-1]

    @memory_errors
    def estimate(self) -> Estimate:
        """Estimate memory and time before the run, from its settings and a few small steps.

        Takes under a second; the run's own state is not touched.
        """
        with self._running:
            costs = self._step_seconds
            seconds = sum(
                cost * (scale.steps + _STEPS_TO_PREPARE + self._steps_to_end)
                for cost, scale in zip(costs, self._plan, strict=True)
                if scale.steps
            )
            if self._budget is not None:
                seconds += self._stopwatch.elapsed
        return Estimate(self._memory_needed(self._means), seconds)

    @functools.cached_property
    def _step_seconds(self) -> list[float]:
        """What a step of each scale will take, from steps on two small images."""
        share = math.inf if self.settings.budget is None else _TRIAL_SHARE * self.settings.budget
        until = time.perf_counter() + share
        sides = [min(side, max(self._largest)) for side in _TRIAL_SIDES]
        few, small = self._trial(sides[0], until)
        many, large = few, small
        if time.perf_counter() < until:
            many, large = self._trial(sides[1], until)
        per_pixel = (large - small) / (many - few) if many > few else large / many
        fixed = max(0.0, small - per_pixel * few)
        seconds = []
        for height, width in self.scales:
            # Larger images leave the caches, and are computed again instead of kept.
            doublings = max(0.0, math.log2(max(height, width) / 512))
            seconds.append(fixed + per_pixel * height * width * (1 + 0.18 * doublings))
        return seconds

    def _memory_needed(self, means: Means) -> int:
        tiles = plan_tiles(means.tile, means.precision, means.device)
        return memory_needed(self.settings, self._largest, tiles, means.precision)

    def _trial(self, side: int, until: float) -> tuple[int, float]:
        """Pixels of a small image and the seconds of a step on it; for little time one step."""
        height, width = fit(*self._largest, side)
        height, width = (max(n, self._made_encoder().stride) for n in (height, width))
        objective = self._make_objective(height, width)
        variable = self._space.from_rgb(resize(self._content, height, width)).contiguous()
        optimizer = make_optimizer(variable, self.settings)
        times: list[float] = []
        # The first warms up; slow ones are not repeated more than once.
        while not times or (
            len(times) < 3 and sum(times[1:]) < _TRIAL_SECONDS and time.perf_counter() < until
        ):
            start = time.perf_counter()
            float(optimizer.step(objective, 0.0)[-1])
            times.append(time.perf_counter() - start)
        return height * width, min(times)

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
            if self.settings.color == "luminance":
                rgb = keep_color(rgb, resize(self._content, *rgb.shape[2:]))
            image: Image = rgb[0].permute(1, 2, 0).float().cpu().contiguous().numpy()
            return image

    def _kept(self, best: bool) -> torch.Tensor:
        assert self._painting is not None
        # The guard may keep it in half precision.
        return self._painting.guard.best.to(self._dtype) if best else self._painting.variable

    @property
    def _shows_best(self) -> bool:
        return self.settings.keep_best and (self._finished or self._stopped)

    @functools.cached_property
    def _fingerprint(self) -> str:
        # Hashes 80 MB; a run tells its provenance at its start and again at its end.
        return fingerprint(self._weights)

    def provenance(self) -> dict[str, Any]:
        """Return what is needed to make this picture again, as plain data for JSON.

        Its losses are those before the last step, or of the best image where that is the
        result; None where there are none, or none that are finite.
        """
        from napari_neural_style import __version__

        with self._running:
            losses = self._present_losses()
        return {
            "settings": self.settings.to_dict(),
            "seed": self.settings.seed,
            "losses": losses,
            "step": self._step,
            "total": self.total,
            "scales": [list(shape) for shape in self.scales],
            "steps": self._steps_made(),
            "device": self.device,
            "precision": self.precision,
            "weights": {"source": self.settings.weights, "sha256": self._fingerprint},
            "versions": {
                "napari-neural-style": __version__,
                "torch": torch.__version__,
                "numpy": np.__version__,
                "python": platform.python_version(),
            },
            "note": "This image was stylized by a neural network; it is not data.",
        }

    def _steps_made(self) -> list[int]:
        """At each scale, coarse to fine; as ``steps`` takes them."""
        later = [0] * (len(self._plan) - self._scale - 1)
        return [*self.steps[: self._scale], self._scale_step, *later]

    def _present_losses(self) -> dict[str, float] | None:
        if self._painting is None:
            return None
        losses = self._painting.guard.lowest if self._shows_best else self._painting.losses
        named = None if losses is None else named_losses(losses)
        # JSON knows neither NaN nor infinity.
        return named if named and all(map(math.isfinite, named.values())) else None

    # ---------------------------------------------------------------- control

    def update(self, **changes: Any) -> None:
        """Change settings of a run that goes on, from its next step.

        Parameters
        ----------
        **changes
            Fields of :class:`Settings`: the weights of the losses and of the styles,
            the learning rate and ``keep_best``.

        Raises
        ------
        ValueError
            For a value out of range, or a setting that a run cannot change.
        """
        for name, value in changes.items():
            if name not in LIVE:
                raise ValueError(
                    f"{name}={value!r} cannot change while a run goes on; "
                    f"these can: {', '.join(sorted(LIVE))}."
                )
        with self._control:
            changed = dataclasses.replace(self._pending or self.settings, **changes)
            _check_style_weights(changed, len(self._styles))
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
        self._notes.clear()
        losses = self._within_memory(self._advance)
        self._step += 1
        self._scale_step += 1
        assert self._painting is not None
        if self._painting.guard.alarmed(losses[-1]):
            self._return_to_best()
        self._adjust_plan()
        if self._scale_step == self._plan[self._scale].steps:
            self._settle()
        if self._finished:
            self._tell_enlarging()
        return Update(self, losses, self._step, self._scale, " ".join(self._notes) or None)

    @property
    def _finished(self) -> bool:
        return self._upcoming == len(self._plan)

    @property
    def _upcoming(self) -> int:
        """Scale of the next step; beyond the last scale if there is none."""
        if self._scale_step < self._plan[self._scale].steps:
            return self._scale
        later = range(self._scale + 1, len(self._plan))
        return next((i for i in later if self._plan[i].steps), len(self._plan))

    def _advance(self) -> torch.Tensor:
        if self._painting is None or self._upcoming != self._scale:
            self._start_scale(self._upcoming)
        assert self._painting is not None
        factor = learning_rate_factor(
            self.settings.schedule, self._scale_step, self._step / self.total
        )
        rate = self.settings.learning_rate * factor * self._rate
        return self._painting.step(self._evaluate, rate)

    def _evaluate(self, variable: torch.Tensor) -> Evaluation:
        assert self._painting is not None
        if self._objective is None:
            self._objective = self._make_objective(*self.scales[self._scale])
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
        if self._steps_to_end:
            # Without a line search a step may lead anywhere, and where the last one led
            # only another evaluation tells.
            total = self._within_memory(self._evaluate_present).losses[-1]
        if not self._painting.guard.ends_high(float(total)):
            return
        self._painting.return_to_best()
        height, width = self.scales[self._scale]
        self._notes.append(
            f"The loss was high at the end of the scale of {width} x {height} pixels: its best "
            "image was taken instead. A smaller learning_rate may do better."
        )

    def _tell_enlarging(self) -> None:
        (height, width), (asked_height, asked_width) = self.scales[self._scale], self._largest
        if self._scale == len(self._plan) - 1:
            return
        why = "" if self._budget is None else f": {self.settings.budget:g} s allow no more"
        self._notes.append(
            f"Painted at {width} x {height} pixels and enlarged to {asked_width} x "
            f"{asked_height}{why}."
        )

    # ------------------------------------------------------------------- steps

    def _make_budget(self) -> Budget:
        assert self.settings.budget is not None
        return Budget(
            self.settings.budget,
            self._step_seconds,
            step_shares(self.settings, len(self._plan)),
            before=_STEPS_TO_PREPARE,
            after=self._steps_to_end,
        )

    @property
    def _steps_to_end(self) -> int:
        """Evaluations that `_settle` adds to a scale."""
        return 1 if self.settings.optimizer == "lbfgs" else 0

    def _plan_steps(self, budget: Budget, converged: bool = False) -> None:
        """Plan the steps of this scale and of those to come, by the time that is left."""
        elapsed = self._stopwatch.elapsed
        steps = budget.plan(self._scale, self._scale_step, elapsed, converged)
        for scale, count in enumerate(steps, start=self._scale):
            self._plan[scale] = self._plan[scale]._replace(steps=count)

    def _adjust_plan(self) -> None:
        """Plan anew by what the last step has shown."""
        assert self._painting is not None
        assert self._painting.losses is not None
        scale, step = self._plan[self._scale], self._scale_step
        converged = step < scale.steps and self._painting.converged(
            self.settings.tolerance, self.settings.patience
        )
        if converged:
            self._plan[self._scale] = scale._replace(steps=step)
            self._notes.append(
                f"Converged at {scale.width} x {scale.height} pixels after {step} steps."
            )
        if self._budget is None:
            return
        # On a GPU, looking at the time waits for the device: often only at first.
        seldom = look_every(self._means.device)
        if converged or step in (scale.steps, 1, 2, 4, 8) or step % seldom == 0:
            float(self._painting.losses[-1])
            self._plan_steps(self._budget, converged)

    # ------------------------------------------------------------------ memory

    def _within_memory(self, work: Callable[[], T]) -> T:
        """Do some work; where there is no memory for it, with lesser means."""
        before = self._means
        while True:
            try:
                done = work()
                break
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
            # Not earlier: the error holds on to what did not fit.
            self._fall_back()
        if self._means != before:
            self._notes.append(
                f"The memory of {before.device} ran out: the run goes on "
                f"{self._means.named_after(before)}."
            )
        return done

    def _fall_back(self) -> None:
        """Go on with lesser means from the present state."""
        before = self._means
        lesser = fall_back(before, self.settings, self._memory_needed)
        self._objective = self._encoder = None
        if lesser is None:
            height, width = self.scales[min(self._upcoming, len(self._plan) - 1)]
            raise MemoryError(
                f"The memory of {self.device} ran out at {width} x {height} pixels, in small tiles "
                "too: close other programs, or choose a smaller size."
            )
        self._means = lesser
        if self._budget is not None:
            self._budget.forget()
        if lesser.device != before.device:
            self._move()
        before.free_cache()

    def _move(self) -> None:
        """Take images and state to the device in use."""
        device = self._means.device
        self._content = self._content.to(device)
        self._styles = [style.to(device) for style in self._styles]
        if isinstance(self._init, torch.Tensor):
            self._init = self._init.to(device)
        self._space = image_space(self.settings.method.space, device, self._dtype)
        if self._painting is not None:
            self._painting = Painting.load(self._painting.state(), self.settings, device)

    # ------------------------------------------------------------------ scales

    def _start_scale(self, scale: int) -> None:
        """Go on at a scale, from what was painted before; if that fails, nothing changes."""
        shape = self.scales[scale]
        rgb = self._initial_rgb(*shape) if self._painting is None else self._carried_rgb(*shape)
        self._objective = None  # free its targets before the next are made
        objective = self._make_objective(*shape)
        painting = Painting(self._space.from_rgb(rgb).contiguous().clone(), self.settings)
        self._objective, self._painting = objective, painting
        self._scale, self._scale_step = scale, 0

    def _initial_rgb(self, height: int, width: int) -> torch.Tensor:
        if isinstance(self._init, torch.Tensor):
            return resize(self._init, height, width)
        if self._init == "noise":  # as the PyTorch tutorial draws it
            generator = torch.Generator().manual_seed(self.settings.seed)
            noise = torch.randn(1, 3, height, width, generator=generator, dtype=torch.float64)
            return noise.to(self._dtype).to(self._means.device)
        return resize(self._content if self._init == "content" else self._styles[0], height, width)

    def _carried_rgb(self, height: int, width: int) -> torch.Tensor:
        """The result of the scale before, at the size of the next."""
        rgb = self._space.to_rgb(self._kept(self.settings.keep_best))
        if self.settings.method.eight_bit_between_scales:
            rgb = (rgb.clamp(0, 1) * 255).floor() / 255
        larger = resize(rgb, height, width)
        if self.settings.detail:
            content, coarse = self._content, resize(self._content, *rgb.shape[2:])
            detail = resize(content, height, width) - resize(coarse, height, width)
            larger = larger + self.settings.detail * detail
        return larger

    def _make_objective(self, height: int, width: int) -> Objective:
        return Objective(
            self._made_encoder(),
            self._space,
            self.settings,
            self._space.from_rgb(resize(self._content, height, width)),
            [self._style_targets(style, height, width) for style in self._styles],
        )

    def _made_encoder(self) -> Encoder:
        if self._encoder is None:
            self._encoder = Encoder(
                self._weights,
                self._layers,
                self.settings.pooling,
                self._means.device,
                self._means.precision,
                plan_tiles(self._means.tile, self._means.precision, self._means.device),
            )
        return self._encoder

    def _style_targets(self, style: torch.Tensor, height: int, width: int) -> StyleTargets:
        encoder = self._made_encoder()
        if self.settings.method.style_fit == "content":
            shape = height, width
        else:
            side = round(max(height, width) * self.settings.style_scale)
            # Enlarging adds no detail to a style: at most its own size.
            own_height, own_width = style.shape[2:]
            shape = fit(own_height, own_width, min(side, max(own_height, own_width)))
        least = encoder.stride
        shape = max(shape[0], least), max(shape[1], least)
        style = self._space.from_rgb(resize(style, *shape))
        return style_targets(encoder, self._space, self.settings, style)

    def _take_over_pending(self) -> None:
        """Put pending settings in force."""
        with self._control:
            if self._pending is None:
                return
            before, self.settings, self._pending = self.settings, self._pending, None
        if self._painting is None:
            return
        if all(getattr(self.settings, name) == getattr(before, name) for name in _WEIGHTS):
            return
        if self._objective is not None:
            self._objective.settings = self.settings
        self._painting.weigh_anew()
        if self.settings.optimizer != "adam":  # its history is of another function
            self._painting.restart_optimizer()

    def _release(self) -> None:
        """Let go of everything but the result and, of a stopped run, what can resume it."""
        self._objective = self._encoder = None
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
                "tile": self._means.tile,
                "content": self._content,
                "styles": self._styles,
                "steps": self.steps,  # planned; a scale that converged has had its own
                "step": self._step,
                "scale": self._scale,
                "scale_step": self._scale_step,
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
            # Styles were saved recoloured: they must not be a second time.
            as_saved = dataclasses.replace(
                settings, color="style", precision=state["precision"], tile=state["tile"]
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
        steps = state["steps"]
        self._plan = [s._replace(steps=int(steps[i])) for i, s in enumerate(self._plan)]
        self._step, self._scale = int(state["step"]), int(state["scale"])
        self._scale_step = int(state["scale_step"])
        self._rate = float(state["rate"])
        self._stopwatch.elapsed = float(state["elapsed"])
        if "painting" not in state:
            return
        shape = self.scales[self._scale]
        if tuple(state["painting"]["variable"].shape[2:]) != shape:
            raise LookupError("its image does not have the size of its scale")
        self._painting = Painting.load(state["painting"], self.settings, self._means.device)
        if not self._finished:
            self._objective = self._make_objective(*shape)

    # ----------------------------------------------------------------- helpers

    def _to_tensor(self, array: npt.ArrayLike, name: str) -> torch.Tensor:
        """(1, 3, H, W) RGB in [0, 1] on the device."""
        dtype = np.float64 if self._dtype == torch.float64 else np.float32
        rgb = torch.from_numpy(to_rgb(array, name, dtype=dtype))
        return rgb.permute(2, 0, 1)[None].contiguous().to(self._means.device)


def _check_style_weights(settings: Settings, count: int) -> None:
    weights = settings.style_weights
    if weights and len(weights) != count:
        raise ValueError(
            f"style_weights={weights} has {len(weights)} weights for {count} style images: "
            "give one weight per image."
        )


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
