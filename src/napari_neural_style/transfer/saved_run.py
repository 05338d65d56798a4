"""What a run was made of and with, as a checkpoint has it: read like user input."""

import dataclasses
import os
from typing import TYPE_CHECKING, Any, Final

import torch

from napari_neural_style.settings import Settings, make_settings
from napari_neural_style.transfer import devices
from napari_neural_style.transfer.fallback import Means
from napari_neural_style.transfer.provenance import differences, environment, threads_of
from napari_neural_style.transfer.state import State, number, part, plain
from napari_neural_style.transfer.weight_files import SOURCES
from napari_neural_style.validation import VALIDATORS, choice, one_line

if TYPE_CHECKING:
    from napari_neural_style.transfer.run import Run

DAMAGE: Final = (ValueError, LookupError, TypeError, AttributeError, OverflowError)
"""What reading a state raises that is damaged, or a stranger's."""

_LONGEST_SIDE: Final = 1 << 20

Names = dict[str, str | list[str]]
"""Of the files or layers of a run's images; lists of those of its styles."""

_NAMED: Final = "content", "mask", "init"
_NAMED_BY_STYLE: Final = "styles", "style_masks"


def described(run: "Run") -> dict[str, Any]:
    """Tell what a run is made of and with; beside it, its state is all that it needs."""
    means = run.studio.means
    return {
        "settings": {f.name: getattr(run.settings, f.name) for f in dataclasses.fields(Settings)},
        "content": run.pictures.content,
        "styles": run.pictures.styles,
        "weights": run.studio.fingerprint,
        # In use: `auto` may decide otherwise another time.
        "device": str(means.device),
        "precision": str(means.precision).removeprefix("torch."),
        "tile": means.tile,
        "machine": environment(str(means.device)),
    }


class SavedRun:
    """The same from a checkpoint, fit for this machine.

    Parameters
    ----------
    state
        Of the checkpoint.
    weights
        A file of weights, if it has its own.

    Raises
    ------
    ValueError, LookupError, TypeError, AttributeError, OverflowError
        If it cannot be used.
    """

    def __init__(self, state: State, weights: str | os.PathLike[str] | None) -> None:
        self.settings = _settings(state, weights)
        self._fingerprint = state["weights"]
        self.elapsed = number("elapsed", state["elapsed"], 0, float("inf"))
        """Seconds that it has taken."""
        self.names = _names(part(state, "names"))
        self.notes: list[str] = []
        """What the user should know about the machine."""
        self.means = self._means(state)
        """What it goes on with."""
        dtype = torch.float64 if self.means.precision == torch.float64 else torch.float32
        self.content = _image("content", state["content"], dtype)
        styles = state["styles"]
        if not isinstance(styles, list) or not styles:
            raise ValueError("it has no styles")
        self.styles = [_image("style", style, dtype) for style in styles]

    def check_weights(self, fingerprint: str) -> None:
        """Raise a ValueError if the weights are others than those it was painted with."""
        if fingerprint != self._fingerprint:
            raise ValueError(
                f"it was painted with other weights than {self.settings.weights!r} are now"
            )

    def _means(self, state: State) -> Means:
        """Device, precision and tiles as they were, as far as they are there."""
        names = [device.name for device in devices.available_devices()]
        before, settings = VALIDATORS["device"]("device", state["device"]), self.settings
        precision = choice("precision", state["precision"], devices.PRECISIONS)
        tile = VALIDATORS["tile"]("tile", state["tile"])
        if before in names:
            device = torch.device(before)
            self._compare(plain(state, "machine"), device)
            return Means(device, devices.PRECISIONS[precision], tile)
        device = torch.device(names[0])
        self.notes.append(
            f"The run was saved on {before}, which is not there: it goes on on {device}, and the "
            "picture will be a little different."
        )
        wanted = settings.precision if device.type != torch.device(before).type else precision
        return Means(device, devices.choose_precision(wanted, device), settings.tile)

    def _compare(self, before: Any, device: torch.device) -> None:
        """Have as many threads as before, and tell what cannot be as before."""
        if (threads := threads_of(before)) is not None:
            torch.set_num_threads(threads)
        others = [
            f"{name} {str(then)[:80]}, now {now}"
            for name, (then, now) in differences(before, str(device)).items()
        ]
        if others:
            self.notes.append(
                f"The run was saved on another machine ({'; '.join(others)}): the picture may be "
                "a little different."
            )


def _settings(state: State, weights: str | os.PathLike[str] | None) -> Settings:
    given = dict(part(state, "settings"))
    missing = {f.name for f in dataclasses.fields(Settings)} - given.keys()
    if missing:
        raise KeyError(*sorted(missing)[:1])
    if given["weights"] not in SOURCES:
        if weights is None:
            raise ValueError(
                "it has weights of its own, and no checkpoint may choose the files that are "
                "read: give them, too"
            )
        given["weights"] = os.fspath(weights)
    return make_settings(**given)


def _names(given: State) -> Names:
    single = {name: one_line(given[name]) for name in _NAMED if name in given}
    several = {name: given[name] for name in _NAMED_BY_STYLE if name in given}
    if not all(isinstance(names, list) for names in several.values()):
        raise ValueError("its names are no lists")
    return {**single, **{name: [*map(one_line, names)] for name, names in several.items()}}


def _image(name: str, value: Any, dtype: torch.dtype) -> torch.Tensor:
    """Return (1, 3, H, W) RGB in [0, 1]."""
    fits = (
        isinstance(value, torch.Tensor)
        and value.dtype == dtype
        and value.ndim == 4
        and value.shape[:2] == (1, 3)
        and value.numel() > 0
        and max(value.shape) <= _LONGEST_SIDE
    )
    if not fits or not bool(((value >= 0) & (value <= 1)).all()):
        raise ValueError(f"its {name} is no image of colours in [0, 1]")
    image: torch.Tensor = value
    return image
