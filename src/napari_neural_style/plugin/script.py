"""A recipe as a script in Python."""

import re
from collections.abc import Collection, Mapping, Sequence
from itertools import count
from pathlib import PureWindowsPath
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from ..images.views import View, plain_rendering
from ..packed import plain
from ..recipe import Recipe, beyond_preset
from ..record import Change, Record

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
from napari_neural_style.images.views import rendering_from

stylize_stack(
{arguments}
    out="painted.zarr",
)
"""

_CHANGED: Final = """\
# The settings were changed while this was painted: from the last ones comes another picture.
"""

_RUN: Final = """\
# Save the layers, as they are shown, to the files that are named here.
from napari_neural_style import StyleTransfer
from napari_neural_style.images import read_image, write_image
from napari_neural_style.images.rendering import Rendering
from napari_neural_style.images.views import View
from napari_neural_style.packed import unplain

transfer = StyleTransfer(
{arguments}
)
{before}for update in transfer:
{changes}    if update.step == {step}:
        {end}
painted = {painted}
write_image("painted.tif", painted)
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
    if recipe.axes and recipe.one_channel:
        lines.append("output='intensity'")
    if recipe.axes and recipe.rendering is not None:
        lines.append(f"rendering=rendering_from({plain_rendering(recipe.rendering)!r}, 'stack')")
    if recipe.own_masks:
        lines.append("mask=open_stack('masks.tif').data")
    lines.append(f"preset={settings.preset!r}")
    lines += [f"{name}={_value(name, value)}" for name, value in given.items() if name != "preset"]
    arguments = "\n".join(f"    {line}," for line in lines)
    script = (_STACK if recipe.axes else _IMAGE).format(arguments=arguments)
    return _CHANGED + script if recipe.changed else script


def run_to_python(record: Record, names: Mapping[str, str] = MappingProxyType({})) -> str:
    """Return a script that makes the same picture, with all that was changed while it was made.

    Parameters
    ----------
    record
        Of the run. Masks and a start that it holds are in the script.
    names
        Names of files of its images, by their hashes; for those of layers the record has them.
    """
    images, files = {}, dict[str, str]()
    for digest in record.images:
        view = _of_values(record, digest)
        files[digest] = _own_file(record, digest, names.get(digest, ""), view, files.values())
        images[digest] = _seen(view, files[digest])
    given = {name: _packed(value) for name, value in beyond_preset(record.settings).items()}
    given = {"preset": repr(record.settings.preset)} | given
    lines = [images[record.content], _listed(images, record.styles)]
    lines += [f"{name}={value}" for name, value in given.items()]
    before, changes = "", ""
    for change in record.changes:
        calls = [f"transfer.update({_arguments(change, images)})\n", "transfer.apply()\n"]
        if change.step:
            changes += f"    if update.step == {change.step}:\n"
            changes += "".join(f"        {call}" for call in calls)
        else:
            before += "".join(calls)
    return _RUN.format(
        arguments="\n".join(f"    {line}," for line in lines),
        before=before,
        changes=changes,
        step=record.step,
        painted=_developed(record, files[record.content]),
        # A run that is stopped shows its best picture, if that is asked for.
        end="transfer.stop()" if record.shows_best else "break",
    )


def _arguments(change: Change, images: Mapping[str, str]) -> str:
    """Return a change as arguments of ``update``."""
    given = {name: _packed(value) for name, value in change.settings.items()}
    given |= {
        name: images[digest]
        for name, digest in (("content", change.content), ("picture", change.picture))
        if digest is not None
    }
    if change.styles is not None:
        given["style"] = _listed(images, change.styles)
    return ", ".join(f"{name}={value}" for name, value in given.items())


def _listed(images: Mapping[str, str], digests: Sequence[str]) -> str:
    listed = ", ".join(images[digest] for digest in digests)
    return listed if len(digests) == 1 else f"[{listed}]"


def _of_values(record: Record, digest: str) -> View | None:
    """Return how an image is seen in the values of a layer, if a script can say that shortly."""
    for view in record.named(digest):
        shades = view.rendering
        # Of one channel a result has the values, whatever colours they are shown in.
        plain = shades is not None and (shades.table is None or view.kind == "gray")
        if plain and view.is_whole:
            return view
    return None


def _own_file(
    record: Record, digest: str, name: str, view: View | None, taken: Collection[str]
) -> str:
    """Name the file of an image as it was named, or as its layer; no other has this name."""
    views = record.named(digest)
    for own in (name, *(own for view in views for own in (view.file, view.name))):
        if _file(own, ""):
            return _file(own, "")
    words = re.sub(r"\W+", "_", views[0].name)[:40].strip("_") if views else ""
    suffix = "png" if view is None else "tif"  # which holds values of any dtype
    numbered = (f"{words or 'image'}{number or ''}.{suffix}" for number in count(not words))
    return next(file for file in numbered if file not in taken)


def _seen(view: View | None, file: str) -> str:
    """Return how an image is read."""
    if view is None:
        return _image(file)
    call = f"{_rendering(view)}.{view.kind}({_image(file)})"
    return f"{call}[0]" if view.kind == "straight" else call


def _rendering(view: View) -> str:
    shades = view.rendering
    assert shades is not None
    return f"Rendering({view.name!r}, {shades.contrast_limits!r}, {shades.gamma!r})"


def _developed(record: Record, file: str) -> str:
    """Return what is made of the engine's image: with transparency, or of one channel."""
    view = _of_values(record, record.content)
    changed = any(change.content is not None for change in record.changes)
    if view is None or changed or not (view.kind == "gray" or view.has_alpha):
        return "transfer.result"
    shown = f"View('', {view.name!r}, rendering={_rendering(view)}, kind={view.kind!r})"
    return f"{shown}.develop({_image(file)}, transfer.result, transfer.settings.mask)"


def _packed(value: Any) -> str:
    """Write a setting down; arrays whole."""
    if isinstance(value, np.ndarray):
        return f"unplain('array', {plain(value)!r})"
    if isinstance(value, tuple) and any(isinstance(part, np.ndarray) for part in value):
        return f"[{', '.join(map(_packed, value))}]"
    return repr(value)


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
