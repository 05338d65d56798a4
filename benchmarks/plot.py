"""Loss against wall time, both logarithmic, drawn with Pillow alone."""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from curves import Curve
from PIL import Image, ImageDraw, ImageFont

_WIDTH, _HEIGHT = 960, 600
_LEFT, _RIGHT, _TOP, _BOTTOM = 90, 20, 40, 50
_COLOURS = ("#1f5fbf", "#d9480f", "#2b8a3e", "#862e9c", "#5c5f66")
_GRID, _INK = "#dddddd", "#222222"


def draw(path: Path, title: str, curves: Mapping[str, Curve], start: float) -> None:
    """Write a plot of curves as steps, the last one to the end, and of single points as dots.

    Parameters
    ----------
    path : Path
        The picture's file.
    title : str
        Stands above the plot.
    curves : mapping of str to Curve
        By their names, in the order of the legend.
    start : float
        The axis of time starts there, in seconds.
    """
    curves = {name: _drawable(curve, start) for name, curve in curves.items()}
    seconds = np.concatenate([curve.times for curve in curves.values()])
    losses = np.concatenate([curve.losses for curve in curves.values()])
    across = (start, float(seconds.max()) * 1.1)
    up = (float(losses.min()) / 1.2, float(losses.max()) * 1.2)

    page = Image.new("RGB", (_WIDTH, _HEIGHT), "white")
    pen = ImageDraw.Draw(page)
    font = ImageFont.load_default(14)

    def x(second: float) -> float:
        return _LEFT + _share(second, across) * (_WIDTH - _LEFT - _RIGHT)

    def y(loss: float) -> float:
        return _HEIGHT - _BOTTOM - _share(loss, up) * (_HEIGHT - _TOP - _BOTTOM)

    for tick in _ticks(across):
        pen.line([(x(tick), _TOP), (x(tick), _HEIGHT - _BOTTOM)], _GRID)
        pen.text((x(tick), _HEIGHT - _BOTTOM + 6), f"{tick:g}", _INK, font, "ma")
    for tick in _ticks(up):
        pen.line([(_LEFT, y(tick)), (_WIDTH - _RIGHT, y(tick))], _GRID)
        pen.text((_LEFT - 8, y(tick)), f"{tick:g}", _INK, font, "rm")
    pen.rectangle((_LEFT, _TOP, _WIDTH - _RIGHT, _HEIGHT - _BOTTOM), outline=_INK)
    pen.text((_LEFT, 10), f"{title}: loss against seconds", _INK, font)
    for row, (name, curve) in enumerate(curves.items()):
        colour = _COLOURS[row % len(_COLOURS)]
        points = [(x(t), y(loss)) for t, loss in zip(curve.times, curve.losses, strict=True)]
        if len(points) == 1:
            pen.circle(points[0], 5, colour)
        else:
            pen.line([*_steps(points), (x(across[1]), points[-1][1])], colour, 2)
        pen.text((_WIDTH - _RIGHT - 10, _TOP + 8 + 20 * row), name, colour, font, "ra")
    page.save(path)


def _drawable(curve: Curve, start: float) -> Curve:
    """The finite losses, from the one that holds at the start on."""
    finite = np.isfinite(curve.losses)
    times, losses = curve.times[finite], curve.losses[finite]
    first = max(0, int(np.searchsorted(times, start, side="right")) - 1)
    return Curve(np.maximum(times[first:], start), losses[first:])


def _share(value: float, limits: tuple[float, float]) -> float:
    low, high = (math.log(limit) for limit in limits)
    return (math.log(value) - low) / (high - low)


def _ticks(limits: tuple[float, float]) -> Iterator[float]:
    decades = range(math.floor(math.log10(limits[0])), math.ceil(math.log10(limits[1])))
    for decade in decades:
        for digit in (1, 2, 5) if len(decades) < 5 else (1,):
            if limits[0] <= digit * 10.0**decade <= limits[1]:
                yield digit * 10.0**decade


def _steps(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """A stairway: each point's height holds until the next one."""
    stairs = list(points[:1])
    for (_, before), (x, y) in pairwise(points):
        stairs += [(x, before), (x, y)]
    return stairs
