"""Stacks in files: opened lazily, with axes and physical sizes, and written plane by plane."""

import json
import math
import os
import re
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from glob import glob, has_magic
from itertools import product
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_neural_style.images.calibration import (
    UNKNOWN_UNIT,
    Calibration,
    ome_attributes,
    ome_color,
    tiff_calibration,
    unit_name,
)
from napari_neural_style.images.files import (
    METADATA_KEY,
    TIFF_SIGNATURES,
    check_memory,
    check_pixels,
    check_writable,
    in_short,
    read_calibration,
    read_image,
    reason,
    replacing,
    tiff_options,
)
from napari_neural_style.images.tiff_pages import check_pages

ZARR, TIFF = (".zarr",), (".tif", ".tiff")

_IMAGES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".webp")
_OME_DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")
_TIFF_LIMIT = 4 * 10**9  # bytes; larger files must be BigTIFF


class LazyArray(Protocol):
    """What a stack is: read where it is indexed."""

    @property
    def shape(self) -> tuple[int, ...]: ...  # noqa: D102

    @property
    def dtype(self) -> np.dtype[Any]: ...  # noqa: D102

    def __getitem__(self, index: Any) -> Any: ...


@dataclass(frozen=True)
class StackFile:
    """A stack in a file or several, of which nothing but the description was read.

    Parameters
    ----------
    data
        The array, which can be pickled; a plane is read when it is indexed.
    calibration
        Its axes and the size of a step along each; colours are a last axis ``S``.
    named
        Whether the file names its axes; otherwise they are a guess.
    """

    data: LazyArray
    calibration: Calibration
    named: bool


def open_stack(path: str | os.PathLike[str]) -> StackFile:
    """Open a stack without reading its planes.

    Parameters
    ----------
    path
        A TIFF or OME-TIFF file; a Zarr array; an OME-Zarr group, of which the finest level
        is taken; a folder of image files of one shape, or a pattern such as ``"cells/*.png"``,
        which are put in the order of the numbers in their names.

    Raises
    ------
    OSError
        If there is no such file or it may not be read.
    ValueError
        If it is no stack.
    """
    path = Path(path)
    if path.is_dir() and any((path / name).is_file() for name in _ZARR_FILES):
        return _open_zarr(path)
    files = image_files(path)
    if files is not None:
        return _open_files(files)
    try:
        with path.open("rb") as file:
            signature = file.read(4)
    except OSError as error:
        raise type(error)(f"Cannot read {path}: {reason(error)}.") from error
    if not signature.startswith(TIFF_SIGNATURES):
        raise ValueError(
            f"Cannot use {path} as a stack: a TIFF file, a Zarr folder, a folder of image files "
            "or a pattern of their names (in quotes, such as 'cells/*.png') is needed."
        )
    return _open_tiff(path)


def image_files(path: str | os.PathLike[str]) -> list[Path] | None:
    """List the image files of a folder, or of a pattern such as ``"cells/*.png"``.

    Parameters
    ----------
    path
        A folder or pattern, or anything else.

    Returns
    -------
    list of Path or None
        In the order of the numbers in their names; None if it is neither.

    Raises
    ------
    FileNotFoundError
        If there are none.
    """
    path = Path(path)
    if path.is_dir():
        files = [file for file in path.iterdir() if _is_image(file)]
    elif not path.exists() and has_magic(str(path)):
        files = [Path(file) for file in glob(str(path))]
    else:
        return None
    if not files:
        raise FileNotFoundError(f"Cannot read {path}: there are no image files.")
    return sorted(files, key=_natural)


def check_stack_output(path: str | os.PathLike[str], axes: str, dtype: np.dtype[Any]) -> None:
    """Raise now what :func:`write_ome_tiff` would raise after hours of work."""
    path = Path(path)
    extension = path.suffix.lower()
    if extension not in ZARR + TIFF:
        raise ValueError(f"Cannot write {path}: its extension must be .zarr, .tif or .tiff.")
    if extension in ZARR:
        return
    check_writable(path)
    if dtype.name not in _OME_DTYPES:
        raise ValueError(f"Cannot write {path}: OME-TIFF holds no {dtype}; choose .zarr.")
    if not set(axes) <= set("TCZYXS"):
        raise ValueError(
            f"Cannot write {path}: OME-TIFF knows the axes T, C, Z, Y and X, and these are "
            f"{axes}; name them with --axes, or choose .zarr."
        )


def write_ome_tiff(
    path: str | os.PathLike[str],
    stack: LazyArray,
    calibration: Calibration,
    metadata: Mapping[str, Any] | None = None,
    planes: slice = slice(None),
) -> None:
    """Write a stack as OME-TIFF, plane by plane, whole or not at all.

    Parameters
    ----------
    path
        The file; one of this name is replaced.
    stack
        Of the calibration's axes, ``Y`` and ``X`` the last but for the colours ``S``.
    calibration
        Axes, and the sizes and names of channels that the OME metadata tell.
    metadata
        Stored as JSON in the description of the OME metadata.
    planes
        Only these along the first axis.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    from tifffile import TiffWriter

    axes, along = calibration.axes, range(stack.shape[0])[planes]
    shape = (len(along), *stack.shape[1:])
    channels = shape[axes.index("X") + 1 :]
    size = int(np.prod(shape, dtype=np.int64)) * stack.dtype.itemsize
    described = {} if metadata is None else {"Description": json.dumps({METADATA_KEY: metadata})}
    told = _channels(calibration, stack.shape, planes)
    with (
        replacing(Path(path)) as part,
        TiffWriter(part, bigtiff=size > _TIFF_LIMIT, ome=True) as to,
    ):
        to.write(
            _planes(stack, along, axes.index("Y")),
            shape=shape,
            dtype=stack.dtype,
            **tiff_options(stack.dtype, channels),
            metadata={"axes": axes, **ome_attributes(calibration), **told, **described},
        )


def _channels(
    calibration: Calibration, shape: tuple[int, ...], planes: slice
) -> dict[str, dict[str, list[Any]]]:
    """Return OME's names and colours of the channels, where there are as many as channels."""
    axes, number = calibration.axes, 1
    if "C" in axes:
        number = shape[axes.index("C")]
    chosen = planes if axes.startswith("C") else slice(None)
    told: dict[str, list[Any]] = {}
    if len(calibration.channels) == number:
        told["Name"] = list(calibration.channels[chosen])
    # Channels of RGB have colours of their own.
    if len(calibration.colors) == number and "S" not in axes:
        told["Color"] = [ome_color(color) for color in calibration.colors[chosen]]
    return {"Channel": told} if told else {}


def _planes(stack: LazyArray, along: range, leading: int) -> Iterator[NDArray[Any]]:
    for index in product(along, *map(range, stack.shape[1:leading])):
        yield np.ascontiguousarray(stack[index])


def keep_calibration(array: Any, calibration: Calibration) -> None:
    """Store a calibration in the attributes of a Zarr array, for :func:`open_stack`."""
    array.attrs[_CALIBRATION] = asdict(calibration)


# ------------------------------------------------------------------------ TIFF


class _TiffArray:
    """The first series of a TIFF file; pickled, it is the file's name."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> Any:
        return _TiffArray, (self._path,)

    @cached_property
    def _array(self) -> Any:
        import zarr
        from tifffile import imread

        store = imread(self._path, aszarr=True, series=0, level=0, chunkmode="page")
        weakref.finalize(self, store.close)
        return zarr.open_array(store, mode="r")

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self._array.shape)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        dtype: np.dtype[Any] = self._array.dtype
        return dtype

    def __getitem__(self, index: Any) -> NDArray[Any]:
        return np.asarray(self._array[index])


def _open_tiff(path: Path) -> StackFile:
    from tifffile import PHOTOMETRIC, TiffFile

    try:
        with TiffFile(path) as file:
            check_pages(file)
            calibration = tiff_calibration(file)
            photometric = PHOTOMETRIC(file.series[0].keyframe.photometric)
        data = _TiffArray(path.resolve())
        shape = data.shape
    except Exception as error:  # what tifffile raises on damaged files is not documented
        raise ValueError(f"Cannot read {path}: the file is damaged ({in_short(error)}).") from error
    axes = calibration.axes
    # The palettes of microscopes colour values that are intensities.
    if photometric.name not in ("MINISBLACK", "RGB", "YCBCR", "PALETTE") or axes.endswith("SYX"):
        raise ValueError(
            f"Cannot use {path}: its colours are stored as {photometric.name} with the axes "
            f"{axes}; convert it to grayscale or interleaved RGB."
        )
    # An axis that the file does not name is Q or I to tifffile.
    named = not set(axes) & set("QI")
    if not named:
        calibration = replace(calibration, axes=_guess(path, shape))
    return _opened(path, data, calibration, named)


# ------------------------------------------------------------------------ Zarr

_CALIBRATION = "calibration"
_ZARR_FILES = ("zarr.json", ".zarray", ".zgroup")
_ZARR_METADATA = (*_ZARR_FILES, ".zattrs", ".zmetadata")
_MOST_METADATA = 64 << 20


def _open_zarr(path: Path) -> StackFile:
    import zarr

    check_metadata(path)
    try:
        node: Any = zarr.open(path, mode="r")
    except Exception as error:  # what zarr raises on damaged files is not documented
        raise ValueError(
            f"Cannot read {path}: the Zarr metadata are damaged ({in_short(error)})."
        ) from error
    if isinstance(node, zarr.Array):
        return _open_zarr_array(path, node)
    for child in path.iterdir():
        check_metadata(child)
    try:
        attributes = dict(node.attrs)
        attributes = attributes.get("ome", attributes)
        images, omero = attributes["multiscales"], attributes.get("omero", {})
        finest = images[0]["datasets"][0]
        check_metadata(path / finest["path"])
        array = node[finest["path"]]
        sizes = _ome_zarr_sizes(images[0], finest)
        if not isinstance(array, zarr.Array):
            raise TypeError("a group in a group")
        channels = omero.get("channels", ())
        names = [str(channel.get("label", "")) for channel in channels]
        colors = [f"#{channel.get('color', '')}".lower() for channel in channels]
        calibration = Calibration.of("".join(sizes), sizes, names, colors)
    except Exception as error:  # a stranger's metadata may be anything
        arrays = ", ".join(sorted(node.array_keys())) or "it has none"
        raise ValueError(
            f"Cannot use {path}: the Zarr group holds no OME-Zarr image; give the path of one of "
            f"its arrays ({arrays})."
        ) from error
    check_codecs(path, array)
    return _opened(path, array, calibration, named=True)


def _open_zarr_array(path: Path, array: Any) -> StackFile:
    check_codecs(path, array)
    try:
        calibration = _kept_calibration(array)
        names = getattr(array.metadata, "dimension_names", None)
        names = names or array.attrs.get("_ARRAY_DIMENSIONS")
        if calibration is None and names and all(names):
            calibration = Calibration.unknown("".join(_letter(str(name)) for name in names))
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(
            f"Cannot read {path}: the attributes of the Zarr array are damaged ({in_short(error)})."
        ) from error
    if calibration is None:
        return _opened(path, array, Calibration.unknown(_guess(path, array.shape)), bool(names))
    return _opened(path, array, calibration, named=True)


def _kept_calibration(array: Any) -> Calibration | None:
    """Return what :func:`keep_calibration` stored."""
    kept = array.attrs.get(_CALIBRATION)
    if not kept:
        return None
    sizes = zip(kept["axes"], zip(kept["scale"], kept["units"], strict=True), strict=True)
    # An older one has no names of channels, or no colours.
    names, colors = (tuple(map(str, kept.get(of, ()))) for of in ("channels", "colors"))
    return Calibration.of(str(kept["axes"]), dict(sizes), names, colors)


def check_metadata(path: Path) -> None:
    """Raise before a Zarr folder is opened of which the metadata would be read without an end.

    Parameters
    ----------
    path
        Of the array or group.

    Raises
    ------
    ValueError
        If a file of its metadata is none, such as a pipe, or larger than 64 MB.
    """
    for file in (path / name for name in _ZARR_METADATA):
        if file.exists() and not (file.is_file() and file.stat().st_size <= _MOST_METADATA):
            raise ValueError(
                f"Cannot read {path}: its {file.name} must be a file of at most "
                f"{_MOST_METADATA >> 20} MB."
            )


def check_codecs(path: str | os.PathLike[str], array: Any) -> None:
    """Raise before a Zarr array is read that would run code from its chunks, or has no numbers.

    Parameters
    ----------
    path
        Of the array, for the error.
    array
        A ``zarr.Array``.

    Raises
    ------
    ValueError
        If its values are no numbers, or one of its codecs unpickles.
    """
    if np.dtype(array.dtype).kind not in "biufc":
        raise ValueError(f"Cannot use {path}: its values are {array.dtype}, and no numbers.")
    stored = array.metadata.to_dict()
    codecs = [stored.get(name) for name in ("filters", "compressor", "codecs")]
    if "pickle" in json.dumps(codecs, default=str).lower():
        raise ValueError(
            f"Cannot use {path}: its chunks are pickles, which may run code when they are read."
        )


def _ome_zarr_sizes(
    image: Mapping[str, Any], dataset: Mapping[str, Any]
) -> dict[str, tuple[float, str]]:
    axes = [axis if isinstance(axis, Mapping) else {"name": axis} for axis in image["axes"]]
    scale = np.ones(len(axes))
    for part in (dataset, image):
        for transformation in part.get("coordinateTransformations", ()):
            if transformation["type"] == "scale":
                scale = scale * np.asarray(transformation["scale"], float)
    return {
        _letter(axis["name"]): (float(size), unit_name(axis.get("unit") or UNKNOWN_UNIT))
        for axis, size in zip(axes, scale, strict=True)
    }


def _letter(name: str) -> str:
    """The letter of an axis called ``t``, ``time`` or ``rgb``."""
    return "S" if name.lower() in ("rgb", "rgba", "sample") else name[:1].upper()


# ----------------------------------------------------------------- image files


class _FilesArray:
    """Image files as the planes of one stack."""

    def __init__(self, files: Sequence[Path], plane: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self._files = files
        self.shape = (len(files), *plane)
        self.ndim = len(self.shape)
        self.dtype = dtype

    def __getitem__(self, index: Any) -> NDArray[Any]:
        first, *rest = index if isinstance(index, tuple) else (index,)
        if isinstance(first, slice):
            return np.stack([self._read(file)[*rest] for file in self._files[first]])
        plane: NDArray[Any] = self._read(self._files[first])[*rest]
        return plane

    def _read(self, file: Path) -> NDArray[Any]:
        image = read_image(file)
        if image.shape != self.shape[1:] or image.dtype != self.dtype:
            raise ValueError(
                f"{file} has the shape {image.shape} and dtype {image.dtype}, and the first file "
                f"of the stack {self.shape[1:]} and {self.dtype}."
            )
        return image


def _open_files(files: list[Path]) -> StackFile:
    first = read_image(files[0])
    data = _FilesArray([file.resolve() for file in files], first.shape, first.dtype)
    axes = "TYXS" if first.ndim == 3 else "TYX"
    return StackFile(data, Calibration.of(axes, read_calibration(files[0]).sizes), named=False)


def _is_image(file: Path) -> bool:
    # A pipe of such a name would be waited for.
    return file.suffix.lower() in _IMAGES and not file.name.startswith(".") and file.is_file()


def _natural(file: Path) -> list[tuple[int, str]]:
    """Key that puts ``plane9`` before ``plane10``."""
    parts = re.split(r"(\d+)", str(file))
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]


# ------------------------------------------------------------------------ axes


def _guess(path: Path, shape: tuple[int, ...]) -> str:
    """Axes of a file that does not name them."""
    colours = "S" if len(shape) > 3 and shape[-1] in (3, 4) else ""
    axes = {2: "YX", 3: "TYX", 4: "TZYX", 5: "TCZYX"}.get(len(shape) - len(colours))
    if axes is None:
        raise ValueError(f"Cannot use {path}: its shape {shape} is of no stack of images.")
    return axes + colours


def _opened(path: Path, data: LazyArray, calibration: Calibration, named: bool) -> StackFile:
    """Return the stack, unless its axes are of none, or a plane would take all memory."""
    axes = calibration.axes
    if axes in ("YX", "YXS"):
        raise ValueError(f"Cannot use {path}: it is one plane and no stack; stylize paints it.")
    if not re.fullmatch(r"[A-RT-WZ]+YXS?", axes) or len(set(axes)) < len(axes):
        raise ValueError(
            f"Cannot use {path}: its axes are {axes}, and planes with the axes YX at the end "
            "are needed."
        )
    if len(axes) != len(data.shape):
        raise ValueError(f"Cannot use {path}: it has the shape {data.shape} and the axes {axes}.")
    try:
        if not math.prod((*data.shape, *getattr(data, "chunks", ()))):
            raise ValueError("it is empty")
        check_pixels(data.shape[axes.index("Y") :], data.dtype.itemsize)
        chunk = math.prod(getattr(data, "chunks", ())) * data.dtype.itemsize
        check_memory(chunk, "each of its chunks takes")
    except ValueError as error:
        raise ValueError(f"Cannot use {path}: {error}.") from error
    return StackFile(data, calibration, named)
