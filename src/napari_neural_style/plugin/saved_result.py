"""Results from files, as layers that a run can go on from."""

from pathlib import Path
from typing import Any

import numpy as np

from ..images import read_image, to_uint8
from ..images.metadata import read_metadata
from ..images.pixels import normalize
from ..recipe import Recipe
from .layers import Composite, Plane
from .result import ResultLayer


def open_result(
    path: str | Path, viewer: Any, content: Plane | Composite, weights: str | None = None
) -> Any:
    """Open a saved result as a layer over its content.

    Parameters
    ----------
    path
        A PNG, TIFF or JPEG file that the command line or a writer of this package wrote.
    viewer
        The viewer to add the layer to.
    content
        What it was painted from: the result is laid over it, whatever resolution it has.
    weights
        As for :meth:`~napari_neural_style.recipe.Recipe.from_dict`.

    Returns
    -------
    napari.layers.Image
        A result as a run leaves it, with the recipe and all digits of the file.

    Raises
    ------
    OSError
        If there is no such file or it may not be read.
    ValueError
        If it is no image, holds no recipe or none that can be used, has other proportions than
        the content, or one channel where the content has colours.
    """
    path = Path(path)
    image = read_image(path)
    recipe = _recipe(path)
    Recipe.from_dict(recipe, weights, f"the recipe {path}")
    geometry = content.geometry
    row, column = geometry.displayed
    # Files have the order of the layer's axes, which the view may have transposed.
    shown = image if row < column else image.swapaxes(0, 1)
    _check_proportions(path, shown.shape, content)
    values, alpha = normalize(shown, f"image {path}")
    exact = None
    if values.ndim == 2:
        appearance = _appearance_of_channel(path, content)
    else:
        appearance = {"rgb": True}
        exact = None if image.dtype == np.uint8 else values
        shown = to_uint8(values if alpha is None else np.dstack([values, alpha]))
    name = path.stem.removesuffix(".16bit").removesuffix(".float").removesuffix(".ome")
    result = ResultLayer(
        viewer, geometry.place, geometry.orientation, name, appearance, origin=content
    )
    result.show(shown, recipe, exact)
    return result.layer


def _recipe(path: Path) -> Any:
    try:
        return read_metadata(path)
    except ValueError as error:
        raise ValueError(
            f"{path} holds no recipe that can be read: save results as name.16bit.tif or "
            "name.float.tif to keep it."
        ) from error


def _check_proportions(path: Path, shape: tuple[int, ...], content: Plane | Composite) -> None:
    (height, width), (full_height, full_width) = shape[:2], content.geometry.shape
    # Rounded to whole pixels, either may be half a pixel off.
    if abs(height * full_width - width * full_height) > max(*shape[:2], full_height, full_width):
        raise ValueError(
            f"{path} has {height} x {width} pixels, which does not fit the {content.name} with "
            f"{full_height} x {full_width}: choose the content that it was painted from."
        )


def _appearance_of_channel(path: Path, content: Plane | Composite) -> dict[str, Any]:
    """How the content shows its values, which a result of one channel shares."""
    if not isinstance(content, Plane) or _has_colours(content):
        raise ValueError(
            f"{path} has one channel and the {content.name} has colours: choose the content that "
            "it was painted from."
        )
    shades = content.rendering
    return {"rgb": False, "contrast_limits": shades.contrast_limits, "gamma": shades.gamma}


def _has_colours(content: Plane) -> bool:
    return len(content.pixels.levels[0].shape) > len(content.geometry.scale)
