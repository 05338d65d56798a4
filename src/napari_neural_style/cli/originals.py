"""The images that a picture was painted from, found by the hashes in its recipe."""

import argparse
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, Any, TypeAlias, Union

import numpy as np
from numpy.typing import NDArray

from napari_neural_style.cli.content import Content
from napari_neural_style.images import read_image, to_rgb
from napari_neural_style.images.stack_files import open_stack
from napari_neural_style.images.views import View
from napari_neural_style.record import Record

if TYPE_CHECKING:
    from napari_neural_style.stacks.record import StackRecord

AnyRecord: TypeAlias = Union[Record, "StackRecord"]


@dataclass
class Original:
    """An image of a file, as a run was given it."""

    path: Path
    rgb: NDArray[Any]
    view: View | None = None
    array: Any = None
    own_colors: bool = True

    def develop(
        self, image: NDArray[np.float32], one_channel: bool, mask: NDArray[Any] | None
    ) -> NDArray[Any]:
        """Make of what was painted a picture such as the file's."""
        if self.view is not None:
            return self.view.develop(self.view.values(self.array), image, mask)
        if not self.own_colors and not one_channel:
            return image
        return Content(self.path, "intensity" if one_channel else "rgb").finish(image, mask)


def find_all(
    record: Record, names: dict[str, Any], arguments: argparse.Namespace
) -> dict[str, Original]:
    """Return all images of a run by their hashes, from files that were given or found."""
    wanted = record.images
    roles = [record.content, *record.styles]
    roles += [digest for digest in wanted if digest not in roles]
    given = {
        digest: file
        for digest, file in zip(roles, given_images(arguments, len(roles)), strict=True)
        if file is not None
    }
    return {
        digest: find(record, digest, called, given.get(digest), names, arguments)
        for digest, called in wanted.items()
    }


def given_images(arguments: argparse.Namespace, number: int) -> list[Path | None]:
    """Return the files that were given for the images of a run, in order; None for the others."""
    if len(arguments.images) > number:
        raise ValueError(
            f"{arguments.images[number]} is one too many: {arguments.picture} was painted from "
            f"{number} images."
        )
    return [*arguments.images, *[None] * (number - len(arguments.images))]


def find(
    record: AnyRecord,
    digest: str,
    called: str,
    given: Path | None,
    names: dict[str, Any],
    arguments: argparse.Namespace,
) -> Original:
    """Return an image by its hash.

    Parameters
    ----------
    record
        Of the run.
    digest, called
        The hash of the image, and what it was.
    given
        Its file; None to look for it by the names in the recipe.
    names
        Those.
    arguments
        Of the command.

    Raises
    ------
    ValueError
        If there is none, or another one.
    """
    if given is None:
        return _search(record, digest, called, _names_of(record, digest, names), arguments)
    image = _matching(record, digest, given)
    if image is None:
        raise ValueError(
            f"{given} is not {called} that {arguments.picture} was painted from: its pixels are "
            "others."
        )
    return image


def places(names: Iterable[Any], arguments: argparse.Namespace) -> list[Path]:
    """Return where files of these names may be, each without the folder that it may come with."""
    # A stranger's recipe must not lead to other folders; of any system. No file has a name that
    # is longer, or of other characters.
    known = (name for name in names if isinstance(name, str) and name.isprintable())
    bases = [base for name in known if len(base := PureWindowsPath(name).name) <= 255]
    folders = [arguments.picture.parent, Path(), *arguments.search]
    there = (folder / name for folder in folders for name in bases if name not in ("", ".", ".."))
    return list(dict.fromkeys(there))


def _names_of(record: AnyRecord, digest: str, names: dict[str, Any]) -> list[Any]:
    views = record.named(digest)
    known: list[Any] = [*(view.file for view in views), *(view.name for view in views)]
    if digest == record.content:
        known.append(names.get("content"))
    styles = names.get("styles")
    if digest in record.styles and isinstance(styles, list) and len(styles) == len(record.styles):
        known.append(styles[record.styles.index(digest)])
    return known


def _search(
    record: AnyRecord, digest: str, called: str, names: Sequence[Any], arguments: argparse.Namespace
) -> Original:
    others, there = [], places(names, arguments)
    for path in there:
        with suppress(OSError, ValueError):  # a name that no file can have
            if path.is_file() or path.suffix.lower() == ".zarr":
                image = _matching(record, digest, path)
                if image is not None:
                    return image
                others.append(str(path))
    if others:
        raise ValueError(
            f"{others[0]} is not {called} that {arguments.picture} was painted from: its pixels "
            "are others. Give the right file, or its folder with --search."
        )
    views = record.named(digest)
    if views and all(view.level or not (view.rendering or view.file) for view in views):
        raise ValueError(
            f"No file has {called}, {views[0].name}, as it was seen: several layers together, or a "
            "coarser resolution. Open the layers in napari, and redo it there."
        )
    known = f", {there[0].name}," if there else ""
    raise ValueError(
        f"There is no file of {called}{known} beside {arguments.picture}, here or in the folders "
        "of --search: give it after FILE (the content, then the styles, then what the run was "
        "changed to)."
    )


def _matching(record: AnyRecord, digest: str, path: Path) -> Original | None:
    """Read a file as the run read it; None if it has other pixels."""
    from napari_neural_style.transfer.replay import hash_of

    error: Exception | None = None
    for read in _readings(record, digest, path):
        try:
            image = read()
            if hash_of(record.settings, image.rgb) == digest:
                return image
        except (ValueError, OSError) as problem:
            error = error or problem
    if isinstance(error, OSError):
        raise error
    return None


def _readings(record: AnyRecord, digest: str, path: Path) -> Iterator[Callable[[], Original]]:
    """Go through the ways to read a file: as a layer was seen, as files are, as Python does."""
    for view in record.named(digest):
        if view.rendering is not None:
            yield partial(_seen, view, path)
    yield lambda: Original(path, Content(path, "rgb").rgb)
    yield lambda: Original(path, to_rgb(read_image(path)), own_colors=False)


def _seen(view: View, path: Path) -> Original:
    try:
        array: Any = read_image(path)
    except ValueError:
        array = open_stack(path).data
    if not view.fits(array):
        # Readers leave out axes of length one, or do not.
        array = np.asarray(array).squeeze() if array.ndim > len(view.shape) else array
    if view.level or not view.fits(array):
        raise ValueError(f"{path} has other axes than the layer {view.name}.")
    return Original(path, view.colors(array), view, array)
