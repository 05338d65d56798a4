"""What layers show, where on the canvas it lies, and the guides drawn over it."""

from ...images import METADATA_KEY
from .composite import Composite, canvas_background, displayed_composite
from .earlier import earlier_picture
from .geometry import Geometry
from .guides import content_mask, stack_mask
from .labels import StackLabels
from .names import DRIFT_KEY, is_drift, is_result, quoted, unwrapped
from .plane import Plane, displayed_plane
from .slicing import layer_geometry, layer_levels
from .stack import StackSource, stack_composite, stack_planes
from .thumbnail import thumbnail

__all__ = [
    "DRIFT_KEY",
    "METADATA_KEY",
    "Composite",
    "Geometry",
    "Plane",
    "StackLabels",
    "StackSource",
    "canvas_background",
    "content_mask",
    "displayed_composite",
    "displayed_plane",
    "earlier_picture",
    "is_drift",
    "is_result",
    "layer_geometry",
    "layer_levels",
    "quoted",
    "stack_composite",
    "stack_mask",
    "stack_planes",
    "thumbnail",
    "unwrapped",
]
