"""The losses of a run as curves, thinned where there are too many to be seen."""

from collections.abc import Iterable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from .loss_point import LossPoint

NAMES = ("total", "style", "content")
"""Of the curves, in the order of their columns."""

LEAST_DECADES = 0.7
"""Any stretch as long as this holds two of the numbers 1, 2, 5, 10, 20, 50 …"""
FAINT_DECADES = 2
"""What is smaller than the lowest total by that many powers of ten hardly counts."""

_MOST_POINTS = 1024


class LossCurves:
    """Losses over the steps, on a logarithmic scale."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget all points."""
        self.points: list[LossPoint] = []
        self._stride = 1
        self._tabulate()

    def add(self, points: Iterable[LossPoint]) -> None:
        """Add points in the order of their steps.

        A step no later than the last one means that the run went back: what lay behind it
        is forgotten.
        """
        kept = self.points
        for point in points:
            while kept and kept[-1].step >= point.step:
                kept.pop()
            if len(kept) > 1 and kept[-1].step % self._stride:
                kept.pop()  # it was there only for being the newest
            kept.append(point)
        while len(kept) > _MOST_POINTS:
            self._stride *= 2
            kept[1:-1] = [point for point in kept[1:-1] if point.step % self._stride == 0]
        self._tabulate()

    def _tabulate(self) -> None:
        losses = [[point.losses.get(name, 0) for name in NAMES] for point in self.points]
        table = np.array(losses, float).reshape(-1, len(NAMES))
        drawable = np.isfinite(table) & (table > 0)
        self.steps: NDArray[np.float64] = np.array([point.step for point in self.points], float)
        """Of the points."""
        self.exponents = np.full_like(table, np.nan)
        """Logarithms to base 10 of the losses, ``(n, 3)``; NaN where there is none."""
        np.log10(table, where=drawable, out=self.exponents)

    @property
    def scales(self) -> list[tuple[int, int]]:
        """The step that each scale begins with, and its longest side in pixels."""
        changes = [new for old, new in pairwise(self.points) if new.scale != old.scale]
        return [(point.step, point.scale) for point in [*self.points[:1], *changes]]

    @property
    def range(self) -> tuple[float, float]:
        """The exponents to show, with a little room above and below."""
        drawable = np.isfinite(self.exponents)
        if not drawable.any():
            return -LEAST_DECADES, 0.0
        low, high = self.exponents[drawable].min(), self.exponents[drawable].max()
        total = self.exponents[drawable[:, 0], 0]
        if total.size:
            low = max(low, total.min() - FAINT_DECADES)
        room = max(0.04 * (high - low), (LEAST_DECADES - (high - low)) / 2)
        return float(low - room), float(high + room)
