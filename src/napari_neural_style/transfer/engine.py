"""StyleTransfer: a run as an iterator of updates."""

import dataclasses
import functools
import math
import os
import platform
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import torch

from napari_neural_style.images import to_rgb
from napari_neural_style.settings import Settings, make_settings
from napari_neural_style.transfer import devices
from napari_neural_style.transfer.checkpoint import read_checkpoint, write_checkpoint
from napari_neural_style.transfer.color import keep_color, match_color
from napari_neural_style.transfer.encoder import Encoder
from napari_neural_style.transfer.guard import Guard
from napari_neural_style.transfer.memory import check_memory, memory_needed, plan_strips
from napari_neural_style.transfer.objective import (
    Evaluation,
    Objective,
    StyleTargets,
    layers_of,
    style_targets,
)
from napari_neural_style.transfer.optimizers import (
    Optimizer,
    learning_rate_factor,
    make_optimizer,
)
from napari_neural_style.transfer.scales import Scale, fit, plan_scales, resize
from napari_neural_style.transfer.spaces import image_space
from napari_neural_style.transfer.weights import fingerprint, load_weights

Image = npt.NDArray[np.float32]

# Settings that weigh the losses.
_WEIGHTS: Final = frozenset({"content_weight", "style_weight", "tv_weight", "style_weights"})
#: Settings that may change while a run goes on.
LIVE: Final = _WEIGHTS | {"learning_rate", "keep_best"}

# Longest sides of the two images that `estimate` times a step on.
_TRIAL_SIDES: Final = (96, 192)
# The targets of a scale take about so many steps.
_STEPS_TO_PREPARE: Final = 1.5


class Estimate(NamedTuple):
    """What a run will take."""

    memory: int
    """Peak memory of the run, in bytes, beside what the program holds already."""
    seconds: float
    """Time of the whole run."""


class Update:
    """What one evaluation of loss and gradient brought.

    Attributes
    ----------
    step : int
        Number of the evaluation, from 1, over all scales.
    total : int
        Planned evaluations of all scales.
    scale : int
        Index of the scale, from 0, coarse to fine.
    note : str or None
        Something that the user should read, such as a return to an earlier image.
    """

    def __init__(
        self,
        transfer: "StyleTransfer",
        losses: torch.Tensor,
        step: int,
        scale: int,
        note: str | None,
    ) -> None:
        self._transfer = transfer
        self._losses = losses
        self.step = step
        self.total = transfer.total
        self.scale = scale
        self.size = transfer.scales[scale]
        self.note = note

    @property
    def losses(self) -> dict[str, float]:
        """Weighted losses ``content``, ``style``, ``tv`` and ``total``; waits for the device."""
        return _named(self._losses)

    @property
    def image(self) -> Image:
        """The image painted so far, (H, W, 3) in [0, 1], as it is when asked for."""
        image = self._transfer.result
        assert image is not None
        return image

    def __repr__(self) -> str:
        return f"Update(step={self.step}/{self.total}, scale={self.scale}, size={self.size})"


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
        self.settings = settings or make_settings(preset, **overrides)
        styles: list[Any] = list(style) if isinstance(style, list | tuple) else [style]
        if not styles:
            raise ValueError("style is empty: give one style image or more.")
        if self.settings.style_weights and len(self.settings.style_weights) != len(styles):
            raise ValueError(
                f"style_weights={self.settings.style_weights} has "
                f"{len(self.settings.style_weights)} weights for {len(styles)} style images: "
                "give one weight per image."
            )
        device = devices.choose_device(self.settings.device)
        self._encoder_dtype = devices.choose_precision(self.settings.precision, device)
        self._dtype = torch.float64 if self._encoder_dtype == torch.float64 else torch.float32
        self._torch_device = device
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
        self._strips = plan_strips(self.settings.tile, self._encoder_dtype, device)
        check_memory(self._layers, self._largest, self._strips, self._encoder_dtype, device)
        self._encoder: Encoder | None = None
        self._generator = torch.Generator().manual_seed(self.settings.seed)

        # The state of the run, all of it in `save`.
        self._step = 0
        self._scale = 0
        self._scale_step = 0
        self._rate = 1.0  # lowered by the guard
        self._losses: torch.Tensor | None = None
        self._variable: torch.Tensor | None = None
        self._objective: Objective | None = None
        self._optimizer: Optimizer | None = None
        self._guard: Guard | None = None
        self._finished = False

        # Two locks, so that nobody who pauses or stops waits for a step to end.
        self._running = threading.RLock()  # held during a step, and to read its outcome
        self._control = threading.Condition()  # guards the three below
        self._paused = self._stopped = False
        self._pending: Settings | None = None

    # ------------------------------------------------------------------- facts

    @property
    def device(self) -> str:
        """The device in use, such as ``cpu`` or ``cuda:0``."""
        return str(self._torch_device)

    @property
    def precision(self) -> str:
        """The encoder's precision in use."""
        return str(self._encoder_dtype).removeprefix("torch.")

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

    def estimate(self) -> Estimate:
        """Estimate memory and time before the run, from its settings and a few small steps.

        Takes under a second; the run's own state is not touched.
        """
        memory = memory_needed(self._layers, self._largest, self._strips, self._encoder_dtype)
        sides = [min(side, max(self._largest)) for side in _TRIAL_SIDES]
        (few, small), (many, large) = (self._trial(side) for side in sides)
        per_pixel = (large - small) / (many - few) if many > few else large / many
        fixed = max(0.0, small - per_pixel * few)
        seconds = 0.0
        for scale in self._plan:
            # Larger images leave the caches, and are computed again instead of kept.
            doublings = max(0.0, math.log2(max(scale.height, scale.width) / 512))
            step = fixed + per_pixel * scale.height * scale.width * (1 + 0.18 * doublings)
            seconds += step * (scale.steps + _STEPS_TO_PREPARE)
        return Estimate(memory, seconds)

    def _trial(self, side: int) -> tuple[int, float]:
        """Pixels of a small image and the seconds of a step on it."""
        height, width = fit(*self._largest, side)
        height, width = (max(n, self._made_encoder().stride) for n in (height, width))
        objective = self._make_objective(height, width)
        variable = self._space.from_rgb(resize(self._content, height, width)).contiguous()
        optimizer = make_optimizer(variable, self.settings)
        times = []
        for _ in range(3):
            start = time.perf_counter()
            float(optimizer.step(objective, 0.0)[-1])
            times.append(time.perf_counter() - start)
        return height * width, min(times)

    @property
    def result(self) -> Image | None:
        """The image painted so far, (H, W, 3) float32 in [0, 1]; None before the first step."""
        with self._running:
            if self._variable is None or self._guard is None:
                return None
            best = self.settings.keep_best and (self._finished or self._stopped)
            variable = self._guard.best if best else self._variable
            rgb = self._space.to_rgb(variable).clamp(0, 1)
            if self.settings.color == "luminance":
                rgb = keep_color(rgb, resize(self._content, *rgb.shape[2:]))
            image: Image = rgb[0].permute(1, 2, 0).float().cpu().contiguous().numpy()
            return image

    @functools.cached_property
    def _fingerprint(self) -> str:
        # Hashes 80 MB; a run tells its provenance at its start and again at its end.
        return fingerprint(self._weights)

    def provenance(self) -> dict[str, Any]:
        """Return what is needed to make this picture again, as plain data for JSON."""
        from napari_neural_style import __version__

        return {
            "settings": self.settings.to_dict(),
            "seed": self.settings.seed,
            "losses": None if self._losses is None else _named(self._losses),
            "step": self._step,
            "total": self.total,
            "scales": [list(shape) for shape in self.scales],
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
            if changed.style_weights and len(changed.style_weights) != len(self._styles):
                raise ValueError(
                    f"style_weights={changed.style_weights}: it must be one weight for each of "
                    f"the {len(self._styles)} style images."
                )
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
            self._control.wait_for(lambda: self._stopped or not self._paused)
        with self._running:
            if self._stopped or self._finished:
                self._release()
                raise StopIteration
            self._take_over_pending()
            try:
                return self._evaluate_once()
            except RuntimeError as error:
                if not _is_out_of_memory(error):
                    raise
                raise MemoryError(
                    f"The memory of {self.device} ran out at {self._plan[self._scale].width} x "
                    f"{self._plan[self._scale].height} pixels: close other programs, choose a "
                    "smaller size, or tile=256."
                ) from error

    def run(self) -> Image:
        """Run to the end and return the result."""
        for _ in self:
            pass
        image = self.result
        if image is None:
            raise RuntimeError("The run was stopped before its first step.")
        return image

    def _evaluate_once(self) -> Update:
        if self._variable is None:
            self._start_scale(self._initial_rgb())
        elif self._scale_step == self._plan[self._scale].steps:
            self._scale += 1
            self._scale_step = 0
            self._start_scale(self._carried_rgb())
        assert self._optimizer is not None
        assert self._guard is not None
        factor = learning_rate_factor(
            self.settings.schedule, self._scale_step, self._step / self.total
        )
        rate = self.settings.learning_rate * factor * self._rate
        losses = self._losses = self._optimizer.step(self._evaluate, rate)
        self._step += 1
        self._scale_step += 1
        note = self._return_to_best() if self._guard.alarmed(losses[-1]) else None
        if self._scale_step == self._plan[self._scale].steps:
            note = self._settle() or note
            self._finished = self._step == self.total
        return Update(self, losses, self._step, self._scale, note)

    def _evaluate(self, variable: torch.Tensor) -> Evaluation:
        assert self._objective is not None
        assert self._guard is not None
        if self.settings.method.clamp:
            variable.clamp_(0, 1)
        evaluation = self._objective(variable)
        self._guard.keep(variable, evaluation.losses[-1])
        return evaluation

    def _return_to_best(self) -> str:
        assert self._variable is not None
        assert self._guard is not None
        self._variable.copy_(self._guard.best)
        self._rate /= 2
        self._optimizer = make_optimizer(self._variable, self.settings)
        self._guard.calm()
        return (
            f"The loss exploded at step {self._step}: the run went back to the best image so far "
            f"and goes on with {self._rate:g} times the step size."
        )

    def _settle(self) -> str | None:
        """End a scale with its best image if its last one is no fit end."""
        assert self._variable is not None
        assert self._guard is not None
        assert self._losses is not None
        total = self._losses[-1]
        if self.settings.optimizer == "lbfgs":
            # Without a line search a step may lead anywhere, and where the last one led
            # only another evaluation tells.
            total = self._evaluate(self._variable).losses[-1]
        if not self._guard.ends_high(float(total)):
            return None
        self._variable.copy_(self._guard.best)
        height, width = self.scales[self._scale]
        return (
            f"The loss was high at the end of the scale of {width} x {height} pixels: its best "
            "image was taken instead. A smaller learning_rate may do better."
        )

    # ------------------------------------------------------------------ scales

    def _initial_rgb(self) -> torch.Tensor:
        shape = self.scales[0]
        if isinstance(self._init, torch.Tensor):
            return resize(self._init, *shape)
        if self._init == "noise":  # as the PyTorch tutorial draws it
            noise = torch.randn(1, 3, *shape, generator=self._generator, dtype=torch.float64)
            return noise.to(self._dtype).to(self._torch_device)
        return resize(self._content if self._init == "content" else self._styles[0], *shape)

    def _carried_rgb(self) -> torch.Tensor:
        """The result of the scale before, at the size of this one."""
        assert self._variable is not None
        assert self._guard is not None
        kept = self._guard.best if self.settings.keep_best else self._variable
        rgb = self._space.to_rgb(kept)
        if self.settings.method.eight_bit_between_scales:
            rgb = (rgb.clamp(0, 1) * 255).floor() / 255
        return resize(rgb, *self.scales[self._scale])

    def _start_scale(self, rgb: torch.Tensor) -> None:
        self._objective = None  # free its targets before the next are made
        self._objective = self._make_objective(*self.scales[self._scale])
        self._variable = self._space.from_rgb(rgb).contiguous().clone()
        self._optimizer = make_optimizer(self._variable, self.settings)
        self._guard = Guard(self._variable)

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
                self._torch_device,
                self._encoder_dtype,
                self._strips,
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
        if self._objective is None or self._guard is None or self._variable is None:
            return
        if all(getattr(self.settings, name) == getattr(before, name) for name in _WEIGHTS):
            return
        self._objective.settings = self.settings
        self._guard.forget()
        if self.settings.optimizer == "lbfgs":  # its history is of another function
            self._optimizer = make_optimizer(self._variable, self.settings)

    def _release(self) -> None:
        """Let go of everything but the result and, of a stopped run, what can resume it."""
        self._objective = self._encoder = None
        if self._finished:
            self._optimizer = None

    # -------------------------------------------------------------- checkpoints

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
                "content": self._content,
                "styles": self._styles,
                "step": self._step,
                "scale": self._scale,
                "scale_step": self._scale_step,
                "rate": self._rate,
                "finished": self._finished,
            }
            if self._variable is not None and self._guard is not None:
                state["variable"] = self._variable
                state["losses"] = self._losses
                state["guard"] = self._guard.state()
            if self._optimizer is not None:
                state["optimizer"] = self._optimizer.state()
            write_checkpoint(path, state)

    @classmethod
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
            as_saved = dataclasses.replace(settings, color="style", precision=state["precision"])
            transfer = cls(images[0], images[1:], settings=as_saved)
            transfer.settings = settings
            transfer._restore(state)
        except (LookupError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{os.fspath(path)!r} is not a whole checkpoint ({error!r}): start the run anew."
            ) from error
        return transfer

    def _restore(self, state: dict[str, Any]) -> None:
        self._step, self._scale = int(state["step"]), int(state["scale"])
        self._scale_step = int(state["scale_step"])
        self._rate = float(state["rate"])
        self._finished = bool(state["finished"])
        if "variable" not in state:
            return
        variable = state["variable"].to(self._torch_device)
        if tuple(variable.shape[2:]) != self.scales[self._scale]:
            raise LookupError("its image does not have the size of its scale")
        self._start_scale(self._space.to_rgb(variable))
        assert self._variable is not None
        assert self._guard is not None
        self._variable.copy_(variable)  # not by way of RGB: to the last bit
        self._losses = state["losses"].to(self._torch_device)
        self._guard.load(state["guard"])
        if self._optimizer is not None and "optimizer" in state:
            self._optimizer.load(state["optimizer"])

    # ----------------------------------------------------------------- helpers

    def _to_tensor(self, array: npt.ArrayLike, name: str) -> torch.Tensor:
        """(1, 3, H, W) RGB in [0, 1] on the device."""
        dtype = np.float64 if self._dtype == torch.float64 else np.float32
        rgb = torch.from_numpy(to_rgb(array, name, dtype=dtype))
        return rgb.permute(2, 0, 1)[None].contiguous().to(self._torch_device)


def _is_out_of_memory(error: RuntimeError) -> bool:
    """Whether torch ran out of memory; on a CPU it has no exception of its own for that."""
    return isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error)


def _named(losses: torch.Tensor) -> dict[str, float]:
    return dict(zip(("content", "style", "tv", "total"), losses.tolist(), strict=True))


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
