"""One command-line option for every field of Settings, generated from its fields."""

import argparse
import dataclasses
import inspect
import os
import re
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

import numpy as np
from numpy.typing import NDArray

from napari_neural_style.cli.streams import say
from napari_neural_style.images import read_image
from napari_neural_style.recipe import Recipe, beyond_preset, read_recipe
from napari_neural_style.settings import PRESETS, Settings, make_settings, strength_to_weight

PRESET_LIST = "presets:\n" + "\n".join(
    f"  {name:<14} {preset.description}" for name, preset in PRESETS.items()
)


OUTPUTS = ("rgb", "intensity")

NO_MASK = "none"


def add_output(parser: argparse.ArgumentParser, out: str) -> None:
    """Add the result, described by `out`, its kind, its recipe, and silence."""
    parser.add_argument("-o", "--out", metavar="OUT", type=Path, required=True, help=out)
    parser.add_argument(
        "--output",
        choices=OUTPUTS,
        default="rgb",
        help="What the result is: colours, or the values of one channel, in the dtype and "
        "range of what is painted.",
    )
    parser.add_argument(
        "--save-recipe",
        metavar="FILE",
        type=Path,
        help="Write the recipe of the result as JSON too, for --recipe and the widget.",
    )
    parser.add_argument("--quiet", action="store_true", help="Print nothing but errors.")


def add_recipe(parser: "argparse._ActionsContainer") -> None:
    """Add the recipe that settings are taken from."""
    parser.add_argument(
        "--recipe",
        metavar="FILE",
        help="Take the settings of a recipe: a JSON file, or a picture or Zarr array that was "
        "painted with it. Options that are given as well go before; with --preset, only what the "
        "recipe says beyond its own preset is taken.",
    )


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Add an option for every setting, and the style's strength in percent."""
    group = parser.add_argument_group(
        "settings",
        "Sequences are separated by commas (--scales 256,512), and layers may have\n"
        "weights (--style-layers relu1_1=0.2,relu3_1=0.8). What is not given is as the\n"
        "preset says.",
    )
    style = group.add_mutually_exclusive_group()
    hints, documentation = typing.get_type_hints(Settings), _documentation()
    for field in dataclasses.fields(Settings):
        option = "--" + field.name.replace("_", "-")
        text = documentation.get(field.name)
        if field.name in _MASKS:
            _add_mask(group, field.name)
        elif hints[field.name] is bool:
            group.add_argument(
                option,
                action=argparse.BooleanOptionalAction,
                default=argparse.SUPPRESS,
                help=text,
            )
        else:  # converted later: Settings says best what is wrong with a value
            target = style if field.name == "style_weight" else group
            target.add_argument(option, metavar="VALUE", default=argparse.SUPPRESS, help=text)
    style.add_argument(
        "--style-strength",
        metavar="PERCENT",
        type=float,
        default=argparse.SUPPRESS,
        help="Style weight on a scale for the eye, 0 to 100; 50 is the preset's own weight.",
    )


def given_recipe(arguments: argparse.Namespace) -> Recipe | None:
    """Read the recipe, if one is given.

    Raises
    ------
    ValueError, OSError
        If it cannot be used.
    """
    if arguments.recipe is None:
        return None
    recipe = read_recipe(arguments.recipe, vars(arguments).get("weights"))
    if recipe.own_masks and "mask" not in arguments:
        raise ValueError(
            f"{arguments.recipe} is of a stack whose planes had masks of their own, which no "
            "recipe holds: give --mask, or --mask none to paint all."
        )
    if recipe.changed:
        say(
            arguments,
            f"The settings of {arguments.recipe} were changed while it was painted: the last ones "
            "are taken, and the picture will be another.",
        )
    return recipe


def chosen_settings(arguments: argparse.Namespace, recipe: Recipe | None) -> Settings:
    """Return the settings of a run: those that were given, else the recipe's or the preset's."""
    if recipe is None:
        return make_settings(**given_settings(arguments))
    preset = recipe.settings.preset
    given = given_settings(arguments, preset)
    if given.get("preset", preset) != preset:
        return make_settings(**{**beyond_preset(recipe.settings), **given})
    return dataclasses.replace(recipe.settings, **given)


def given_settings(arguments: argparse.Namespace, preset: str = Settings.preset) -> dict[str, Any]:
    """Values of the settings that were given, as :class:`Settings` takes them.

    Parameters
    ----------
    arguments
        With the options of :func:`add_output` and :func:`add_settings`.
    preset
        The preset that a style strength refers to, if none is given.
    """
    hints = typing.get_type_hints(Settings)
    given: dict[str, Any] = {
        name: _read_masks(value) if name in _MASKS else _convert(value, hints[name])
        for name, value in vars(arguments).items()
        if name in hints
    }
    if arguments.output == "intensity" and given.setdefault("color", "luminance") != "luminance":
        raise ValueError("--output intensity has no colours: leave --color out.")
    if "style_strength" in arguments:
        given["style_weight"] = strength_to_weight(
            arguments.style_strength, given.get("preset", preset)
        )
    return given


_MASKS = {
    "mask": "Image file of where to paint: black, 0, for outside; white for inside, or whole "
    "numbers as the labels of regions; or floats from 0 to 1, the share that is painted. "
    "Outside, the pixels stay as they are. A stack may have a stack of masks, one for each plane. "
    "With none, no mask of a --recipe is taken.",
    "style_masks": "Image file of labels, of the size of a STYLE: each region of --mask is "
    "painted with the regions of its label. Once for each STYLE, or none.",
}
"""Help of the settings that are read from image files of labels."""


def _add_mask(group: argparse._ArgumentGroup, name: str) -> None:
    several = name.endswith("s")
    group.add_argument(
        "--" + name.removesuffix("s").replace("_", "-"),
        dest=name,
        metavar="FILE",
        action="append" if several else "store",
        default=argparse.SUPPRESS,
        help=_MASKS[name],
    )


def mask_files(arguments: argparse.Namespace) -> list[str]:
    """Return the files of all masks that were given."""
    given = vars(arguments)
    files = [given.get("mask", NO_MASK), *given.get("style_masks", ())]
    return [file for file in files if file != NO_MASK]


def check_distinct(read: Iterable[str | Path | None], written: Iterable[Path]) -> None:
    """Raise a ValueError if a file to write is named twice, or is one that is read."""
    taken = {os.path.realpath(path) for path in read if path is not None}
    for path in written:
        target = os.path.realpath(path)
        if target in taken:
            raise ValueError(f"{path} is used twice: give every file to write its own name.")
        taken.add(target)


def _read_masks(paths: str | list[str]) -> NDArray[Any] | tuple[NDArray[Any], ...] | None:
    if isinstance(paths, str):
        return None if paths == NO_MASK else read_mask(paths)
    return () if paths == [NO_MASK] else tuple(map(read_mask, paths))


def read_mask(path: str) -> NDArray[Any]:
    """Read the labels or shares of a mask, ``(H, W)``, from an image file."""
    image = read_image(path)
    if Path(path).suffix.lower() in (".jpg", ".jpeg"):
        raise ValueError(f"Cannot use {path} as a mask: JPEG blurs its labels; use PNG or TIFF.")
    if image.ndim == 3:
        if (image[..., :3] != image[..., :1]).any():
            raise ValueError(
                f"Cannot use {path} as a mask: it has colours; save it in black and white, or "
                "as an image of one channel with the labels as its values."
            )
        image = image[..., 0]
    return image


def _convert(value: str | bool, hint: Any) -> Any:
    """Turn text into the hinted type; what fits none is left for Settings to refuse."""
    if isinstance(value, bool):
        return value
    kinds = get_args(hint) if get_origin(hint) in (types.UnionType, typing.Union) else (hint,)
    origins = {get_origin(kind) or kind: kind for kind in kinds}
    if np.ndarray in origins and Path(value).suffix:
        return read_image(value)
    if type(None) in origins and value.lower() == "none":
        return None
    try:
        if Mapping in origins and "=" in value:
            pairs = (pair.split("=") for pair in value.split(","))
            return {name.strip(): float(weight) for name, weight in pairs}
        if tuple in origins and ("," in value or not {int, float} & origins.keys()):
            (item, _) = get_args(origins[tuple])
            return tuple(item(part.strip()) for part in value.split(","))
        return next(kind for kind in (int, float, str) if kind in origins)(value)
    except (ValueError, StopIteration):
        return value


def _documentation() -> dict[str, str]:
    """Help of every setting, from the parameters in the docstring of Settings."""
    text = inspect.getdoc(Settings) or ""
    entries = re.findall(r"^(\w[\w, ]*) : (.+)\n((?: +.+\n)+)", text, re.MULTILINE)
    return {
        name: f"{' '.join(description.split())} [{kind}]".replace("``", "").replace("%", "%%")
        for names, kind, description in entries
        for name in names.split(", ")
    }
