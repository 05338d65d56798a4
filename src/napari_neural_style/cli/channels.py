"""The channels of a stack file, or of an image file, blended."""

from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_neural_style.images import Calibration, read_image
from napari_neural_style.images.blending import BlendedStack, Channel
from napari_neural_style.images.rendering import ColorTable, Rendering
from napari_neural_style.images.stack_files import LazyArray, StackFile, open_stack

# Those that napari gives channels without colours of their own.
_TWO = ("#ff00ff", "#00ff00")
_MORE = ("#00ffff", "#ff00ff", "#ffff00", "#0000ff", "#00ff00", "#ff0000")

Limits = list[tuple[float, float]]


@dataclass(frozen=True)
class _Part:
    """One channel of an array."""

    data: LazyArray
    axis: int
    channel: int

    @property
    def shape(self) -> tuple[int, ...]:
        return (*self.data.shape[: self.axis], *self.data.shape[self.axis + 1 :])

    def __getitem__(self, key: Any) -> Any:
        return self.data[(*key[: self.axis], self.channel, *key[self.axis :])]


def read_pixels(path: str | Path) -> NDArray[Any]:
    """Read an image file; several channels as colours, see :func:`blended`.

    Raises
    ------
    ValueError, OSError
        As :func:`~napari_neural_style.images.read_image`; or if there is nothing in the channels.
    """
    try:
        return read_image(path)
    except ValueError:
        stack = None
        with suppress(ValueError, OSError):
            stack = open_stack(path)
        if stack is None or stack.calibration.axes != "CYX":
            raise
        return np.asarray(blended(path, stack).data[...])


def find_channel_limits(stack: StackFile) -> Limits:
    """Return contrast limits of each channel, common to all its planes.

    Raises
    ------
    ValueError
        As :func:`~napari_neural_style.stacks.limits.find_limits`.
    """
    from napari_neural_style.stacks.axes import Axes
    from napari_neural_style.stacks.limits import find_limits

    axes = Axes.of(stack.calibration.axes, stack.data)
    found = find_limits(stack.data, axes)
    place = axes.along.replace("T", "").replace("Z", "").index("C")
    limits = []
    for channel in range(axes.length("C")):
        own = [pair for series, pair in found.items() if series[place] == channel]
        low, high = (pick(pair[end] for pair in own) for end, pick in ((0, min), (1, max)))
        # One that is empty stays black.
        limits.append((low, high if low < high else low + 1))
    return limits


def blended(path: str | Path, stack: StackFile, limits: Limits | None = None) -> StackFile:
    """Return a stack whose channels are added up in their colours, as napari shows them.

    Parameters
    ----------
    path
        Of the stack, for messages.
    stack
        With an axis ``C``.
    limits
        Contrast limits of each channel; found if they are not known.

    Raises
    ------
    ValueError
        If it has no channels, or colours already; as :func:`find_channel_limits`.
    """
    own = stack.calibration
    if "C" not in own.axes or own.axes.endswith("S"):
        raise ValueError(
            f"--channels together is for stacks with an axis C and no colours, and {path} has the "
            f"axes {own.axes}."
        )
    axis = own.axes.index("C")
    count = stack.data.shape[axis]
    if limits is None or len(limits) != count:
        limits = find_channel_limits(stack)
    colors = _colors(own, count)
    tables = [ColorTable.to(np.divide([*bytes.fromhex(color[1:])], 255)) for color in colors]
    channels = [
        Channel(_Part(stack.data, axis, i), Rendering(f"channel {i}", pair, table=table))
        for i, (pair, table) in enumerate(zip(limits, tables, strict=True))
    ]
    calibration = Calibration.of(own.axes.replace("C", "") + "S", own.sizes)
    return replace(stack, data=BlendedStack(channels), calibration=calibration)


def _colors(calibration: Calibration, count: int) -> tuple[str, ...]:
    if len(calibration.colors) == count:
        return calibration.colors
    if count < 3:
        return ("#ffffff",) if count == 1 else _TWO
    return tuple(_MORE[i % len(_MORE)] for i in range(count))
