"""The losses of a step, as the run's thread tells them to the plot."""

from typing import NamedTuple


class LossPoint(NamedTuple):
    """The losses of one evaluation."""

    step: int
    """Its number, from 1, over all scales."""
    scale: int
    """Longest side of the scale that it belongs to, in pixels."""
    losses: dict[str, float]
    """Weighted losses by name, among them ``total``, ``style`` and ``content``."""
