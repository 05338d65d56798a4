"""Sample data: pairs of a content and a style image, none of which needs a download.

The photographs and the histology ship inside scikit-image's wheel. The styles and
the fluorescence micrograph are drawn by `napari_neural_style.artwork`.
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

LayerData: TypeAlias = tuple[NDArray[Any], dict[str, Any], str]
"""What napari adds as a layer: data, attributes, type."""

ROLE = "napari_neural_style_role"
"""Names, in a layer's metadata, what it is a sample of: ``content`` or ``style``."""

CHANNELS = (("Nuclei", "bop blue"), ("Actin", "bop orange"), ("Mitochondria", "bop purple"))
"""Names and colormaps of the three."""

CHANNEL_COLOURS = ((1.0, 0.78, 0.25), (0.15, 0.45, 1.0), (0.9, 0.25, 0.75))
"""Of nuclei, actin and mitochondria in the merged image."""


def _with_style(content: NDArray[Any], attributes: dict[str, Any], artwork: str) -> list[LayerData]:
    """Return the content and, to its right and as high, a style picture."""
    from napari_neural_style.artwork import ARTWORKS, draw

    picture = draw(artwork)
    pixel_size = attributes.get("scale", (1.0, 1.0))[0]
    height, width = (side * pixel_size for side in content.shape[:2])
    style = {
        "name": ARTWORKS[artwork].title,
        "scale": (height / len(picture),) * 2,
        "translate": (0.0, width + 0.04 * height),
        "units": attributes.get("units", ("pixel", "pixel")),
        "metadata": {"description": ARTWORKS[artwork].description, ROLE: "style"},
    }
    attributes = {**attributes, "metadata": {ROLE: "content"}}
    return [(content, attributes, "image"), (picture, style, "image")]


def _synthetic_cells() -> tuple[NDArray[np.uint16], dict[str, Any]]:
    """Return camera counts (3, 512, 512) and the calibration of their layers."""
    from napari_neural_style.artwork.fluorescence import PIXEL_SIZE, expose

    counts = expose(512, np.random.default_rng(0))
    return counts, {"scale": (PIXEL_SIZE,) * 2, "units": ("micrometer",) * 2}


def _shipped(name: str) -> NDArray[Any]:
    """Return an image of `skimage.data` that is part of the wheel."""
    from skimage import data

    image: NDArray[Any] = getattr(data, name)()
    return image


def cells() -> list[LayerData]:
    """Return synthetic three-colour fluorescence, merged to RGB, and the night impasto."""
    counts, calibration = _synthetic_cells()
    dark = np.ones((512, 512, 3))
    for channel, colour in zip(counts, CHANNEL_COLOURS, strict=True):
        low, high = np.percentile(channel, (1, 99.7))
        signal = np.clip((channel - low) / (high - low), 0, 1)
        dark *= 1 - signal[..., None] * colour
    content = ((1 - dark) * 255 + 0.5).astype(np.uint8)
    return _with_style(content, {"name": "Cells (synthetic)", **calibration}, "impasto")


def actin() -> list[LayerData]:
    """Return synthetic 16-bit counts of actin and the woodcut."""
    counts, calibration = _synthetic_cells()
    attributes = {
        "name": "Actin (synthetic, 16-bit)",
        "contrast_limits": tuple(np.percentile(counts[1], (1, 99.8))),
        **calibration,
    }
    return _with_style(counts[1], attributes, "woodcut")


def channels() -> list[LayerData]:
    """Return three channels of synthetic 16-bit counts, the labels of the nuclei, and impasto."""
    from scipy import ndimage
    from skimage.filters import threshold_otsu

    counts, calibration = _synthetic_cells()
    layers: list[LayerData] = [
        (
            channel,
            {
                "name": name,
                "colormap": colormap,
                "blending": "additive",
                "contrast_limits": tuple(np.percentile(channel, (1, 99.8))),
                **calibration,
            },
            "image",
        )
        for channel, (name, colormap) in zip(counts, CHANNELS, strict=True)
    ]
    smooth = ndimage.gaussian_filter(counts[0].astype(np.float32), 2)
    nuclei = (smooth > threshold_otsu(smooth)).astype(np.uint8)
    first, style = _with_style(counts[0], layers[0][1], "impasto")
    region = (nuclei, {"name": "Region: nuclei", "visible": False, **calibration}, "labels")
    return [first, *layers[1:], style, region]


def histology() -> list[LayerData]:
    """Return an immunohistochemical section of colon and the stained glass."""
    return _with_style(
        _shipped("immunohistochemistry"), {"name": "Colon (histology)"}, "stained_glass"
    )


def retina() -> list[LayerData]:
    """Return a fundus photograph and the mosaic."""
    return _with_style(_shipped("retina"), {"name": "Retina (fundus photograph)"}, "mosaic")


def cat() -> list[LayerData]:
    """Return a photograph of a cat and the pointillism."""
    return _with_style(_shipped("cat"), {"name": "Cat (photograph)"}, "pointillism")


def coffee() -> list[LayerData]:
    """Return a photograph of a cup of coffee and the watercolour."""
    return _with_style(_shipped("coffee"), {"name": "Coffee (photograph)"}, "watercolour")


def styles() -> list[LayerData]:
    """Return all style pictures, side by side."""
    from napari_neural_style.artwork import ARTWORKS, draw

    return [
        (
            draw(name),
            {
                "name": artwork.title,
                "translate": (0.0, 532.0 * column),
                "metadata": {"description": artwork.description},
            },
            "image",
        )
        for column, (name, artwork) in enumerate(ARTWORKS.items())
    ]


def demo_pair() -> tuple[NDArray[Any], dict[str, Any], NDArray[Any], dict[str, Any]]:
    """Return the pair that the demo shows.

    Returns
    -------
    content, content_attributes, style, style_attributes
        The images, and the keyword arguments of the layers that show them.
    """
    (content, content_attributes, _), (style, style_attributes, _) = histology()
    return content, content_attributes, style, style_attributes
