"""Sample data: pairs of a content and a style image, none of which needs a download.

The photographs and real micrographs ship inside scikit-image's wheel. The styles
and the fluorescence micrograph are drawn by `napari_neural_style.artwork`.
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

LayerData: TypeAlias = tuple[NDArray[Any], dict[str, Any], str]
"""What napari adds as a layer: data, attributes, type."""

SYNTHETIC_CHANNELS = {
    "nuclei": (0.25, 0.4, 1.0),
    "actin": (1.0, 0.5, 0.12),
    "mito": (0.1, 0.9, 0.6),
}


def _beside(content: LayerData, artwork: str) -> list[LayerData]:
    """Return the content and, to its right and as high, a style picture."""
    from napari_neural_style.artwork import ARTWORKS, draw

    data, attributes, _ = content
    picture = draw(artwork)
    step = attributes.get("scale", (1.0, 1.0))[0]
    height, width = data.shape[0] * step, data.shape[1] * step
    style = {
        "name": ARTWORKS[artwork].title,
        "scale": (height / len(picture),) * 2,
        "translate": (0.0, width + 0.04 * height),
        "units": attributes.get("units", ("pixel", "pixel")),
        "metadata": {"description": ARTWORKS[artwork].description},
    }
    return [content, (picture, style, "image")]


def _synthetic_counts() -> NDArray[np.uint16]:
    from napari_neural_style.artwork.fluorescence import expose

    return expose(512, np.random.default_rng(0))


def _calibration() -> dict[str, Any]:
    from napari_neural_style.artwork.fluorescence import PIXEL_SIZE

    return {"scale": (PIXEL_SIZE, PIXEL_SIZE), "units": ("micrometer", "micrometer")}


def cells() -> list[LayerData]:
    """Return a synthetic three-colour fluorescence micrograph and the night impasto."""
    merged = np.zeros((512, 512, 3))
    for counts, colour in zip(_synthetic_counts(), SYNTHETIC_CHANNELS.values(), strict=True):
        low, high = np.percentile(counts, (1, 99.7))
        signal = np.clip((counts - low) / (high - low), 0, 1)[..., None] * colour
        merged = 1 - (1 - merged) * (1 - signal)
    content = (merged * 255 + 0.5).astype(np.uint8)
    attributes = {"name": "Cells (synthetic fluorescence)", **_calibration()}
    return _beside((content, attributes, "image"), "impasto")


def demo_pair() -> tuple[NDArray[Any], dict[str, Any], NDArray[Any], dict[str, Any]]:
    """Return the pair that the demo shows.

    Returns
    -------
    content, content_attributes, style, style_attributes
        The images, and the keyword arguments of the layers that show them.
    """
    (content, content_attributes, _), (style, style_attributes, _) = cells()
    return content, content_attributes, style, style_attributes
