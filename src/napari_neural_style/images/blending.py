"""Pictures laid over each other as napari blends its layers, and stacks of such blends."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_neural_style.images.lazy import as_slices, read_part
from napari_neural_style.images.rendering import ColorTable, Rendering
from napari_neural_style.images.views import rendering_hash

Color = tuple[float, float, float]

# Steps of the 8 bits that graphics cards have for a colour, in frame buffers and colormaps.
_WHITE: Final = 255


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


def drawn(rendering: Rendering, pixels: NDArray[Any], opacity: float, blending: str) -> Picture:
    """Make a picture as a graphics card draws it, which looks colours up in tables of 8 bits.

    Parameters
    ----------
    rendering, pixels
        As :meth:`~.rendering.Rendering.rgba` takes them.
    opacity
        In [0, 1].
    blending
        As napari calls it.
    """
    table = rendering.table or ColorTable.to((1, 1, 1))
    if isinstance(table, ColorTable):
        table = replace(table, colors=_steps(table.colors) / np.float32(_WHITE))
    colors, alpha = replace(rendering, table=table).rgba(pixels)
    return Picture(colors, opacity if alpha is None else opacity * alpha, blending)


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
        ``(…, 3)`` float32 in [0, 1], multiples of 1/255 as in a frame buffer.

    Raises
    ------
    ValueError
        For a blending that is unknown.
    """
    canvas = _Canvas(background)
    for number, picture in enumerate(pictures):
        blending = _lowest(picture.blending) if number == 0 else picture.blending
        canvas.draw(picture.colors, picture.alpha, blending, picture.covered)
    return canvas.rgb / np.float32(_WHITE)


def _lowest(blending: str) -> str:
    """Return how napari blends the lowest visible layer with the empty canvas."""
    return {"minimum": "replace", "additive": "over black"}.get(blending, "translucent")


class _Canvas:
    """The frame buffer of OpenGL: what is drawn is blended with what is there, and clamped.

    It has 8 bits a number, to which products are rounded: of many layers this is seen. Its alpha
    counts, for additive layers are added to what is there times its alpha.
    """

    def __init__(self, background: Sequence[float]) -> None:
        self.rgb = _steps(np.array(background[:3], np.float32))
        self._alpha: Any = np.float32(_WHITE)

    def draw(
        self,
        colors: NDArray[np.float32],
        alpha: Any,
        blending: str,
        covered: NDArray[np.bool_] | None,
    ) -> None:
        # With the digits of float64, for some opacities lie on the border of two steps.
        alpha = _steps(np.asarray(alpha, np.float32).astype(np.float64))[..., np.newaxis]
        colors = _steps(colors)
        there, alpha_there = self.rgb, self._alpha
        match blending:
            case "opaque" | "replace":
                self.rgb = colors
            case "over black":
                self.rgb = _times(colors, alpha)
            case "translucent" | "translucent_no_depth":
                self.rgb = _plus(_times(colors, alpha), _times(there, _WHITE - alpha))
            case "additive":
                self.rgb = _plus(_times(colors, alpha), _times(there, alpha_there))
            case "minimum":
                self.rgb = np.minimum(colors, there)
            case "multiplicative":
                self.rgb = _times(colors, there)
            case _:
                raise ValueError(f"The blending {blending} is unknown.")
        match blending:
            case "opaque":
                self._alpha = alpha
            case "minimum":
                self._alpha = np.minimum(alpha, alpha_there)
            case _:
                self._alpha = _plus(alpha, alpha_there)
        if covered is not None:
            inside = covered[..., np.newaxis]
            self.rgb = np.where(inside, self.rgb, there)
            self._alpha = np.where(inside, self._alpha, alpha_there)


def _steps(values: NDArray[Any]) -> NDArray[np.float32]:
    """Numbers in [0, 1] as steps of 8 bits."""
    steps: NDArray[np.float32] = np.rint(values * values.dtype.type(_WHITE)).astype(np.float32)
    return steps


def _times(one: Any, other: Any) -> Any:
    return np.rint(one * other / np.float32(_WHITE))


def _plus(one: Any, other: Any) -> Any:
    return np.minimum(one + other, np.float32(_WHITE))


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
        colors, alpha, blending, _ = drawn(self.rendering, flat, self.opacity, self.blending)
        if np.ndim(alpha):
            alpha = alpha.reshape(shape)
        return Picture(colors.reshape(*shape, 3), alpha, blending)


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
