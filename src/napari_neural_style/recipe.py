"""Recipes: what made a picture, in files that can be read, sent around and used again."""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final, Self

import numpy as np

from napari_neural_style.images.files import check_writable, replacing
from napari_neural_style.images.metadata import read_metadata
from napari_neural_style.images.rendering import Rendering
from napari_neural_style.images.views import rendering_from
from napari_neural_style.settings import Settings
from napari_neural_style.validation import one_line, short

_KNOWN_WEIGHTS: Final = ("original", "torchvision")
_MAX_MESSAGE: Final = 300
_PACKAGE: Final = "napari-neural-style"


@dataclass(frozen=True)
class Recipe:
    """What is needed to make a picture again, beside its images.

    Attributes
    ----------
    settings
        Of the run.
    content
        Name of the layer or file that was painted; empty if it is not known.
    styles
        Names of the layers or files that it was painted with; empty if they are not known.
    axes
        Of a stack, such as ``TYX``; empty for one image.
    own_masks
        Whether each plane of a stack had a mask of its own, which no recipe holds.
    one_channel
        Whether the planes of a stack were painted as one channel.
    rendering
        What turned the values of a stack into what was painted; None for contrast limits that
        were found.
    changed
        Whether settings were changed while it was painted: these, the last ones, then do not
        make the same picture.
    versions
        Of the packages that made it.
    note
        For whoever reads it.
    """

    settings: Settings
    content: str = ""
    styles: tuple[str, ...] = ()
    axes: str = ""
    own_masks: bool = False
    one_channel: bool = False
    rendering: Rendering | None = None
    changed: bool = False
    versions: Mapping[str, str] = field(default_factory=dict)
    note: str = ""

    @classmethod
    def from_dict(cls, data: Any, weights: str | None = None, called: str = "the recipe") -> Self:
        """Build a recipe from plain data, which may be a stranger's.

        Parameters
        ----------
        data
            What ``StyleTransfer.provenance`` gives, a result layer keeps in its metadata, or
            :meth:`Settings.to_dict` returns.
        weights
            Used instead of a file of weights that the recipe names.
        called
            What errors call it.

        Raises
        ------
        ValueError
            If the data are damaged, hold an unknown or wrong setting, unfold to too much
            memory, or name a file of weights and `weights` does not: a recipe must not make
            us read other files.
        """
        settings = data.get("settings", data) if isinstance(data, Mapping) else None
        if not isinstance(settings, Mapping):
            raise ValueError(f"Cannot use {called}: it holds no settings by their names.")
        versions = _versions(data)
        try:
            made_with = Settings.from_dict(with_weights(settings, weights))
            rendering = _rendering(data)
        except ValueError as error:
            raise ValueError(f"Cannot use {called}{_other(versions)}: {_line(error)}") from error
        return cls(
            settings=made_with,
            content=one_line(data.get("content")),
            styles=_styles(data),
            axes=_axes(data.get("axes")),
            own_masks=data.get("plane_masks") is True,
            one_channel=data.get("output") == "intensity",
            rendering=rendering,
            changed=bool(data.get("changes")),
            versions=versions,
            note=one_line(data.get("note")),
        )


def read_recipe(path: str | os.PathLike[str], weights: str | None = None) -> Recipe:
    """Read a recipe from a JSON file, or from a picture or stack that was painted with it.

    Parameters
    ----------
    path
        A JSON file of a recipe or of settings alone; a PNG, TIFF or JPEG file or the folder of
        a Zarr array that the command line or a writer of this package wrote.
    weights
        As for :meth:`Recipe.from_dict`.

    Raises
    ------
    OSError
        If there is no such file or it may not be read.
    ValueError
        If there is no recipe in it, or none that :meth:`Recipe.from_dict` takes.
    """
    return Recipe.from_dict(read_metadata(path), weights, f"the recipe {path}")


def write_recipe(path: str | os.PathLike[str], data: Mapping[str, Any]) -> None:
    """Write a recipe as JSON, for people too, whole or not at all.

    Parameters
    ----------
    path
        The file; one of this name is replaced.
    data
        As for :meth:`Recipe.from_dict`.

    Raises
    ------
    ValueError
        If the data hold something that JSON cannot.
    OSError
        If the file cannot be written.
    """
    path = Path(path)
    first = [name for name in ("note", "content", "style", "styles") if name in data]
    ordered = {name: data[name] for name in (*first, *(name for name in data if name not in first))}
    try:
        text = json.dumps(ordered, indent=2, allow_nan=False, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"Cannot write {path}: the recipe is no plain data ({error}).") from error
    check_writable(path)
    with replacing(path) as part:
        # Names of files may hold what is no Unicode; JSON escapes it in the same way.
        part.write_bytes(f"{text}\n".encode("utf-8", "backslashreplace"))


def beyond_preset(settings: Settings) -> dict[str, Any]:
    """Return the settings that are not as their preset says, as :class:`Settings` has them."""
    preset = Settings(preset=settings.preset)
    pairs = {
        part.name: (getattr(settings, part.name), getattr(preset, part.name))
        for part in fields(Settings)
    }
    return {
        name: own
        for name, (own, theirs) in pairs.items()
        if isinstance(own, np.ndarray) or own != theirs
    }


def with_weights(settings: Mapping[str, Any], weights: str | None) -> Mapping[str, Any]:
    """Return settings with a file of weights that was given, where they name one."""
    named = settings.get("weights")
    if not isinstance(named, str) or named in _KNOWN_WEIGHTS:
        return settings
    if weights is None:
        raise ValueError(
            f"it names the weights file {short(named)}, and no recipe may choose the files that "
            "are read: give the weights yourself (--weights)."
        )
    return {**settings, "weights": weights}


def _other(versions: Mapping[str, str]) -> str:
    """Say that another version wrote a recipe, which may be what is wrong with it."""
    from napari_neural_style import __version__

    theirs = versions.get(_PACKAGE, __version__)
    return "" if theirs == __version__ else f" (version {theirs} wrote it, this is {__version__})"


# ------------------------------------------------------------- names and versions


def _line(error: ValueError) -> str:
    """Return what it says, on one line, and without a stranger's whole array."""
    words = " ".join(str(error).split())
    return words if len(words) <= _MAX_MESSAGE else words[:_MAX_MESSAGE] + "…"


def _styles(data: Mapping[str, Any]) -> tuple[str, ...]:
    for given in (data.get("styles"), [data.get("style")]):
        names = [one_line(part) for part in given] if isinstance(given, list | tuple) else []
        # The engine, which knows no names, has digests there.
        if names and not any(re.fullmatch("([0-9a-f]{32,128})?", name) for name in names):
            return tuple(names)
    return ()


def _axes(value: Any) -> str:
    return value if isinstance(value, str) and re.fullmatch("[A-Z]{2,9}", value) else ""


def _rendering(data: Mapping[str, Any]) -> Rendering | None:
    shades = data.get("rendering")
    if not isinstance(shades, Mapping):  # earlier versions have a hash there
        return None
    try:
        return rendering_from(shades, "stack")
    except (LookupError, TypeError) as error:
        raise ValueError(f"its rendering is damaged ({error}).") from error


def _versions(data: Mapping[str, Any]) -> dict[str, str]:
    found = data.get("versions", {_PACKAGE: data.get("version")})
    if not isinstance(found, Mapping):
        return {}
    return {one_line(key): one_line(value) for key, value in found.items() if one_line(value)}
