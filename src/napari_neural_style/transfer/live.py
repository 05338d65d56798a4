"""Settings that may change while a run goes on."""

from collections.abc import Iterable
from typing import Final

import numpy as np

from napari_neural_style.settings import Settings

#: Settings that weigh the losses.
WEIGHTS: Final = frozenset({"content_weight", "style_weight", "tv_weight", "style_weights"})
#: Settings that say what is painted where, and in which colours.
PICTURES: Final = frozenset({"color", "mask", "style_masks", "feather"})
#: All settings that may change.
LIVE: Final = WEIGHTS | PICTURES | {"learning_rate", "keep_best"}


def check_live(changes: Iterable[tuple[str, object]]) -> None:
    """Raise a ValueError for a setting that a run cannot change."""
    for name, value in changes:
        if name not in LIVE:
            raise ValueError(
                f"{name}={value!r} cannot change while a run goes on; "
                f"these can: {', '.join(sorted(LIVE))}."
            )


def changed(before: Settings, after: Settings) -> set[str]:
    """Names of the live settings that are not the same."""
    return {name for name in LIVE if not _same(getattr(before, name), getattr(after, name))}


def _same(one: object, other: object) -> bool:
    """Whether two values of a setting are equal; arrays and tuples of them, too."""
    ones, others = (v if isinstance(v, tuple) else (v,) for v in (one, other))
    return len(ones) == len(others) and all(map(np.array_equal, ones, others))
