"""A recipe as a script in Python."""

from collections.abc import Sequence
from pathlib import PureWindowsPath
from typing import Any, Final

import numpy as np

from ..recipe import Recipe, beyond_preset

_IMAGE: Final = """\
# Save the layers as they are shown, to the files that are named here.
from napari_neural_style import stylize
from napari_neural_style.images import read_image, write_image

painted = stylize(
{arguments}
)
write_image("painted.png", painted)
"""

_STACK: Final = """\
# Save the layers to the files that are named here, the style as it is shown.
from napari_neural_style import stylize_stack
from napari_neural_style.images import read_image
from napari_neural_style.images.stack_files import open_stack

stylize_stack(
{arguments}
    out="painted.zarr",
)
"""

_CHANGED: Final = """\
# The settings were changed while this was painted: from the last ones comes another picture.
"""

_SUFFIXES: Final = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".zarr")


def to_python(recipe: Recipe) -> str:
    """Return a script that makes the same picture or stack, unless settings were changed in it.

    Parameters
    ----------
    recipe
        What made it. Of the settings, the script has those that are not as the preset says;
        images are read from files: those of the recipe's names, where they are names of files,
        others from ``content.png``, ``style.png``, ``mask.tif`` and so on.
    """
    settings = recipe.settings
    given = beyond_preset(settings)
    styles = _styles(recipe.styles, len(given.get("style_weights", ())))
    if recipe.axes:
        lines = [f"open_stack({_file(recipe.content, 'content.tif')!r}).data", styles]
        lines.append(f"axes={recipe.axes!r}")
    else:
        lines = [_image(_file(recipe.content, "content.png")), styles]
    if recipe.own_masks:
        lines.append("mask=open_stack('masks.tif').data")
    lines.append(f"preset={settings.preset!r}")
    lines += [f"{name}={_value(name, value)}" for name, value in given.items() if name != "preset"]
    arguments = "\n".join(f"    {line}," for line in lines)
    script = (_STACK if recipe.axes else _IMAGE).format(arguments=arguments)
    return _CHANGED + script if recipe.changed else script


def _styles(names: Sequence[str], weights: int) -> str:
    count = max(len(names), weights, 1)
    if count == 1:
        return _image(_file(names[0] if names else "", "style.png"))
    numbered = [f"style{number}.png" for number in range(1, count + 1)]
    files = [*map(_file, names, numbered), *numbered[len(names) :]]
    return f"[{', '.join(map(_image, files))}]"


def _value(name: str, value: Any) -> str:
    """Write a setting down; of a picture, where it is read."""
    if isinstance(value, np.ndarray):
        return _image(f"{name}.tif")
    if isinstance(value, tuple) and any(isinstance(part, np.ndarray) for part in value):
        files = [f"{name.removesuffix('s')}{number}.tif" for number in range(1, len(value) + 1)]
        return f"[{', '.join(map(_image, files))}]"
    return repr(value)


def _image(file: str) -> str:
    # Names come from strangers: nothing but repr keeps them within their quotes.
    return f"read_image({file!r})"


def _file(name: str, default: str) -> str:
    """The file of a layer or file of this name, beside the script."""
    return PureWindowsPath(name).name if name.lower().endswith(_SUFFIXES) else default
