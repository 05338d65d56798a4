"""Pictures laid over each other as napari blends its layers, and stacks of such blends."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_neural_style.images.lazy import as_slices, read_part
from napari_neural_style.images.rendering import Rendering
from napari_neural_style.images.views import rendering_hash

Color = tuple[float, float, float]


class Picture(NamedTuple):
    """What is laid over others."""

    colors: NDArray[np.float32]
    """Straight, ``(…, 3)`` in [0, 1]."""
    alpha: Any
    """How opaque it is: a number in [0, 1], or ``(…)``."""
    blending: str
    """As napari calls it."""
    covered: NDArray[np.bool_] | None = None
    """``(…)``, where it lies; None for everywhere."""


def blend(
    pictures: Iterable[Picture],
    background: Sequence[float] = (0.0, 0.0, 0.0),
) -> NDArray[np.float32]:
    """Lay pictures over each other.

    Parameters
    ----------
    pictures
        The lowest first.
    background
        The colour of the canvas, RGB in [0, 1]; it is seen only where the lowest picture is
        transparent.

    Returns
    -------
    numpy.ndarray
        ``(…, 3)`` float32 in [0, 1].

    Raises
    ------
    ValueError
        For a blending that is unknown.
    """
    canvas = _Canvas(background)
    for number, picture in enumerate(pictures):
        blending = _lowest(picture.blending) if number == 0 else picture.blending
        canvas.draw(picture.colors, picture.alpha, blending, picture.covered)
    return canvas.rgb


def _lowest(blending: str) -> str:
    """Return how napari blends the lowest visible layer with the empty canvas."""
    return {"minimum": "replace", "additive": "over black"}.get(blending, "translucent")


class _Canvas:
    """The frame buffer of OpenGL: what is drawn is blended with what is there, and clamped.

    Its alpha counts, for additive layers are added to what is there times its alpha.
    """

    def __init__(self, background: Sequence[float]) -> None:
        self.rgb = np.array(background[:3], np.float32)
        self._alpha: Any = np.float32(1)

    def draw(
        self,
        colors: NDArray[np.float32],
        alpha: Any,
        blending: str,
        covered: NDArray[np.bool_] | None,
    ) -> None:
        alpha = np.asarray(alpha, np.float32)[..., np.newaxis]
        there, alpha_there = self.rgb, self._alpha
        match blending:
            case "opaque" | "replace":
                self.rgb = colors
            case "over black":
                self.rgb = colors * alpha
            case "translucent" | "translucent_no_depth":
                self.rgb = colors * alpha + there * (1 - alpha)
            case "additive":
                self.rgb = np.minimum(colors * alpha + there * self._alpha, 1)
            case "minimum":
                self.rgb = np.minimum(colors, there)
            case "multiplicative":
                self.rgb = colors * there
            case _:
                raise ValueError(f"The blending {blending} is unknown.")
        match blending:
            case "opaque":
                self._alpha = alpha
            case "minimum":
                self._alpha = np.minimum(alpha, self._alpha)
            case _:
                self._alpha = np.minimum(alpha + self._alpha, 1)
        if covered is not None:
            inside = covered[..., np.newaxis]
            self.rgb = np.where(inside, self.rgb, there)
            self._alpha = np.where(inside, self._alpha, alpha_there)


@dataclass(frozen=True)
class Channel:
    """One channel of a stack, and how it is laid over those below.

    Attributes
    ----------
    data
        Its values: numpy, dask, zarr, or anything else with ``shape`` and indices. Without the
        first axes of the stack, it is the same along these.
    rendering
        Turns values into colours.
    blending
        As napari calls it.
    opacity
        In [0, 1].
    in_color
        Whether the last axis of the data are the samples of RGB or RGBA.
    """

    data: Any
    rendering: Rendering
    blending: str = "additive"
    opacity: float = 1.0
    in_color: bool = False

    @property
    def looks(self) -> dict[str, Any]:
        """How it is shown, as plain data for JSON."""
        return {
            "contrast_limits": list(self.rendering.contrast_limits),
            "gamma": self.rendering.gamma,
            "rendering": rendering_hash(self.rendering),
            "blending": self.blending,
            "opacity": self.opacity,
        }

    @property
    def shape(self) -> tuple[int, ...]:
        """Of its axes, without samples."""
        shape = tuple(map(int, self.data.shape))
        return shape[:-1] if self.in_color else shape

    def draw(self, part: Sequence[slice | int]) -> Picture:
        """Read part of it, as :func:`blend` takes it."""
        pixels = read_part(self.data, tuple(part[-len(self.shape) :]))
        shape = pixels.shape[:-1] if self.in_color else pixels.shape
        # Renderings take one plane.
        flat = pixels.reshape(-1, *pixels.shape[len(shape) - 1 :])
        colors, alpha = self.rendering.rgba(flat)
        opaqueness: Any = self.opacity
        if alpha is not None:
            opaqueness = self.opacity * alpha.reshape(shape)
        return Picture(colors.reshape(*shape, 3), opaqueness, self.blending)


class BlendedStack:
    """The channels of a stack as one array of colours, which are blended when they are read.

    Use it like any other stack of RGB: its shape is that of the channels, then 3.

    Parameters
    ----------
    channels
        The lowest first, pixel on pixel; at least one has all axes of the stack.
    background
        The colour of the canvas, RGB in [0, 1].

    Raises
    ------
    ValueError
        If the shapes of the channels do not fit.
    """

    dtype = np.dtype(np.float32)

    def __init__(self, channels: Sequence[Channel], background: Color = (0.0, 0.0, 0.0)) -> None:
        shape = max((channel.shape for channel in channels), key=len)
        for channel in channels:
            if channel.shape != shape[-len(channel.shape) :]:
                raise ValueError(
                    f"The {channel.rendering.name} has the shape {channel.shape} and another "
                    f"channel {shape}: they cannot be blended."
                )
        self.channels, self._background = tuple(channels), background
        self.shape: tuple[int, ...] = (*shape, 3)
        self.ndim = len(self.shape)

    def __getitem__(self, key: Any) -> NDArray[np.float32]:
        spans, rest = as_slices(key, self.ndim)
        # Channels may take no slices but along rows and columns.
        part = [span.start if at == 0 else span for span, at in zip(spans, rest, strict=True)]
        colors = blend((channel.draw(part[:-1]) for channel in self.channels), self._background)
        return colors[..., part[-1]]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[...], dtype)
