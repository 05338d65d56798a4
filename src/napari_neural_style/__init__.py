"""Neural style transfer for napari: paint one layer in the style of another, live.

``stylize`` paints an image in one call; ``StyleTransfer`` is the same run step by
step, to watch, steer, pause and save; ``stylize_stack`` and ``StackTransfer`` do the
same for time series and z-stacks; ``Settings`` and ``PRESETS`` say how.
"""

import importlib
from typing import TYPE_CHECKING, Any

from napari_neural_style.settings import PRESETS, Settings

if TYPE_CHECKING:
    from napari_neural_style.stacks import StackTransfer, stylize_stack
    from napari_neural_style.transfer.engine import StyleTransfer, stylize

__version__ = "0.1.0"
__all__ = [
    "PRESETS",
    "Settings",
    "StackTransfer",
    "StyleTransfer",
    "__version__",
    "stylize",
    "stylize_stack",
]


# The engine brings torch, which takes a second or two to import: not before it is used.
_LAZY = {
    "StackTransfer": "napari_neural_style.stacks",
    "StyleTransfer": "napari_neural_style.transfer.engine",
    "stylize": "napari_neural_style.transfer.engine",
    "stylize_stack": "napari_neural_style.stacks",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
