"""Neural style transfer for napari: paint one layer in the style of another, live.

``stylize`` paints an image in one call; ``StyleTransfer`` is the same run step by
step, to watch, steer, pause and save; ``Settings`` and ``PRESETS`` say how.
"""

import importlib
from typing import TYPE_CHECKING, Any

from napari_neural_style.settings import PRESETS, Settings

if TYPE_CHECKING:
    from napari_neural_style.transfer.engine import StyleTransfer, stylize

__version__ = "0.1.0"
__all__ = ["PRESETS", "Settings", "StyleTransfer", "__version__", "stylize"]


def __getattr__(name: str) -> Any:
    # The engine brings torch, which takes a second or two to import: not before it is used.
    if name in ("StyleTransfer", "stylize"):
        return getattr(importlib.import_module("napari_neural_style.transfer.engine"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
