"""What layers are called, and which of them are results."""

from typing import Any

from ...images import METADATA_KEY

DRIFT_KEY = f"{METADATA_KEY}_drift"
"""Names, in the metadata of a layer that shows how a result has drifted, the figures."""

_LONGEST_NAME = 32


def is_result(layer: Any) -> bool:
    """Tell whether the layer was painted by this plugin."""
    return METADATA_KEY in layer.metadata


def is_drift(layer: Any) -> bool:
    """Tell whether the layer shows how a result has drifted from its content."""
    return DRIFT_KEY in layer.metadata


def unwrapped(layer: Any) -> Any:
    """Return a layer, or a viewer, itself.

    napari hands plugins proxies that are equal to it, but made anew each time: no weak reference
    to one of them lasts.
    """
    return getattr(layer, "__wrapped__", layer)


def quoted(layer: Any) -> str:
    """Return the layer's name for a message, shortened in the middle if it is long."""
    name = layer.name
    if len(name) > _LONGEST_NAME:
        half = _LONGEST_NAME // 2
        name = f"{name[:half]}…{name[-half:]}"
    return f"“{name}”"
