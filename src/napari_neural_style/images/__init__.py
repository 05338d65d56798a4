"""Arrays of any dtype to RGB in [0, 1] and back, and image files in and out."""

from napari_neural_style.images.calibration import Calibration
from napari_neural_style.images.files import (
    METADATA_KEY,
    check_output,
    check_writable,
    read_calibration,
    read_image,
    write_image,
)
from napari_neural_style.images.hashing import array_hash, image_hash
from napari_neural_style.images.pixels import (
    intensity_like,
    resized,
    rgba_like,
    split_alpha,
    to_intensity,
    to_rgb,
    to_uint8,
)

__all__ = [
    "METADATA_KEY",
    "Calibration",
    "array_hash",
    "check_output",
    "check_writable",
    "image_hash",
    "intensity_like",
    "read_calibration",
    "read_image",
    "resized",
    "rgba_like",
    "split_alpha",
    "to_intensity",
    "to_rgb",
    "to_uint8",
    "write_image",
]
