"""What layers are called, and which of them are results."""

from typing import Any

from ...images import METADATA_KEY

_LONGEST_NAME = 32


def is_result(layer: Any) -> bool:
    """Tell whether the layer was painted by this plugin."""
    return METADATA_KEY in layer.metadata


def quoted(layer: Any) -> str:
    """Return the layer's name for a message, shortened in the middle if it is long."""
    name = layer.name
    if len(name) > _LONGEST_NAME:
        half = _LONGEST_NAME // 2
        name = f"{name[:half]}…{name[-half:]}"
    return f"“{name}”"
